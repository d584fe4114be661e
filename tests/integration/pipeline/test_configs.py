"""A store's config: fetched, kept, served while Space Invoices is away, and decided by as it changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.issuance import StoreOptions
from bridge.ledger import store_configs, stores
from bridge.maintenance.redecide import redecide
from bridge.pipeline.context import Clients, Context
from bridge.pipeline.store_configs import (
    ASK_AGAIN_AFTER,
    LEAST_AT_ONCE,
    MISSING_FOR,
    SPREAD,
    fetch_config,
    is_stale,
    is_to_be_awaited,
    refresh_config,
)
from bridge.sandbox import create_sandbox
from tests.support.api import Api, failing_api
from tests.support.counter import serving
from tests.support.crowds import at_once
from tests.support.shop import ORGANIZATION, TOKEN, WOOCOMMERCE, Shop, at, forward_issuance, maintain

TTL = 300


@pytest.fixture
def context(shop: Shop) -> Iterator[Context]:
    """The shop's context with a time to live that is usual."""
    context = replace(shop.context, config_ttl=TTL, _clients=Clients())
    yield context
    context.close()


def change(shop: Shop, **properties: object) -> None:
    """Change the store's object in the sandbox."""
    answer = shop.sandbox.test_client().patch(
        f"/v1/Woocommerce/{WOOCOMMERCE}", json=properties, headers={"Authorization": TOKEN}
    )
    assert answer.status_code == 200


@contextmanager
def without_the_object(context: Context) -> Iterator[Context]:
    """The context with another sandbox, in which the store's object is not (any more)."""
    sandbox = create_sandbox(organization_id=ORGANIZATION, token=TOKEN, rate_limit=10_000)
    with serving(sandbox) as port:
        other = replace(context, api_url=f"http://127.0.0.1:{port}/v1", _clients=Clients())
        yield other
        other.close()


def known(shop: Shop) -> dict[str, Any]:
    return dict(shop.store().config or {})


# When it is fetched.


def test_a_config_is_fetched_again_when_it_has_lived_its_time(shop: Shop, context: Context) -> None:
    change(shop, locale="sl")
    shop.clock.advance(seconds=TTL * 0.79)
    assert list(maintain(context).configs) == []
    refresh_config(context, shop.store_id)
    assert known(shop)["locale"] is None
    shop.clock.advance(seconds=TTL * 0.22)
    assert list(maintain(context).configs) == [shop.store_id]
    refresh_config(context, shop.store_id)
    assert known(shop)["locale"] == "sl"
    assert list(maintain(context).configs) == []


