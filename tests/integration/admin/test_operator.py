"""What operators do by hand, on both databases: typed twice, too late, and by several at once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import pytest

from bridge.admin.operate import Report, doubtful, mark_issued, replay, resend, withdraw
from bridge.ledger import (
    actions,
    deliveries,
    issuances,
    kept_deliveries,
    orders,
    processing,
    store_configs,
    store_pauses,
    stores,
)
from bridge.ledger.actions import Action
from bridge.ledger.issuances import Issuance, StartedAttempt
from bridge.pipeline.complete import Completed, record
from bridge.pipeline.context import Clients
from bridge.pipeline.process import process_deliveries
from bridge.spaceinvoices import Effect, Outcome
from tests.support.crowds import Other
from tests.support.shop import WOOCOMMERCE, Shop, at, forward_issuance, maintain

WHO = "anna@desk"
BY_BANK = {"status": "on-hold", "payment_method": "bacs"}

Verb = Callable[[Shop, int], Report[Issuance]]


def send_again(shop: Shop, issuance_id: int) -> Report[Issuance]:
    """Resend, having looked for the document."""
    looked_for = {one.id: one.attempt_id for one in doubtful(shop.context.ledger, [issuance_id])}
    return resend(
        shop.context.ledger,
        issuance_id,
        cleared_attempt=looked_for.get(issuance_id),
        who=WHO,
        now=shop.clock.now(),
    )


def mark(shop: Shop, issuance_id: int) -> Report[Issuance]:
    return mark_issued(shop.context.ledger, issuance_id, who=WHO, now=shop.clock.now())


def take_back(shop: Shop, issuance_id: int) -> Report[Issuance]:
    return withdraw(shop.context.ledger, issuance_id, who=WHO, now=shop.clock.now())


def due(shop: Shop, **fields: str) -> int:
    """Receive the order as paid, or as the fields say; the id of what is due for it."""
    (issuance_id,) = shop.process(shop.receive(at(1, **{"status": "processing", **fields})))
    return issuance_id


def end(shop: Shop, attempt: StartedAttempt, effect: Effect) -> None:
    """Record an attempt's outcome."""
    ended = Completed(attempt, Outcome(effect, "as the test says"), duration=0.1)
    with shop.context.ledger.write() as connection:
        record(shop.context, connection, [ended], orders.lock_each(connection, [attempt.order_id]))


def ended(shop: Shop, issuance_id: int, effect: Effect) -> int:
    """Send it, with this outcome."""
    end(shop, shop.claim(issuance_id, lease=40), effect)
    return issuance_id


def held(shop: Shop, **fields: str) -> int:
    """What is due for the order, after a worker died while it was sending it."""
    issuance_id = due(shop, **fields)
    shop.claim(issuance_id, lease=40)
    shop.clock.advance(seconds=41)
    maintain(shop.context)
    assert shop.issuance(issuance_id).state == "held"
    return issuance_id


def failed(shop: Shop, **fields: str) -> int:
    return ended(shop, due(shop, **fields), Effect.REFUSED)


def done(shop: Shop) -> Sequence[Action]:
    """What operators did to the order, as it was recorded."""
    with shop.context.ledger.read() as connection:
        return actions.of_resource(connection, shop.store_id, 1)


def at_once(*tasks: Callable[[], object]) -> None:
    """Run all of them in threads that start at the same moment."""
    start = threading.Barrier(len(tasks))
    errors: list[Exception] = []

    def run(task: Callable[[], object]) -> None:
        start.wait()
        try:
            task()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def tell(reports: list[Report[Issuance]], verb: Verb, shop: Shop, issuance_id: int) -> None:
    """Do it, and keep what came of it."""
    reports.append(verb(shop, issuance_id))


