"""Whole lives of orders, delivered in any order and any number of times: what may never happen.

The pipeline is played here without its database: the newest snapshot is kept, it is decided on, and what
falls due is issued.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise, permutations
from operator import attrgetter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.issuance import (
    LABELS,
    STANDARD_STATUSES,
    Config,
    Decision,
    Details,
    Document,
    Documents,
    Exceptions,
    Kind,
    Order,
    OrderStage,
    Place,
    Policy,
    Timekeeping,
    Verdict,
    decide,
    is_newer,
    read_delivery,
    stage_of,
    was_saved_later,
)
from tests.support import recorded
from tests.support.deciding import BEGINNINGS

INVOICE, ESTIMATE = Kind.INVOICE, Kind.ESTIMATE
BEGIN = datetime(2026, 11, 23, 11, 49, 26, tzinfo=UTC)
FIRST = Order(
    resource_id=328,
    order_key="wc_order_USRONgJwya2HZ",
    number="328",
    status="pending",
    payment_method="bacs",
    total="126.98",
    currency="EUR",
    modified=BEGIN,
    has_date_paid=False,
    has_refunds=False,
)

quickly = settings(max_examples=200, deadline=None, derandomize=True)

statuses = st.sampled_from([*STANDARD_STATUSES, "backorder", "in-transit"])
active_configs = st.builds(
    Config, issue_invoice_for_bank_payment=st.booleans(), issue_invoice_on_complete=st.booleans()
)
configs = st.one_of(active_configs, active_configs, active_configs, st.just(Config(active=False)))
policies = st.builds(
    Policy,
    issue_pending=st.booleans(),
    bank_payment_methods=st.sampled_from([frozenset({"bacs"}), frozenset({"bacs", "cheque"}), frozenset()]),
    status_map=st.sampled_from(
        [{}, {"backorder": "on-hold"}, {"backorder": "cancelled", "in-transit": "completed"}]
    ),
    unpaid_on_hold=st.sampled_from(["issue", "issue", "wait"]),
    zero_total=st.sampled_from(["issue", "skip"]),
    sub_orders=st.sampled_from(["ask", "issue", "skip"]),
)


some_details = st.one_of(
    st.just(Details()),
    st.just(Details()),
    st.builds(
        Details,
        parent_id=st.sampled_from([0, 0, 327]),
        paid_back=st.sampled_from(["0", "10.00", "126.98"]),
        is_test=st.booleans(),
        is_anonymized=st.booleans(),
        lines=st.sampled_from(["", "a", "b"]),
    ),
)


@st.composite
def lives(draw: st.DrawFn, min_size: int = 1, max_size: int = 6) -> list[Order]:
    """What a shop said of one order, in the order in which it came about: seconds never go back."""
    moment, life = BEGIN, []
    for _ in range(draw(st.integers(min_size, max_size))):
        moment += timedelta(seconds=draw(st.sampled_from([0, 0, 1, 60])))
        life.append(
            replace(
                FIRST,
                status=draw(statuses),
                payment_method=draw(st.sampled_from(["bacs", "cheque", "cod", "stripe_cc", ""])),
                total=draw(st.sampled_from(["126.98", "126.98", "130.00", "0.00", "-1.00"])),
                modified=moment,
                has_date_paid=draw(st.booleans()),
                has_refunds=draw(st.sampled_from([False, False, True])),
                details=draw(some_details),
            )
        )
    return life


@st.composite
def arrivals(draw: st.DrawFn, life: Sequence[Order]) -> list[Order]:
    """Every snapshot of a life at least once, in any order, some of them again and again."""
    again = draw(st.lists(st.sampled_from(life), max_size=6))
    return draw(st.permutations([*life, *again]))


class Bridge:
    """One order in the bridge, which issues at once what falls due."""

    def __init__(self, config: Config, policy: Policy) -> None:
        self.config = config
        self.policy = policy
        self.newest: Order | None = None
        self.documents: Documents = {}
        self.issued: list[Kind] = []
        self.verdict: Verdict | None = None

    def receive(self, snapshot: Order) -> None:
        if self.newest is None or _replaces(snapshot, self.newest, self.policy):
            self.newest = snapshot
        self.verdict = self._decide(self.newest)
        if self.verdict.kind is not None:
            self._issue(self.newest, self.verdict.kind)
            self.verdict = self._decide(self.newest)
            # One document at a time: issuing one makes no other fall due.
            assert self.verdict.kind is None

    def _decide(self, newest: Order) -> Verdict:
        return decide(newest, deleted=False, config=self.config, policy=self.policy, documents=self.documents)

    def _issue(self, newest: Order, kind: Kind) -> None:
        self.documents = {**self.documents, kind: Document(newest.total, newest.currency)}
        self.issued.append(kind)


def _replaces(snapshot: Order, known: Order, policy: Policy) -> bool:
    return is_newer(
        place(snapshot.modified, stage_of(snapshot, policy.status_map)),
        place(known.modified, stage_of(known, policy.status_map)),
    )


def place(
    modified: datetime, reached: OrderStage, arrival: int = 0, timekeeping: Timekeeping = Timekeeping.UTC
) -> Place:
    return Place(modified, timekeeping, reached, arrival)


def deliver(snapshots: Iterable[Order], config: Config, policy: Policy) -> Bridge:
    bridge = Bridge(config, policy)
    for snapshot in snapshots:
        bridge.receive(snapshot)
    return bridge


def is_due_an_invoice(snapshot: Order, config: Config, policy: Policy) -> bool:
    """Whether this snapshot alone, were it the newest, would have an invoice issued."""
    verdict = decide(snapshot, deleted=False, config=config, policy=policy, documents={})
    return verdict.kind is INVOICE


def newest_of(life: Sequence[Order], policy: Policy) -> list[Order]:
    """The snapshots that no other replaces for good: more than one if they are level within a second."""
    latest = max((one.modified, stage_of(one, policy.status_map)) for one in life)
    return [one for one in life if (one.modified, stage_of(one, policy.status_map)) == latest]


def orders_of_arrival(life: Sequence[Order]) -> Iterable[Sequence[Order]]:
    """All of them for a short life."""
    assert len(life) <= 4
    return permutations(life)


def assert_never_twice(issued: Sequence[Kind]) -> None:
    assert list(issued) in ([], [ESTIMATE], [INVOICE], [ESTIMATE, INVOICE])


# What must never happen.


@quickly
@given(st.data(), lives(), configs, policies)
def test_no_document_is_issued_twice_and_no_estimate_after_an_invoice(
    data: st.DataObject, life: list[Order], config: Config, policy: Policy
) -> None:
    bridge = deliver(data.draw(arrivals(life)), config, policy)

    assert_never_twice(bridge.issued)


@quickly
@given(st.data(), lives(), configs, policies)
def test_a_delivery_repeated_at_once_changes_nothing(
    data: st.DataObject, life: list[Order], config: Config, policy: Policy
) -> None:
    order_of_arrival = data.draw(st.permutations(life))
    times = data.draw(st.lists(st.integers(1, 4), min_size=len(life), max_size=len(life)))

    once = deliver(order_of_arrival, config, policy)
    repeated = deliver(
        [one for one, count in zip(order_of_arrival, times, strict=True) for _ in range(count)],
        config,
        policy,
    )

    assert repeated.issued == once.issued
    assert repeated.newest == once.newest
    assert repeated.verdict == once.verdict


@quickly
@given(st.data(), lives(), configs, policies)
def test_a_delivery_repeated_later_issues_nothing(
    data: st.DataObject, life: list[Order], config: Config, policy: Policy
) -> None:
    """The ledger knows a repeated delivery by its digest; without that, nothing would come of it either."""
    bridge = deliver(data.draw(st.permutations(life)), config, policy)
    issued = list(bridge.issued)

    for again in data.draw(st.lists(st.sampled_from(life), max_size=8)):
        bridge.receive(again)

    assert bridge.issued == issued


# What does not depend on the order of arrival.


@quickly
@given(lives(max_size=4), configs, policies)
def test_every_order_of_arrival_ends_with_an_invoice_exactly_if_a_newest_snapshot_is_due_one(
    life: list[Order], config: Config, policy: Policy
) -> None:
    """This is as much as holds for any life.

    "No order of arrival changes whether there is an invoice" would be false: an order that was
    processing and then cancelled has an invoice if the first news arrived first, and rightly none if the
    cancellation overtook it. The newest snapshot, however, is always believed when it arrives, so what it
    is due is issued in the end; and if it is due nothing, it may have been the first to arrive.
    """
    by_the_newest = any(is_due_an_invoice(one, config, policy) for one in newest_of(life, policy))

    always = all(INVOICE in deliver(arrived, config, policy).issued for arrived in orders_of_arrival(life))

    assert always == by_the_newest


@quickly
@given(lives(max_size=4), configs, policies)
def test_some_order_of_arrival_ends_with_an_invoice_exactly_if_any_snapshot_is_due_one(
    life: list[Order], config: Config, policy: Policy
) -> None:
    by_any = any(is_due_an_invoice(one, config, policy) for one in life)

    sometimes = any(INVOICE in deliver(arrived, config, policy).issued for arrived in orders_of_arrival(life))

    assert sometimes == by_any


@quickly
@given(st.data(), lives(), configs, policies)
def test_a_life_that_stays_due_an_invoice_ends_the_same_in_every_order_of_arrival(
    data: st.DataObject, life: list[Order], config: Config, policy: Policy
) -> None:
    """The lives of almost all orders: once an invoice is due, no later snapshot takes that back."""
    staying: list[Order] = []
    for snapshot in sorted(life, key=lambda one: (one.modified, stage_of(one, policy.status_map))):
        was_due = bool(staying) and is_due_an_invoice(staying[-1], config, policy)
        if not was_due or is_due_an_invoice(snapshot, config, policy):
            staying.append(snapshot)

    in_order = deliver(staying, config, policy)
    in_any_order = deliver(data.draw(arrivals(staying)), config, policy)

    assert (INVOICE in in_any_order.issued) == (INVOICE in in_order.issued)


def test_a_cancellation_that_overtakes_the_payment_prevents_the_invoice() -> None:
    processing = replace(FIRST, status="processing", has_date_paid=True)
    cancelled = replace(processing, status="cancelled", modified=BEGIN + timedelta(seconds=5))

    in_order = deliver([processing, cancelled], Config(), Policy())
    overtaken = deliver([cancelled, processing], Config(), Policy())

    assert in_order.issued == [INVOICE]
    assert overtaken.issued == []


@quickly
@given(st.data(), lives(), configs, policies)
def test_the_newest_snapshot_is_known_in_the_end_whatever_the_order_of_arrival(
    data: st.DataObject, life: list[Order], config: Config, policy: Policy
) -> None:
    bridge = deliver(data.draw(arrivals(life)), config, policy)

    assert bridge.newest in newest_of(life, policy)


@quickly
@given(lives(), configs, policies)
def test_whether_an_estimate_is_out_never_decides_on_the_invoice(
    life: list[Order], config: Config, policy: Policy
) -> None:
    estimated = {ESTIMATE: Document(FIRST.total, FIRST.currency)}

    for snapshot in life:
        verdict = decide(snapshot, deleted=False, config=config, policy=policy, documents=estimated)

        assert (verdict.kind is INVOICE) == is_due_an_invoice(snapshot, config, policy)


# Lives everyone knows.


@quickly
@given(st.data(), lives(), active_configs, policies)
def test_an_order_first_seen_completed_gets_an_invoice_and_never_an_estimate(
    data: st.DataObject, life: list[Order], config: Config, policy: Policy
) -> None:
    completed = replace(
        data.draw(st.sampled_from(life)), status="completed", total="126.98", details=Details()
    )

    bridge = deliver([completed, *data.draw(arrivals(life))], config, policy)

    assert bridge.issued == [INVOICE]


@pytest.mark.parametrize(
    ("config", "invoiced_at"),
    [
        (Config(), "processing"),
        (Config(issue_invoice_for_bank_payment=True), "processing"),
        (Config(issue_invoice_on_complete=True), "completed"),
        (Config(issue_invoice_for_bank_payment=True, issue_invoice_on_complete=True), "completed"),
    ],
)
def test_a_card_order_gets_exactly_one_invoice_at_the_time_the_flag_names(
    config: Config, invoiced_at: str
) -> None:
    pending = replace(FIRST, payment_method="stripe_cc")
    processing = replace(pending, status="processing", has_date_paid=True)
    bridge = Bridge(config, Policy())
    issued_at = []

    for snapshot in (pending, processing, replace(processing, status="completed")):
        before = len(bridge.issued)
        bridge.receive(snapshot)
        issued_at += [snapshot.status] * (len(bridge.issued) - before)

    assert bridge.issued == [INVOICE]
    assert issued_at == [invoiced_at]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # by default, and with the invoice on completion, the estimate is out at once
        (Config(), [("on-hold", ESTIMATE), ("processing", INVOICE)]),
        (Config(issue_invoice_on_complete=True), [("on-hold", ESTIMATE), ("completed", INVOICE)]),
        # the other flag leaves no room for an estimate
        (Config(issue_invoice_for_bank_payment=True), [("on-hold", INVOICE)]),
        (
            Config(issue_invoice_for_bank_payment=True, issue_invoice_on_complete=True),
            [("completed", INVOICE)],
        ),
    ],
)
def test_a_bank_order_gets_its_documents_one_after_the_other(
    config: Config, expected: list[tuple[str, Kind]]
) -> None:
    on_hold = replace(FIRST, status="on-hold")
    processing = replace(on_hold, status="processing", has_date_paid=True)
    bridge = Bridge(config, Policy())
    issued: list[tuple[str, Kind]] = []

    for snapshot in (on_hold, processing, replace(processing, status="completed")):
        before = len(bridge.issued)
        bridge.receive(snapshot)
        issued += [(snapshot.status, kind) for kind in bridge.issued[before:]]

    assert issued == expected


def test_a_failed_payment_that_is_repeated_ends_with_an_invoice() -> None:
    failed = replace(FIRST, status="failed", payment_method="stripe_cc")
    later = BEGIN + timedelta(seconds=46)

    bridge = deliver(
        [failed, replace(failed, status="processing", has_date_paid=True, modified=later)], Config(), Policy()
    )

    assert bridge.issued == [INVOICE]


def recorded_lives() -> list[list[Order]]:
    """The orders of the recorded shop of which there is more than one snapshot."""
    snapshots = [
        about
        for one in recorded.load("life-of-a-store")
        if isinstance(about := read_delivery(one.topic, one.body), Order)
    ]
    snapshots.sort(key=attrgetter("order_key"))
    found = [list(life) for _, life in groupby(snapshots, key=attrgetter("order_key"))]
    return [life for life in found if len(life) > 1]


RECORDED = recorded_lives()


@quickly
@given(st.data(), st.sampled_from(RECORDED), active_configs)
def test_the_recorded_lives_end_well_in_any_order_of_arrival(
    data: st.DataObject, life: list[Order], config: Config
) -> None:
    bridge = deliver(data.draw(arrivals(life)), config, Policy())

    assert_never_twice(bridge.issued)
    if any(is_due_an_invoice(one, config, Policy()) for one in newest_of(life, Policy())):
        assert INVOICE in bridge.issued


# Which snapshot counts.


def test_within_a_second_the_snapshot_that_is_further_along_wins() -> None:
    along = [
        OrderStage.NOT_YET_AN_ORDER,
        OrderStage.UNKNOWN,
        OrderStage.PENDING,
        OrderStage.ON_HOLD,
        OrderStage.PROCESSING,
        OrderStage.COMPLETED,
        OrderStage.DEAD,
    ]

    for earlier, later in pairwise(along):
        assert is_newer(place(BEGIN, later), place(BEGIN, earlier, arrival=1))
        assert not is_newer(place(BEGIN, earlier, arrival=1), place(BEGIN, later))


@pytest.mark.parametrize("reached", OrderStage)
def test_of_two_level_snapshots_the_last_to_arrive_wins(reached: OrderStage) -> None:
    assert is_newer(place(BEGIN, reached, 2), place(BEGIN, reached, 1))
    assert not is_newer(place(BEGIN, reached, 1), place(BEGIN, reached, 2))


@quickly
@given(st.integers(1, 10**8), st.sampled_from(OrderStage), st.sampled_from(OrderStage))
def test_an_older_snapshot_never_replaces_a_newer_one(
    seconds: int, reached: OrderStage, older_reached: OrderStage
) -> None:
    older = BEGIN - timedelta(seconds=seconds)

    assert not is_newer(place(older, older_reached, arrival=1), place(BEGIN, reached))
    assert is_newer(place(BEGIN, reached), place(older, older_reached, arrival=1))


@quickly
@given(
    st.integers(-(10**8), 10**8),
    st.sampled_from(OrderStage),
    st.sampled_from(OrderStage),
    st.sampled_from(
        [
            (Timekeeping.LOCAL, Timekeeping.UTC),
            (Timekeeping.UTC, Timekeeping.LOCAL),
            (Timekeeping.NONE, Timekeeping.UTC),
            (Timekeeping.UTC, Timekeeping.NONE),
            (Timekeeping.NONE, Timekeeping.NONE),
        ]
    ),
)
def test_times_that_cannot_be_compared_leave_it_to_the_arrival(
    seconds: int, reached: OrderStage, other: OrderStage, kept: tuple[Timekeeping, Timekeeping]
) -> None:
    moment = BEGIN + timedelta(seconds=seconds)
    first, second = place(moment, reached, 1, kept[0]), place(BEGIN, other, 2, kept[1])

    assert is_newer(second, first)
    assert not is_newer(first, second)
    assert was_saved_later(second, first)
    assert not was_saved_later(first, second)


@pytest.mark.parametrize("kept", [Timekeeping.UTC, Timekeeping.LOCAL])
def test_times_of_one_kind_say_which_was_saved_later_whatever_arrived_last(kept: Timekeeping) -> None:
    later = place(BEGIN + timedelta(seconds=1), OrderStage.PENDING, 1, kept)
    earlier = place(BEGIN, OrderStage.DEAD, 2, kept)

    assert was_saved_later(later, earlier)
    assert not was_saved_later(earlier, later)
    assert not was_saved_later(later, replace(later, arrival=9))


# The decision has an answer to everything.

words = st.text(st.characters(exclude_categories=("C", "Z")), max_size=12)
amounts = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False).map(str), st.sampled_from(["", "300", "300.00"])
)
any_documents = st.builds(Document, total=amounts, currency=words)
any_orders = st.builds(
    Order,
    order_key=words,
    number=words,
    status=statuses | words,
    payment_method=st.sampled_from(["bacs", "cod"]) | words,
    total=amounts,
    currency=words,
    modified=st.datetimes(timezones=st.just(UTC)),
    details=st.builds(
        Details,
        created=st.none() | st.datetimes(timezones=st.just(UTC)),
        created_is_local=st.booleans(),
        payment_title=words,
        parent_id=st.integers(0, 9),
        paid_back=st.decimals(min_value=0, allow_nan=False, allow_infinity=False).map(str),
        is_test=st.booleans(),
        is_anonymized=st.booleans(),
        invoiced_by=st.dictionaries(st.just("apollo_invoice_id") | words, words, max_size=1),
        lines=words,
        customer=words,
    ),
)
any_policies = st.builds(
    Policy,
    issue_pending=st.booleans(),
    bank_payment_methods=st.frozensets(words),
    status_map=st.dictionaries(statuses | words, statuses | words),
    issue_from=st.none() | st.datetimes(timezones=st.just(UTC)),
    sub_orders=st.sampled_from(["ask", "issue", "skip"]),
    unpaid_on_hold=st.sampled_from(["issue", "wait"]),
    zero_total=st.sampled_from(["issue", "skip"]),
    test_orders=st.sampled_from(["issue", "skip"]),
)
any_exceptions = st.builds(
    Exceptions,
    issue_anyway=st.booleans(),
    is_from_before=st.booleans(),
    former_key=st.none() | words,
)


@quickly
@given(
    any_orders,
    st.booleans(),
    st.none() | configs,
    any_policies,
    st.dictionaries(st.sampled_from(Kind), any_documents),
    any_exceptions,
)
def test_every_order_gets_a_verdict_and_a_sentence(
    order: Order,
    deleted: bool,
    config: Config | None,
    policy: Policy,
    documents: Documents,
    exceptions: Exceptions,
) -> None:
    verdict = decide(
        order, deleted=deleted, config=config, policy=policy, documents=documents, exceptions=exceptions
    )

    assert (verdict.kind is not None) == (verdict.decision is Decision.ISSUE)
    assert verdict.label in LABELS
    assert re.match(BEGINNINGS, verdict.reason)
    assert verdict.reason.endswith(".")
    assert "\n" not in verdict.reason
    if INVOICE in documents:
        assert verdict.kind is None
    if ESTIMATE in documents:
        assert verdict.kind is not ESTIMATE


class LifeOfAnOrder(RuleBasedStateMachine):
    """A shop, a network that shuffles and repeats, and workers whose requests may come to nothing.

    As in the pipeline, what falls due is first noted, withdrawn if the decision changes, and sent by a
    worker, one request of an order at a time. A document under way counts as one that may exist.
    """

    def __init__(self) -> None:
        super().__init__()
        self.config = Config()
        self.policy = Policy()
        self.life: list[Order] = [FIRST]
        self.newest: Order | None = None
        self.delivered: list[Order] = []
        self.deleted = False
        self.due: Kind | None = None
        self.under_way: tuple[Kind, Document] | None = None
        self.issued: list[tuple[Kind, Document]] = []

    @initialize(config=configs, policy=policies)
    def open_the_shop(self, config: Config, policy: Policy) -> None:
        self.config, self.policy = config, policy

    @rule(
        status=statuses,
        seconds=st.sampled_from([0, 0, 1, 3600]),
        payment_method=st.sampled_from(["bacs", "cheque", "stripe_cc"]),
        total=st.sampled_from(["126.98", "130.00"]),
        has_date_paid=st.booleans(),
        has_refunds=st.booleans(),
    )
    def change_the_order(
        self,
        status: str,
        seconds: int,
        payment_method: str,
        total: str,
        has_date_paid: bool,
        has_refunds: bool,
    ) -> None:
        self.life.append(
            replace(
                self.life[-1],
                status=status,
                payment_method=payment_method,
                total=total,
                modified=self.life[-1].modified + timedelta(seconds=seconds),
                has_date_paid=has_date_paid,
                has_refunds=has_refunds,
            )
        )

    @rule(data=st.data())
    def deliver_any_snapshot_again_or_for_the_first_time(self, data: st.DataObject) -> None:
        snapshot = data.draw(st.sampled_from(self.life))
        self.delivered.append(snapshot)
        if self.newest is None or _replaces(snapshot, self.newest, self.policy):
            self.newest = snapshot
        self._settle()

    @rule(config=configs)
    def change_the_flags(self, config: Config) -> None:
        self.config = config
        self._settle()

    @rule()
    def trash_or_restore(self) -> None:
        self.deleted = not self.deleted
        self._settle()

    @precondition(lambda self: self.due is not None and self.under_way is None)
    @rule()
    def begin_to_send(self) -> None:
        assert self.due is not None
        assert self.newest is not None
        self.under_way = (self.due, Document(self.newest.total, self.newest.currency))
        self._settle()

    @precondition(lambda self: self.under_way is not None)
    @rule(taken=st.booleans())
    def end_sending(self, taken: bool) -> None:
        if self.under_way is not None and taken:
            self.issued.append(self.under_way)
        self.under_way = None
        self._settle()

    @invariant()
    def no_document_is_issued_twice(self) -> None:
        may_exist = [*self.issued, self.under_way] if self.under_way else self.issued
        assert_never_twice([kind for kind, _ in may_exist])

    @invariant()
    def no_older_snapshot_has_replaced_a_newer_one(self) -> None:
        if self.newest is not None:
            assert self.newest in newest_of(self.delivered, self.policy)

    @invariant()
    def an_inactive_or_deleted_order_has_nothing_due(self) -> None:
        if self.deleted or not self.config.active:
            assert self.due is None

    def _settle(self) -> None:
        if self.newest is None:
            return
        may_exist = dict([*self.issued, self.under_way] if self.under_way else self.issued)
        verdict = decide(
            self.newest,
            deleted=self.deleted,
            config=self.config,
            policy=self.policy,
            documents=may_exist,
        )
        self.due = verdict.kind


LifeOfAnOrder.TestCase.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, derandomize=True
)
TestLifeOfAnOrder = LifeOfAnOrder.TestCase