def test_each_store_has_a_time_of_its_own_between_four_fifths_and_the_whole(
    shop: Shop, context: Context
) -> None:
    store = shop.store()
    assert store.config_tried_at is not None

    def lasts(store_id: int) -> int:
        """Seconds until the config of a store of this id is stale."""
        shop.clock.at = store.config_tried_at or shop.clock.at
        for second in range(TTL + 2):
            if is_stale(context, replace(store, id=store_id)):
                return second
            shop.clock.advance(seconds=1)
        return TTL + 2

    found = [lasts(number) for number in range(1, 61)]
    assert min(found) >= TTL * 0.8
    assert max(found) <= TTL
    # Even: in each tenth of that time, about a tenth of the stores.
    tenths = Counter(int((one - TTL * 0.8) // (TTL * 0.02)) for one in found)
    assert all(3 <= tenths[number] <= 9 for number in range(10))
    assert found == [lasts(number) for number in range(1, 61)]


def test_after_a_rest_a_thousand_configs_are_not_fetched_in_one_burst(shop: Shop, context: Context) -> None:
    add_stores(shop, 999)
    a_turn = 2 * 1000 * SPREAD.total_seconds() / TTL
    shop.clock.advance(hours=8)
    fetched: set[int] = set()
    started = shop.clock.now()
    while len(fetched) < 1000:
        in_this_time: set[int] = set()
        for _ in range(4):  # sweeps of several workers come upon the same stores
            found = set(maintain(context).configs)
            assert not found & fetched
            for one in found:
                pretend_to_fetch(shop, one)
            in_this_time |= found
        assert 0 < len(in_this_time) <= a_turn + 1
        fetched |= in_this_time
        shop.clock.advance(seconds=SPREAD.total_seconds())
    assert shop.clock.now() - started <= timedelta(seconds=TTL)


def test_stores_that_have_no_config_yet_come_first(shop: Shop, context: Context) -> None:
    add_stores(shop, 3 * LEAST_AT_ONCE)
    shop.clock.advance(hours=8)
    (new,) = add_stores(shop, 1, fetched=False)
    assert maintain(context).configs[0] == new


def test_a_store_whose_fetch_has_failed_is_tried_again_soon_whatever_the_others_do(
    shop: Shop, context: Context
) -> None:
    add_stores(shop, 3 * LEAST_AT_ONCE)
    shop.clock.advance(seconds=TTL * 0.5)
    with shop.context.ledger.write() as connection:
        assert store_configs.start_fetch(connection, shop.store(), shop.clock.now())
        store_configs.save_error(connection, shop.store_id, "answered 503")
    assert list(maintain(context).configs) == []
    shop.clock.advance(seconds=15)
    assert list(maintain(context).configs) == [shop.store_id]


def test_a_clock_that_was_set_back_keeps_no_config_from_being_fetched(shop: Shop, context: Context) -> None:
    shop.clock.advance(days=-30)
    assert list(maintain(context).configs) == [shop.store_id]
    refresh_config(context, shop.store_id)
    assert shop.store().config_fetched_at == shop.clock.now()


def add_stores(shop: Shop, number: int, *, fetched: bool = True) -> list[int]:
    """Stores with a config that was fetched now, or with none."""
    added = []
    with shop.context.ledger.write() as connection:
        for one in range(number):
            name = f"s{stores.count(connection)}-{one}"
            store_id = stores.add(
                connection,
                vault=shop.context.vault,
                name=name,
                organization_id=ORGANIZATION,
                woocommerce_id=f"the one of {name}",
                api_token=TOKEN,
                webhook_secret="x",
                options=StoreOptions(),
                now=shop.clock.now(),
            )
            if fetched:
                store_configs.save(
                    connection, stores.get(connection, store_id), {"id": "x"}, shop.clock.now()
                )
                stores.finish_redeciding(connection, stores.get(connection, store_id))
            added.append(store_id)
    return added


def pretend_to_fetch(shop: Shop, store_id: int) -> None:
    with shop.context.ledger.write() as connection:
        store_configs.save(connection, stores.get(connection, store_id), {"id": "x"}, shop.clock.now())


# What it is good for meanwhile.


def test_an_old_config_serves_while_space_invoices_is_away(shop: Shop) -> None:
    invoice = shop.paid(1)
    shop.clock.advance(hours=8)
    with failing_api(shop) as (api, failing):
        api.find_status, api.order_status = 503, 200
        forward_issuance(replace(failing, config_ttl=TTL), invoice)
        assert (api.found, api.orders) == (1, [1])
    assert "503" in (shop.store().config_error or "")
    assert shop.issuance(invoice).state == "issued"


@pytest.mark.parametrize(("age", "is_sent"), [(1.5, True), (2.5, False)])
def test_a_config_that_is_being_fetched_serves_unless_it_has_been_resting(
    shop: Shop, context: Context, age: float, is_sent: bool
) -> None:
    invoice = shop.paid(1)
    shop.clock.advance(seconds=TTL * age)
    with context.ledger.write() as connection:
        assert store_configs.start_fetch(connection, shop.store(), shop.clock.now())
    assert is_to_be_awaited(context, shop.store()) is not is_sent
    forward_issuance(context, invoice)
    assert shop.issuance(invoice).state == ("issued" if is_sent else "due")


def test_a_worker_that_died_while_it_fetched_a_config_holds_nothing_up_for_long(
    shop: Shop, context: Context
) -> None:
    invoice = shop.paid(1)
    shop.clock.advance(seconds=TTL * 2.5)
    with context.ledger.write() as connection:
        assert store_configs.start_fetch(connection, shop.store(), shop.clock.now())
    forward_issuance(context, invoice)
    assert shop.issuance(invoice).state == "due"
    shop.clock.advance(seconds=2 * context.api_timeout)
    forward_issuance(context, invoice)
    assert shop.issuance(invoice).state == "issued"


def test_an_answer_that_was_asked_for_earlier_does_not_replace_a_later_one(
    shop: Shop, context: Context
) -> None:
    earlier = shop.clock.now()
    shop.clock.advance(seconds=10)
    new, old = ({"id": WOOCOMMERCE, "locale": locale} for locale in ("new", "old"))
    for config, asked_at in ((new, shop.clock.now()), (old, earlier)):
        with context.ledger.write() as connection:
            store_configs.save(connection, shop.store(), config, asked_at)
    assert known(shop) == new


def test_two_fetches_that_overlap_have_orders_decided_by_what_is_kept(shop: Shop, context: Context) -> None:
    """Each compares with what is kept by then, and not with what it knew when it began."""
    before = shop.store()
    configs = [{"id": WOOCOMMERCE, "issueInvoiceOnComplete": value} for value in (True, False)]
    for config in configs:
        shop.clock.advance(seconds=1)
        with context.ledger.write() as connection:
            store_configs.save(connection, before, config, shop.clock.now())
    assert shop.store().decision_version == before.decision_version + 2


# What follows from a change.


def test_a_change_of_flags_decides_the_orders_that_wait_anew(shop: Shop, context: Context) -> None:
    change(shop, issueInvoiceOnComplete=True)
    shop.clock.advance(seconds=TTL)
    refresh_config(context, shop.store_id)
    assert shop.process(shop.receive(at(1, status="processing"))) == []
    assert shop.order().decision == "wait"
    change(shop, issueInvoiceOnComplete=False)
    shop.clock.advance(seconds=TTL)
    refresh_config(context, shop.store_id)
    redecide(context)
    assert shop.order().decision == "invoice"
    assert shop.states() == {"invoice": "due"}


def test_an_inactive_config_stops_the_store_and_an_active_one_has_it_go_on(
    shop: Shop, context: Context
) -> None:
    invoice = shop.paid(1)
    change(shop, active=False)
    shop.clock.advance(seconds=TTL)
    forward_issuance(context, invoice)
    assert (shop.issuance(invoice).state, shop.documents()) == ("withdrawn", [])
    assert "inactive in Space Invoices" in (shop.order().reason or "")
    assert shop.store().state == "inactive"
    change(shop, active=True)
    shop.clock.advance(seconds=TTL)
    refresh_config(context, shop.store_id)
    redecide(context)
    forward_issuance(context, invoice)
    assert (shop.issuance(invoice).state, shop.documents()) == ("issued", ["invoice"])


def test_a_deleted_config_stops_the_store_and_keeps_what_was_known_of_it(
    shop: Shop, context: Context
) -> None:
    invoice = shop.paid(1)
    before = known(shop)
    shop.clock.advance(seconds=TTL)
    with without_the_object(context) as elsewhere:
        forward_issuance(elsewhere, invoice)
        # Space Invoices does not know the object of the request either, and the order is not to blame for it.
        assert (shop.issuance(invoice).state, shop.issuance(invoice).attempts) == ("due", 1)
        shop.clock.advance(seconds=ASK_AGAIN_AFTER)
        forward_issuance(elsewhere, invoice)
    assert (shop.issuance(invoice).state, shop.documents()) == ("withdrawn", [])
    assert known(shop) == {**before, "_isDeleted": True}
    assert shop.store().state == "inactive"
    # It was a mistake there, and is taken back.
    shop.clock.advance(seconds=TTL)
    refresh_config(context, shop.store_id)
    redecide(context)
    forward_issuance(context, invoice)
    assert shop.documents() == ["invoice"]


@pytest.fixture
def listing(shop: Shop) -> Iterator[tuple[Api, Context]]:
    """An API that takes orders, and lists the store's object or not, and the shop's context with it."""
    with failing_api(shop) as (api, context):
        api.order_status = 200
        yield api, replace(context, config_ttl=TTL)


def fetch(shop: Shop, context: Context) -> None:
    """Ask for the config, as an operator or a probe does."""
    assert fetch_config(context, shop.store()) is None
    context.close()


def test_a_single_list_without_the_object_stops_nothing(shop: Shop, listing: tuple[Api, Context]) -> None:
    api, context = listing
    before, invoice = shop.store(), shop.paid(1)
    shop.clock.advance(seconds=TTL)
    api.listed = []
    forward_issuance(context, invoice)
    assert (api.found, api.orders, shop.issuance(invoice).state) == (1, [1], "issued")
    after = shop.store()
    assert (after.config, after.state, after.decision_version) == (before.config, "active", 1 + 1)
    assert after.config_missing_since == shop.clock.now()
    # It is asked again within minutes, and no sooner than a second such answer is believed.
    shop.clock.advance(seconds=MISSING_FOR.total_seconds())
    assert list(maintain(context).configs) == []
    shop.clock.advance(seconds=ASK_AGAIN_AFTER - MISSING_FOR.total_seconds())
    assert list(maintain(context).configs) == [shop.store_id]
    api.listed = [{"id": WOOCOMMERCE, "name": "Shop"}]
    refresh_config(context, shop.store_id)
    assert (shop.store().config_missing_since, shop.store().state) == (None, "active")


def test_a_store_with_a_long_time_to_live_is_asked_about_again_as_soon(
    shop: Shop, listing: tuple[Api, Context]
) -> None:
    api, context = listing
    context = replace(context, config_ttl=100_000)
    api.listed = []
    fetch(shop, context)
    shop.clock.advance(seconds=ASK_AGAIN_AFTER)
    assert list(maintain(context).configs) == [shop.store_id]


@pytest.mark.parametrize(
    ("minutes", "is_gone"),
    [([1, 1], False), ([3], True), ([1, 1, 1], True)],
    ids=["twice within minutes", "minutes apart", "again and again"],
)
def test_a_list_without_the_object_is_believed_when_it_is_so_again_minutes_later(
    shop: Shop, listing: tuple[Api, Context], minutes: list[int], is_gone: bool
) -> None:
    api, context = listing
    api.listed = []
    fetch(shop, context)
    for number in minutes:
        shop.clock.advance(minutes=number)
        fetch(shop, context)
    assert shop.store().is_gone is is_gone
    assert shop.store().state == ("inactive" if is_gone else "active")


def test_an_object_that_was_listed_in_between_has_to_be_missing_twice_again(
    shop: Shop, listing: tuple[Api, Context]
) -> None:
    api, context = listing
    for is_listed in (False, True, False):
        api.listed = [{"id": WOOCOMMERCE}] if is_listed else []
        fetch(shop, context)
        shop.clock.advance(minutes=3)
    assert shop.store().state == "active"
    fetch(shop, context)
    assert shop.store().state == "inactive"
    # While it is gone, nothing is asked twice.
    shop.clock.advance(minutes=1)
    fetch(shop, context)
    assert shop.store().is_gone


def test_a_failure_in_between_is_no_answer(shop: Shop, listing: tuple[Api, Context]) -> None:
    api, context = listing
    api.listed = []
    fetch(shop, context)
    shop.clock.advance(minutes=2)
    api.find_status = 503
    assert fetch_config(context, shop.store()) is not None
    shop.clock.advance(minutes=2)
    assert not shop.store().is_gone
    api.find_status = 200
    fetch(shop, context)
    assert shop.store().is_gone


def test_a_clock_that_was_set_back_between_the_two_makes_the_second_the_first(
    shop: Shop, listing: tuple[Api, Context]
) -> None:
    api, context = listing
    api.listed = []
    fetch(shop, context)
    shop.clock.advance(hours=-1)
    fetch(shop, context)
    assert (shop.store().is_gone, shop.store().config_missing_since) == (False, shop.clock.now())


def test_two_workers_that_are_told_so_at_the_same_time_are_told_once(
    shop: Shop, listing: tuple[Api, Context]
) -> None:
    api, context = listing
    api.listed = []
    at_once(4, lambda _: fetch(shop, context))
    assert (api.found, shop.store().is_gone) == (4, False)


def test_a_list_without_the_object_that_was_asked_for_earlier_counts_for_nothing(shop: Shop) -> None:
    earlier = shop.clock.now()
    shop.clock.advance(seconds=10)
    with shop.context.ledger.write() as connection:
        store_configs.save(connection, shop.store(), {"id": WOOCOMMERCE}, shop.clock.now())
        assert store_configs.note_missing(connection, shop.store(), earlier) is None
    assert shop.store().config_missing_since is None