def test_a_held_document_that_is_resent_is_sent_once_and_who_did_it_is_kept(shop: Shop) -> None:
    invoice = held(shop)
    first = send_again(shop, invoice)
    assert (first.is_fulfilled, first.has_changed) == (True, True)
    assert f"Issuance {invoice}, the invoice of order 1 of shop, is due again" in first.message
    second = send_again(shop, invoice)
    assert (second.is_fulfilled, second.has_changed) == (True, False)
    assert "is due already" in second.message
    assert shop.issuance(invoice).attempts == 0
    (action,) = done(shop)
    assert (action.at, action.who, action.verb, action.issuance_id) == (
        shop.clock.now(),
        WHO,
        "resend",
        invoice,
    )
    assert action.result.startswith("was held, is due -> invoice: ")
    assert list(maintain(shop.context).due_stores) == [shop.store_id]
    forward_issuance(shop.context, invoice)
    assert (shop.documents(), shop.states()) == (["invoice"], {"invoice": "issued"})


def test_a_document_that_may_exist_is_not_resent_before_somebody_has_looked_for_it(shop: Shop) -> None:
    invoice = held(shop)
    before = shop.issuance(invoice)
    assert [one.id for one in doubtful(shop.context.ledger, [invoice, 99])] == [invoice]
    tried = resend(shop.context.ledger, invoice, cleared_attempt=None, who=WHO, now=shop.clock.now())
    assert (tried.is_fulfilled, tried.has_changed) == (False, False)
    assert "look for it in Space Invoices" in tried.message
    assert (shop.issuance(invoice), list(done(shop))) == (before, [])


def test_to_have_looked_before_another_operator_resent_it_does_not_count(shop: Shop) -> None:
    invoice = held(shop)
    looked_for = shop.issuance(invoice).attempt_id
    assert send_again(shop, invoice).has_changed
    ended(shop, invoice, Effect.UNKNOWN)
    tried = resend(shop.context.ledger, invoice, cleared_attempt=looked_for, who="bob", now=shop.clock.now())
    assert (tried.is_fulfilled, shop.issuance(invoice).state) == (False, "held")
    assert [action.who for action in done(shop)] == [WHO]


def test_a_document_that_was_refused_is_resent_without_further_ado(shop: Shop) -> None:
    invoice = failed(shop)
    assert list(doubtful(shop.context.ledger, [invoice])) == []
    tried = resend(shop.context.ledger, invoice, cleared_attempt=None, who=WHO, now=shop.clock.now())
    assert (tried.is_fulfilled, shop.issuance(invoice).state) == (True, "due")


def test_a_document_that_was_refused_after_an_unknown_outcome_may_exist_all_the_same(shop: Shop) -> None:
    invoice = held(shop)
    send_again(shop, invoice)
    ended(shop, invoice, Effect.REFUSED)
    assert [one.state for one in doubtful(shop.context.ledger, [invoice])] == ["failed"]


def test_an_issued_document_is_not_resent(shop: Shop) -> None:
    invoice = due(shop)
    forward_issuance(shop.context, invoice)
    tried = send_again(shop, invoice)
    assert (tried.is_fulfilled, tried.has_changed) == (False, False)
    assert "it would be issued twice" in tried.message
    assert (shop.states(), list(done(shop))) == ({"invoice": "issued"}, [])


def test_resending_for_an_order_that_died_meanwhile_withdraws_and_says_why(shop: Shop) -> None:
    invoice = failed(shop)
    shop.process(shop.receive(at(2, status="cancelled")))
    first = send_again(shop, invoice)
    assert (first.is_fulfilled, first.has_changed) == (False, True)
    assert "withdrawn" in first.message
    assert "The order is cancelled." in first.message
    second = send_again(shop, invoice)
    assert (second.is_fulfilled, second.has_changed) == (False, False)
    assert "The order is cancelled." in second.message
    assert [action.result for action in done(shop)] == [
        "was failed, is withdrawn -> skip: The order is cancelled."
    ]
    assert shop.process(shop.receive(at(3, status="processing"))) == [invoice]


def test_resending_an_estimate_of_a_paid_order_does_not_bring_it_out(shop: Shop) -> None:
    estimate = failed(shop, **BY_BANK)
    (invoice,) = shop.process(shop.receive(at(2, status="processing", payment_method="bacs")))
    forward_issuance(shop.context, invoice)
    tried = send_again(shop, estimate)
    assert (tried.is_fulfilled, shop.states()) == (False, {"estimate": "withdrawn", "invoice": "issued"})
    assert "The order has its invoice." in tried.message


