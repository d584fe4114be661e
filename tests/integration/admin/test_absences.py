"""An operator's word that nothing is missing: it is recorded, and covers what has ended by then."""

from __future__ import annotations

from datetime import timedelta

from bridge.admin.absences import nothing_missing
from bridge.ledger import absences, actions, stores
from bridge.ledger.actions import Action
from tests.support.books import NOW, Books

HOUR = timedelta(hours=1)


def test_all_that_has_ended_is_settled_and_the_action_is_recorded_once(books: Books) -> None:
    books.deliver()
    for number in range(4):
        books.write(absences.beat, NOW + number * HOUR)
    now = NOW + 2 * HOUR
    store = books.read(stores.get, books.store_id)
    settled = books.write(nothing_missing, store, who="ana", now=now)
    assert [(one.began_at, one.ended_at) for one in settled] == [(NOW, NOW + HOUR), (NOW + HOUR, now)]
    assert books.write(nothing_missing, store, who="ana", now=now) == []
    result = "absences without a receiver: 2, the last until 2026-11-23 14:00 UTC"
    assert books.read(actions.of_store, store.id, limit=9) == [
        Action(now, "ana", "nothing-missing", result, None, None, store.id)
    ]
    assert [one.began_at for one in books.read(absences.unsettled)] == [now]
