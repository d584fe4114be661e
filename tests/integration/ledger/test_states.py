"""States: what each function makes of an issuance, in whatever state it finds it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from bridge.db import tables
from bridge.issuance import Kind
from bridge.ledger import attempts, issuances
from bridge.ledger.issuances import StartedAttempt
from tests.support.books import LATER, LEASE, NOW, Books

STATES = ["due", "sending", "issued", "failed", "held", "withdrawn", "withdrawn by an operator"]

# What each function makes of an issuance in each state; a dot: it did nothing, nor says that it did.
TABLE = """
                    due        sending  issued  failed     held       withdrawn  withdrawn by an operator
make_due            .          .        .       .          .          due        .
withdraw            withdrawn  .        .       .          .          .          .
start               sending    .        .       .          .          .          .
mark_issued         issued     issued   .       issued     issued     issued     issued
mark_held           .          held     .       .          held       .          .
mark_failed         .          failed   .       .          failed     .          .
postpone            .          due      .       .          due        .          .
give_back           .          due      .       .          due        .          .
defer               due        .        .       .          .          .          .
give_up             failed     .        .       .          .          .          .
send_again          .          .        .       due        due        .          due
note_as_issued      issued     .        .       issued     issued     issued     issued
withdraw_for_good   withdrawn  .        .       withdrawn  withdrawn  withdrawn  .
"""

# Each is given the issuance's last attempt, as the worker has it that began it.
# It returns whether it has moved it, or None if it takes many at once and does not say.
FUNCTIONS: dict[str, Callable[[Books, StartedAttempt], bool | None]] = {
    "make_due": lambda books, attempt: bool(
        books.write(issuances.make_due, [(books.store_id, attempt.order_id, Kind.INVOICE)], LATER)
    ),
    "withdraw": lambda books, attempt: books.write(issuances.withdraw, [attempt.issuance_id], LATER),
    "start": lambda books, attempt: books.claim(books.issuance(attempt.issuance_id), now=LATER) is not None,
    "mark_issued": lambda books, attempt: books.write(issuances.mark_issued, [attempt.issuance_id], LATER),
    "mark_held": lambda books, attempt: books.write(issuances.mark_held, attempt, error="?", now=LATER),
    "mark_failed": lambda books, attempt: books.write(issuances.mark_failed, attempt, error="no", now=LATER),
    "postpone": lambda books, attempt: books.write(
        issuances.postpone, attempt, error="busy", next_attempt_at=LATER
    ),
    "give_back": lambda books, attempt: books.write(issuances.give_back, attempt, error="401", now=LATER),
    "defer": lambda books, attempt: books.write(
        issuances.defer, attempt.issuance_id, error="a fault", until=LATER
    ),
    "give_up": lambda books, attempt: books.write(
        issuances.give_up, attempt.issuance_id, error="a fault", now=LATER
    ),
    "send_again": lambda books, attempt: books.write(issuances.send_again, attempt.issuance_id, LATER),
    "note_as_issued": lambda books, attempt: books.write(
        issuances.note_as_issued, attempt.issuance_id, LATER, total="9", currency="USD", content=None
    ),
    "withdraw_for_good": lambda books, attempt: books.write(
        issuances.withdraw_for_good, attempt.issuance_id, LATER, who="maja"
    ),
}
OF_AN_ATTEMPT = ["mark_held", "mark_failed", "postpone", "give_back"]
# The same of those that take many at once.
OF_MANY: dict[str, Callable[[Connection, int, Sequence[StartedAttempt]], object]] = {
    "make_due": lambda connection, store_id, of: issuances.make_due(
        connection, [(store_id, one.order_id, Kind.INVOICE) for one in of], LATER
    ),
    "withdraw": lambda connection, _, of: issuances.withdraw(
        connection, [one.issuance_id for one in of], LATER
    ),
    "mark_issued": lambda connection, _, of: issuances.mark_issued(
        connection, [one.issuance_id for one in of], LATER
    ),
}


def _rows_of_the_table() -> list[tuple[str, dict[str, str]]]:
    head, *rows = TABLE.strip("\n").splitlines()
    assert head.split(maxsplit=6) == STATES
    return [(name, dict(zip(STATES, cells, strict=True))) for name, *cells in map(str.split, rows)]


def test_the_table_names_every_function_that_changes_an_issuance() -> None:
    named = [name for name, _ in _rows_of_the_table()]
    assert named == list(FUNCTIONS)
    others = {"get", "of_order", "of_orders", "listed", "start_sending"}
    public = {
        name
        for name, value in vars(issuances).items()
        if getattr(value, "__module__", None) == issuances.__name__ and name[0].islower() and name[0] != "_"
    }
    assert public == {*named, *others} - {"start"}


@pytest.mark.parametrize(("name", "expected"), _rows_of_the_table(), ids=list(FUNCTIONS))
def test_a_function_leaves_only_the_states_it_may_leave(
    books: Books, name: str, expected: dict[str, str]
) -> None:
    found = {}
    for number, state in enumerate(STATES, start=1):
        attempt = books.brought_to(state, number)
        before = books.row(tables.issuances, attempt.issuance_id)
        says_it_moved = FUNCTIONS[name](books, attempt)
        after = books.row(tables.issuances, attempt.issuance_id)
        found[state] = after["state"] if after != before else "."
        assert says_it_moved in {after != before, None}, state
        _check_what_always_holds(after)
    assert found == expected


@pytest.mark.parametrize("name", OF_MANY)
def test_a_function_of_many_does_to_each_what_it_does_to_one(books: Books, name: str) -> None:
    attempts_of = {state: books.brought_to(state, number) for number, state in enumerate(STATES, start=1)}
    untouched = books.brought_to("due", 99)
    before = {state: books.row(tables.issuances, one.issuance_id) for state, one in attempts_of.items()}
    books.write(OF_MANY[name], books.store_id, list(attempts_of.values()))
    found = {}
    for state, attempt in attempts_of.items():
        after = books.row(tables.issuances, attempt.issuance_id)
        found[state] = after["state"] if after != before[state] else "."
        _check_what_always_holds(after)
    assert found == dict(_rows_of_the_table())[name]
    assert books.issuance(untouched.issuance_id).state == "due"
    assert books.issuance(untouched.issuance_id).next_attempt_at == NOW
    books.write(OF_MANY[name], books.store_id, [])


# All that each function changes of an issuance in one of the states that it may leave.
CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "make_due",
        "withdrawn",
        {
            "state": "due",
            "next_attempt_at": LATER,
            "due_since": LATER,
            "first_attempt_at": None,
            "settled_at": None,
        },
    ),
    ("withdraw", "due", {"state": "withdrawn", "next_attempt_at": None, "settled_at": LATER}),
    (
        "start",
        "due",
        {
            "state": "sending",
            "next_attempt_at": None,
            "attempt_id": 2,
            "attempts": 2,
            "lease_ends_at": LATER + LEASE,
        },
    ),
    ("mark_issued", "sending", {"state": "issued", "lease_ends_at": None, "settled_at": LATER}),
    ("mark_issued", "held", {"state": "issued", "last_error": None, "settled_at": LATER}),
    (
        "mark_issued",
        "due",
        {"state": "issued", "last_error": None, "next_attempt_at": None, "settled_at": LATER},
    ),
    (
        "mark_issued",
        "withdrawn by an operator",
        {"state": "issued", "last_error": None, "withdrawn_by": None, "settled_at": LATER},
    ),
    (
        "mark_held",
        "sending",
        {"state": "held", "last_error": "?", "lease_ends_at": None, "settled_at": LATER},
    ),
    (
        "mark_failed",
        "sending",
        {"state": "failed", "last_error": "no", "lease_ends_at": None, "settled_at": LATER},
    ),
    ("mark_failed", "held", {"state": "failed", "last_error": "no", "settled_at": LATER}),
    (
        "postpone",
        "sending",
        {"state": "due", "last_error": "busy", "lease_ends_at": None, "next_attempt_at": LATER},
    ),
    (
        "postpone",
        "held",
        {"state": "due", "last_error": "busy", "next_attempt_at": LATER, "settled_at": None},
    ),
    (
        "give_back",
        "held",
        {
            "state": "due",
            "last_error": "401",
            "next_attempt_at": LATER,
            "attempts": 0,
            "first_attempt_at": None,
            "settled_at": None,
        },
    ),
    ("defer", "due", {"last_error": "a fault", "next_attempt_at": LATER, "deferrals": 1}),
    (
        "give_up",
        "due",
        {"state": "failed", "last_error": "a fault", "next_attempt_at": None, "settled_at": LATER},
    ),
    (
        "send_again",
        "withdrawn by an operator",
        {
            "state": "due",
            "next_attempt_at": LATER,
            "attempts": 0,
            "first_attempt_at": None,
            "settled_at": None,
            "withdrawn_by": None,
            "due_since": LATER,
        },
    ),
    (
        "note_as_issued",
        "withdrawn by an operator",
        {
            "state": "issued",
            "last_error": None,
            "settled_at": LATER,
            "withdrawn_by": None,
            "total": "9",
            "currency": "USD",
            "content": None,
        },
    ),
    (
        "note_as_issued",
        "due",
        {
            "state": "issued",
            "last_error": None,
            "next_attempt_at": None,
            "settled_at": LATER,
            "total": "9",
            "currency": "USD",
            "content": None,
        },
    ),
    (
        "withdraw_for_good",
        "due",
        {"state": "withdrawn", "next_attempt_at": None, "settled_at": LATER, "withdrawn_by": "maja"},
    ),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("name", "state", "expected"), CHANGES)
def test_a_function_changes_what_it_has_to_and_nothing_else(
    books: Books, name: str, state: str, expected: dict[str, Any]
) -> None:
    attempt = books.brought_to(state)
    before = books.row(tables.issuances, attempt.issuance_id)
    FUNCTIONS[name](books, attempt)
    after = books.row(tables.issuances, attempt.issuance_id)
    assert {column: after[column] for column in after if after[column] != before[column]} == expected


def _check_what_always_holds(row: Mapping[str, Any]) -> None:
    state = row["state"]
    assert (row["next_attempt_at"] is not None) == (state == "due"), row
    assert (row["lease_ends_at"] is not None) == (state == "sending"), row
    assert (row["settled_at"] is not None) == (state in {"issued", "failed", "held", "withdrawn"}), row
    assert row["withdrawn_by"] is None or state == "withdrawn", row


@pytest.mark.parametrize("state", ["sending", "held"])
@pytest.mark.parametrize("name", OF_AN_ATTEMPT)
def test_an_outcome_counts_only_for_the_last_attempt(books: Books, name: str, state: str) -> None:
    first = books.brought_to("due", 1)
    second = books.claim(books.issuance(first.issuance_id))
    assert second is not None
    if state == "held":
        assert books.write(issuances.mark_held, second, error="?", now=NOW)
    before = books.row(tables.issuances, first.issuance_id)
    assert not FUNCTIONS[name](books, first)
    assert books.row(tables.issuances, first.issuance_id) == before
    assert FUNCTIONS[name](books, second)


@pytest.mark.parametrize("name", OF_AN_ATTEMPT)
def test_an_outcome_that_comes_after_an_operator_has_it_sent_again_changes_nothing(
    books: Books, name: str
) -> None:
    attempt = books.brought_to("held", 1)
    assert books.write(issuances.send_again, attempt.issuance_id, NOW)
    before = books.row(tables.issuances, attempt.issuance_id)
    assert not FUNCTIONS[name](books, attempt)
    assert books.row(tables.issuances, attempt.issuance_id) == before


def test_a_document_that_is_known_to_exist_is_issued_though_a_second_request_is_under_way(
    books: Books,
) -> None:
    first = books.brought_to("held", 1)
    assert books.write(issuances.send_again, first.issuance_id, NOW)
    second = books.claim(books.issuance(first.issuance_id))
    assert second is not None
    books.write(issuances.mark_issued, [first.issuance_id], NOW)
    assert books.issuance(first.issuance_id).state == "issued"
    for name in OF_AN_ATTEMPT:
        assert not FUNCTIONS[name](books, second)
    assert books.issuance(first.issuance_id).state == "issued"


def test_an_outcome_that_comes_after_its_lease_still_counts_for_what_is_held_since(books: Books) -> None:
    for number, (name, then) in enumerate([("postpone", "due"), ("mark_issued", "issued")], start=1):
        attempt = books.sending(number)
        expired = books.write(attempts.expired, attempt.issuance_id, NOW + LEASE)
        assert expired is not None
        assert books.write(issuances.mark_held, expired, error="the worker died", now=NOW + LEASE)
        assert FUNCTIONS[name](books, attempt) in {True, None}
        assert books.issuance(attempt.issuance_id).state == then