def test_whoever_resends_for_a_paused_store_is_told_that_it_waits(shop: Shop) -> None:
    invoice = failed(shop)
    with shop.context.ledger.write() as connection:
        store_pauses.pause(
            connection, shop.store_id, reason="by hand", now=shop.clock.now(), next_probe_at=None
        )
    assert "is paused (by hand)" in send_again(shop, invoice).message


@pytest.mark.parametrize(
    ("send", "state", "said"),
    [
        (
            lambda shop, one: ended(shop, one, Effect.NOT_TAKEN),
            "due",
            "due already, and sent soon after 2026",
        ),
        (lambda shop, one: shop.claim(one, lease=40), "sending", "being sent at this moment"),
    ],
)
def test_what_is_under_way_needs_no_resending(
    shop: Shop, send: Callable[[Shop, int], object], state: str, said: str
) -> None:
    invoice = due(shop)
    send(shop, invoice)
    before = shop.issuance(invoice)
    tried = send_again(shop, invoice)
    assert (tried.is_fulfilled, tried.has_changed) == (True, False)
    assert said in tried.message
    assert (before.state, shop.issuance(invoice)) == (state, before)


def test_a_held_document_that_is_marked_as_issued_counts_for_what_was_sent(shop: Shop) -> None:
    invoice = held(shop)  # the dead worker had sent it with a total of 1
    first = mark(shop, invoice)
    assert (first.is_fulfilled, first.has_changed) == (True, True)
    assert "invoiced 1 EUR" in first.message
    assert shop.order().decision == "attention"
    second = mark(shop, invoice)
    assert (second.is_fulfilled, second.has_changed) == (True, False)
    assert "issued already" in second.message
    assert [action.verb for action in done(shop)] == ["mark-issued"]
    shop.clock.advance(days=1)
    maintain(shop.context)
    forward_issuance(shop.context, invoice)
    assert shop.documents() == []


@pytest.mark.parametrize("stuck", [due, failed])
def test_a_document_made_by_hand_counts_for_what_the_order_is_now(
    shop: Shop, stuck: Callable[[Shop], int]
) -> None:
    invoice = stuck(shop)
    assert mark(shop, invoice).is_fulfilled
    snapshot = shop.order().snapshot
    assert snapshot is not None
    marked = shop.issuance(invoice)
    assert (marked.total, marked.currency, marked.last_error) == (snapshot.total, snapshot.currency, None)
    assert (shop.order().decision, shop.states()) == ("done", {"invoice": "issued"})


def test_a_withdrawn_document_that_was_made_by_hand_is_not_issued_again_when_its_order_revives(
    shop: Shop,
) -> None:
    invoice = due(shop)
    shop.process(shop.receive(at(2, status="cancelled")))
    assert shop.states() == {"invoice": "withdrawn"}
    assert mark(shop, invoice).has_changed
    assert shop.process(shop.receive(at(3, status="processing"))) == []
    assert (shop.order().decision, shop.states()) == ("done", {"invoice": "issued"})


def test_marking_the_invoice_as_issued_withdraws_an_estimate_that_is_due(shop: Shop) -> None:
    invoice = failed(shop)
    shop.process(shop.receive(at(2, **BY_BANK)))
    assert shop.states() == {"invoice": "failed", "estimate": "due"}
    assert mark(shop, invoice).is_fulfilled
    assert shop.states() == {"invoice": "issued", "estimate": "withdrawn"}


def test_what_an_operator_withdrew_no_delivery_brings_back_but_resending_does(shop: Shop) -> None:
    invoice = due(shop)
    first = take_back(shop, invoice)
    assert (first.is_fulfilled, first.has_changed) == (True, True)
    assert "Space Invoices" not in first.message
    second = take_back(shop, invoice)
    assert (second.is_fulfilled, second.has_changed) == (True, False)
    assert f"withdrawn already by {WHO}" in second.message
    assert shop.process(shop.receive(at(2, status="cancelled"))) == []
    assert shop.process(shop.receive(at(3, status="completed"))) == []
    assert (shop.order().decision, shop.states()) == ("skip", {"invoice": "withdrawn"})
    assert WHO in (shop.order().reason or "")
    assert send_again(shop, invoice).is_fulfilled
    assert shop.issuance(invoice).withdrawn_by is None
    forward_issuance(shop.context, invoice)
    assert shop.documents() == ["invoice"]
    assert [action.verb for action in done(shop)] == ["withdraw", "resend"]


def test_what_a_decision_had_withdrawn_an_operator_can_withdraw_for_good(shop: Shop) -> None:
    invoice = due(shop)
    shop.process(shop.receive(at(2, status="cancelled")))
    assert "is sent when it is" in send_again(shop, invoice).message
    assert take_back(shop, invoice).has_changed
    assert shop.process(shop.receive(at(3, status="processing"))) == []
    assert shop.states() == {"invoice": "withdrawn"}


def test_a_held_document_that_was_withdrawn_is_resent_only_after_a_look(shop: Shop) -> None:
    invoice = held(shop)
    assert "mark it as issued" in take_back(shop, invoice).message
    tried = resend(shop.context.ledger, invoice, cleared_attempt=None, who=WHO, now=shop.clock.now())
    assert (tried.is_fulfilled, shop.states()) == (False, {"invoice": "withdrawn"})
    assert send_again(shop, invoice).is_fulfilled


def test_withdrawing_a_held_invoice_lets_the_estimate_fall_due_and_says_so(shop: Shop) -> None:
    def by_bank_payment(invoice: bool) -> None:
        config = {"id": WOOCOMMERCE, "name": "Shop", "issueInvoiceForBankPayment": invoice}
        with shop.context.ledger.write() as connection:
            store = stores.get(connection, shop.store_id)
            store_configs.save(connection, store, config, shop.clock.now())

    by_bank_payment(invoice=True)
    invoice = held(shop, **BY_BANK)
    by_bank_payment(invoice=False)
    maintain(shop.context)
    assert shop.states() == {"invoice": "held"}
    message = take_back(shop, invoice).message
    assert shop.states() == {"invoice": "withdrawn", "estimate": "due"}
    assert "Its order now: estimate." in message
    assert "Its estimate, issuance " in message


@pytest.mark.parametrize("verb", [mark, take_back])
def test_what_is_being_sent_is_left_alone(shop: Shop, verb: Verb) -> None:
    invoice = due(shop)
    shop.claim(invoice, lease=40)
    tried = verb(shop, invoice)
    assert (tried.is_fulfilled, tried.has_changed) == (False, False)
    assert "wait a minute or two" in tried.message
    assert (shop.states(), list(done(shop))) == ({"invoice": "sending"}, [])


def test_an_issued_document_is_not_withdrawn(shop: Shop) -> None:
    invoice = due(shop)
    forward_issuance(shop.context, invoice)
    tried = take_back(shop, invoice)
    assert (tried.is_fulfilled, shop.states()) == (False, {"invoice": "issued"})
    assert "cancel it in Space Invoices" in tried.message


@pytest.mark.parametrize("verb", [send_again, mark, take_back])
@pytest.mark.parametrize("unknown", [1, 2**63 - 1])
def test_an_issuance_that_there_is_not_is_named(shop: Shop, verb: Verb, unknown: int) -> None:
    tried = verb(shop, unknown)
    assert (tried.subject, tried.is_fulfilled, tried.has_changed) == (None, False, False)
    assert f"There is no issuance {unknown}." in tried.message


@pytest.mark.parametrize("verb", [mark, take_back, send_again])
def test_a_late_answer_that_a_document_was_issued_outdoes_whatever_an_operator_did(
    shop: Shop, verb: Verb
) -> None:
    invoice = due(shop)
    attempt = shop.claim(invoice, lease=40)
    shop.clock.advance(seconds=41)
    maintain(shop.context)
    assert verb(shop, invoice).has_changed
    end(shop, attempt, Effect.ISSUED)
    assert (shop.states(), shop.issuance(invoice).withdrawn_by) == ({"invoice": "issued"}, None)


@pytest.mark.parametrize(("verb", "state"), [(mark, "issued"), (take_back, "withdrawn"), (send_again, "due")])
@pytest.mark.parametrize("effect", [Effect.REFUSED, Effect.NOT_TAKEN, Effect.UNKNOWN])
def test_a_late_answer_of_any_other_kind_leaves_what_an_operator_did(
    shop: Shop, verb: Verb, state: str, effect: Effect
) -> None:
    invoice = due(shop)
    attempt = shop.claim(invoice, lease=40)
    shop.clock.advance(seconds=41)
    maintain(shop.context)
    assert verb(shop, invoice).has_changed
    end(shop, attempt, effect)
    assert shop.states() == {"invoice": state}


def test_of_eight_operators_who_resend_at_once_one_does_and_the_document_is_sent_once(shop: Shop) -> None:
    invoice = held(shop)
    reports: list[Report[Issuance]] = []

    def resend_and_send() -> None:
        tell(reports, send_again, shop, invoice)
        forward_issuance(shop.context, invoice)
        shop.context.close()

    at_once(*[resend_and_send] * 8)
    assert [report.has_changed for report in reports].count(True) == 1
    assert len(done(shop)) == 1
    assert (shop.documents(), shop.states()) == (["invoice"], {"invoice": "issued"})


def test_operators_who_disagree_come_one_after_the_other(shop: Shop) -> None:
    for number in range(1, 7):
        invoice = ended(shop, shop.paid(number), Effect.REFUSED)
        reports: list[Report[Issuance]] = []
        verbs = [mark, take_back, send_again] * 2
        at_once(*(partial(tell, reports, verb, shop, invoice) for verb in verbs))
        with shop.context.ledger.read() as connection:
            results = [one.result for one in actions.of_resource(connection, shop.store_id, number)]
        assert len(results) == [report.has_changed for report in reports].count(True)
        steps = [result.partition(" -> ")[0].split(", is ") for result in results]
        entered, left = [step[0] for step in steps], ["was " + step[1] for step in steps]
        assert entered == ["was failed", *left[:-1]]  # each begins where the one before has ended
        assert "was " + shop.issuance(invoice).state == left[-1]


@pytest.mark.parametrize(("verb", "state"), [(mark, "issued"), (take_back, "withdrawn")])
def test_a_worker_and_an_operator_at_once_never_both_have_their_way(
    shop: Shop, verb: Verb, state: str
) -> None:
    def send(issuance_id: int, looks: int, starts: threading.Event) -> None:
        """Forward it; the operator starts when the worker looks at its clock for so many a time."""
        looked = itertools.count(1)

        def now() -> datetime:
            if next(looked) >= looks:
                starts.set()
            return shop.clock.now()

        context = replace(shop.context, now=now, _clients=Clients())
        try:
            forward_issuance(context, issuance_id)
        finally:
            starts.set()
            context.close()

    def operate(reports: list[Report[Issuance]], issuance_id: int, starts: threading.Event) -> None:
        starts.wait()
        tell(reports, verb, shop, issuance_id)

    sent = 0
    for number in range(1, 13):
        invoice, starts = shop.paid(number), threading.Event()
        reports: list[Report[Issuance]] = []
        # The first two looks are before the claim, the third in the claim's transaction, before its lock.
        at_once(partial(send, invoice, 1 + number % 3, starts), partial(operate, reports, invoice, starts))
        sent += not reports[0].has_changed
        assert len(shop.documents()) == sent
        assert shop.issuance(invoice).state == (state if reports[0].has_changed else "issued")


@pytest.mark.parametrize(
    ("effect", "state"), [(Effect.ISSUED, "issued"), (Effect.REFUSED, "due"), (Effect.UNKNOWN, "due")]
)
def test_an_outcome_that_is_recorded_while_an_operator_resends_counts_as_much_as_it_would_alone(
    shop: Shop, effect: Effect, state: str
) -> None:
    for number in range(1, 7):
        invoice = shop.paid(number)
        attempt = shop.claim(invoice, lease=40)
        shop.clock.advance(seconds=41)
        maintain(shop.context)
        at_once(partial(end, shop, attempt, effect), partial(send_again, shop, invoice))
        assert shop.issuance(invoice).state == state


def test_a_replayed_delivery_is_processed_once_more_and_that_is_kept(shop: Shop) -> None:
    delivery = shop.receive(at(1, status="processing"))
    shop.process(delivery)
    first = replay(shop.context.ledger, delivery, who=WHO, now=shop.clock.now())
    assert (first.is_fulfilled, first.has_changed) == (True, True)
    second = replay(shop.context.ledger, delivery, who=WHO, now=shop.clock.now())
    assert (second.is_fulfilled, second.has_changed) == (True, False)
    assert "waits to be processed already" in second.message
    assert [(action.verb, action.delivery_id) for action in done(shop)] == [("replay", delivery)]
    shop.clock.advance(seconds=3)
    assert list(maintain(shop.context).deliveries) == [delivery]
    shop.process(delivery)
    assert (shop.states(), list(maintain(shop.context).deliveries)) == ({"invoice": "due"}, [])


def test_a_delivery_that_was_given_up_has_all_its_tries_again_when_it_is_replayed(shop: Shop) -> None:
    delivery = shop.receive(at(1, status="processing"))
    for _ in range(processing.GIVE_UP_AFTER):
        with shop.context.ledger.write() as connection:
            processing.note_failure(connection, delivery, "could not be processed: KeyError")
    replayed = replay(shop.context.ledger, delivery, who=WHO, now=shop.clock.now())
    assert (replayed.is_fulfilled, done(shop)[0].result) == (True, "was failed, is to be processed again")
    with shop.context.ledger.write() as connection:
        processing.note_failure(connection, delivery, "could not be processed: KeyError")
        found = deliveries.get(connection, delivery)
    assert found is not None
    assert found.state == "received"


def test_a_delivery_of_no_use_and_one_that_there_is_not_are_not_replayed(shop: Shop) -> None:
    useless = shop.receive({"id": 1, "name": "a customer"}, "customer.updated")
    shop.process(useless)
    tried = replay(shop.context.ledger, useless, who=WHO, now=shop.clock.now())
    assert (tried.is_fulfilled, tried.has_changed) == (False, False)
    assert "customer.updated is not about orders" in tried.message
    unknown = replay(shop.context.ledger, 99, who=WHO, now=shop.clock.now())
    assert (unknown.subject, unknown.is_fulfilled) == (None, False)


def test_a_delivery_that_is_replayed_while_it_is_processed_is_processed_in_the_end(shop: Shop) -> None:
    delivery = shop.receive(at(1, status="processing"))
    reports: list[Report[deliveries.Delivery]] = []
    at_once(
        lambda: shop.process(delivery),
        lambda: reports.append(replay(shop.context.ledger, delivery, who=WHO, now=shop.clock.now())),
    )
    assert len(done(shop)) == reports[0].has_changed
    shop.clock.advance(seconds=3)
    left = list(maintain(shop.context).deliveries)
    # It is left to the sweep, too, where it was locked by the replay, which then has nothing to change.
    assert left == [delivery] if reports[0].has_changed else left in ([], [delivery])
    shop.process(delivery)
    assert (shop.states(), list(maintain(shop.context).deliveries)) == ({"invoice": "due"}, [])


def test_a_delivery_that_a_replay_has_locked_is_processed_after_it(shop: Shop) -> None:
    delivery, another = (shop.receive(at(1, id=number, status="processing")) for number in (1, 2))
    with shop.context.ledger.write() as connection:
        assert deliveries.lock(connection, delivery) is not None
        assert not kept_deliveries.replay(connection, delivery)
        worker = Other(lambda: process_deliveries(shop.context, [delivery, another]))
        if connection.dialect.name == "postgresql":
            worker.result()  # with the other one processed, and this one left to the sweep
        else:
            worker.wait_until_it_waits(shop.context.ledger)
    worker.result()
    shop.clock.advance(seconds=3)
    shop.process(*list(maintain(shop.context).deliveries) or [delivery])
    assert (shop.states(), list(maintain(shop.context).deliveries)) == ({"invoice": "due"}, [])


def test_what_was_done_to_other_orders_and_in_other_stores_is_kept_apart(shop: Shop) -> None:
    mine, other = shop.paid(1), shop.paid(2)
    take_back(shop, mine)
    take_back(shop, other)
    with shop.context.ledger.read() as connection:
        assert [one.issuance_id for one in actions.of_resource(connection, shop.store_id, 2)] == [other]
        assert list(actions.of_resource(connection, shop.store_id + 1, 1)) == []
        assert issuances.get(connection, mine) is not None
