"""The client over HTTP: against the sandbox, by the OpenAPI document, and against servers that misbehave."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server

from bridge import __version__
from bridge.sandbox import create_sandbox
from bridge.spaceinvoices import (
    Filter,
    NewWoocommerce,
    SpaceInvoices,
    SpaceInvoicesError,
    Woocommerce,
    WoocommerceChanges,
)
from tests.support.openapi import Contract, Recorder
from tests.support.shop import CARD, ORGANIZATION

TOKEN = "t0ken-that-nothing-may-tell"
PERSON = "Ana Novak"
START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Running:
    """A sandbox that answers, the client's account there, and the requests that came."""

    url: str
    api: SpaceInvoices
    recorder: Recorder

    def look(self, path: str) -> Any:
        """What the sandbox tells of itself."""
        return requests.get(self.url.removesuffix("/v1") + path, timeout=10).json()


@contextmanager
def running(**options: Any) -> Iterator[Running]:
    moments = iter(range(1_000_000))
    sandbox = create_sandbox(
        organization_id=ORGANIZATION,
        token=TOKEN,
        # A day later at each look, so that dates tell objects apart.
        clock=lambda: datetime.fromtimestamp(START.timestamp() + 86_400 * next(moments), UTC),
        **options,
    )
    recorder = Recorder(sandbox)
    server = make_server("127.0.0.1", 0, recorder, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    url = f"http://127.0.0.1:{server.port}/v1"
    try:
        with SpaceInvoices(url, TOKEN, timeout=10) as api:
            yield Running(url, api, recorder)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract()


@pytest.fixture
def space(contract: Contract) -> Iterator[Running]:
    """A sandbox. Whatever the client sends to it has to keep to the OpenAPI document."""
    with running(rate_limit=10_000) as space:
        yield space
    for request in space.recorder.requests:
        if request.path.startswith("/v1/"):
            contract.operation_of(request)


def order_for(shop: Woocommerce) -> dict[str, Any]:
    """An order with the shop's properties beside it, as the endpoint takes it."""
    names = {info.alias for info in WoocommerceChanges.model_fields.values()}
    config = {name: value for name, value in shop.as_mapping().items() if name in names}
    return dict(CARD) | {name: value for name, value in config.items() if value is not None}


def id_of(shop: Woocommerce) -> str:
    assert shop.id is not None
    return shop.id


# The seven endpoints.


def test_each_of_the_seven_endpoints_has_its_effect(space: Running, contract: Contract) -> None:
    api = space.api
    shop = api.create(ORGANIZATION, NewWoocommerce(name="Žiga & Søn", custom={"a": [1]}))
    assert (shop.name, shop.active, shop.custom) == ("Žiga & Søn", True, {"a": [1]})
    assert [one.id for one in api.find(ORGANIZATION)] == [shop.id]
    assert api.count(ORGANIZATION) == 1

    changed = api.patch(id_of(shop), WoocommerceChanges(locale="sl", unknown={"b": None}))
    assert (changed.id, changed.locale, changed.model_extra) == (shop.id, "sl", {"unknown": {"b": None}})
    assert api.find(ORGANIZATION) == [changed]

    assert api.order(id_of(shop), order_for(changed)) == {}
    documents = space.look("/sandbox/documents")["documents"]
    assert [(one["woocommerceId"], one["orderId"]) for one in documents] == [(shop.id, CARD["id"])]

    assert api.start_import(id_of(shop), "orders", '{"since": 1}') == {}
    assert api.start_import(id_of(shop), "orders") == {}
    imports = space.look("/sandbox/imports")["imports"]
    assert [(one["type"], one["importOptions"]) for one in imports] == [
        ("orders", '{"since": 1}'),
        ("orders", None),
    ]

    assert api.delete(id_of(shop)) == 1
    assert api.find(ORGANIZATION) == []
    assert api.count(ORGANIZATION) == 0
    (deleted,) = api.find(ORGANIZATION, Filter(deleted=True))
    assert (deleted.is_deleted, deleted.deleted_id) == (True, shop.id)
    assert isinstance(deleted.deleted_at, datetime)

    sent = [one for one in space.recorder.requests if one.path.startswith("/v1/")]
    assert {contract.operation_of(one) for one in sent} == contract.operations


def test_a_request_that_does_not_keep_to_the_document_is_told(space: Running, contract: Contract) -> None:
    """Else the check on all the others would say nothing."""
    objects = f"{space.url}/Organizations/{ORGANIZATION}/woocommerce"
    authorized = {"Authorization": TOKEN}
    wrong: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", objects, {}),
        ("GET", objects, {"headers": {"Authorization": f"Bearer {TOKEN}"}}),
        ("GET", objects, {"headers": authorized, "params": {"where": "{}"}}),
        ("GET", objects, {"headers": authorized, "params": {"filter": '{"limit": 0}'}}),
        ("GET", objects, {"headers": authorized, "params": {"filter": '{"where": {"active": "x"}}'}}),
        ("GET", f"{objects}/count", {"headers": authorized, "json": {}}),
        ("POST", objects, {"headers": authorized, "json": {"name": "x"}}),
        ("POST", objects, {"headers": authorized, "data": b"{}"}),
        ("PUT", objects, {"headers": authorized}),
        ("GET", f"{space.url}/Woocommerce", {"headers": authorized}),
    ]
    for method, url, given in wrong:
        requests.request(method, url, timeout=10, **given)
    assert len(space.recorder.requests) == len(wrong)
    for request in space.recorder.requests:
        with pytest.raises(AssertionError):
            contract.operation_of(request)
    space.recorder.requests.clear()


def test_each_request_names_its_sender_and_bears_the_bare_token(space: Running) -> None:
    space.api.count(ORGANIZATION)
    space.api.create(ORGANIZATION, NewWoocommerce(name="x"))
    for request in space.recorder.requests:
        assert request.headers["HTTP_AUTHORIZATION"] == TOKEN
        assert request.headers["HTTP_USER_AGENT"] == f"spacebridge/{__version__}"
        assert TOKEN not in str(request.query) + request.path


def test_all_that_can_be_set_comes_back(space: Running) -> None:
    given = NewWoocommerce(
        name="x",
        active=False,
        locale="sl",
        send_invoice_automatically=False,
        send_estimate_automatically=False,
        issue_invoice_for_bank_payment=True,
        issue_invoice_on_complete=True,
        business_premise_id="p",
        electronic_device_id="d",
        organization_id=ORGANIZATION,
        unit_id="u",
        warehouse_id="w",
        account_id="a",
        custom={"nested": {"list": [1, "2", None]}},
        beyond="the document",
    )
    created = space.api.create(ORGANIZATION, given)
    assert given.as_mapping().items() <= created.as_mapping().items()
    assert isinstance(created.created_at, datetime)


def test_a_patch_changes_what_is_given_and_nothing_else(space: Running) -> None:
    before = space.api.create(ORGANIZATION, NewWoocommerce(name="x", active=False, unit_id="u"))
    after = space.api.patch(id_of(before), WoocommerceChanges(name="y"))
    differing = {name for name, value in after.as_mapping().items() if value != before.as_mapping().get(name)}
    assert differing == {"name", "updatedAt"}


def test_an_order_may_be_json_that_is_sent_as_it_stands(space: Running) -> None:
    shop = space.api.create(ORGANIZATION, NewWoocommerce(name="x"))
    fields = ', "name": "x", "active": true, "sendInvoiceAutomatically": true'
    body = (
        '{ "id": 7, "order_key": "k", "status": "completed", "payment_method": "stripe", "currency": "EUR",'
        ' "total": "40.00", "line_items": [{"price": 40.979999999999997}], "billing": {}'
        f'{fields}, "sendEstimateAutomatically": true, "organizationId": "{ORGANIZATION}" }}'
    ).encode()
    space.api.order(id_of(shop), body)
    assert space.recorder.requests[-1].body == body


def test_what_the_ledger_keeps_of_a_config_is_what_the_api_gave(space: Running) -> None:
    space.api.create(ORGANIZATION, NewWoocommerce(name="x", custom={"n": 1.10, "z": None}, beyond=[1]))
    given = requests.get(
        f"{space.url}/Organizations/{ORGANIZATION}/woocommerce", headers={"Authorization": TOKEN}, timeout=10
    ).json()
    id_ = given[0]["id"]
    assert space.api.list_configs(ORGANIZATION) == space.api.list_configs(ORGANIZATION, [id_, "no"]) == given
    assert space.api.list_configs(ORGANIZATION, ["another"]) == []
    assert space.api.find_config(ORGANIZATION, id_) == given[0]
    assert space.api.find_config(ORGANIZATION, "another") is None


# Filters.


@pytest.fixture(scope="module")
def three(contract: Contract) -> Iterator[Running]:
    """Three shops, a day or more apart, and a fourth that was deleted."""
    with running(rate_limit=10_000) as space:
        for new in (
            NewWoocommerce(name="ada", locale="sl"),
            NewWoocommerce(name="bob", locale="de", active=False),
            NewWoocommerce(name="cy d"),
        ):
            space.api.create(ORGANIZATION, new)
        gone = space.api.create(ORGANIZATION, NewWoocommerce(name="gone"))
        space.api.delete(id_of(gone))
        yield space
    for request in space.recorder.requests:
        contract.operation_of(request)


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ({}, ["ada", "bob", "cy d"]),
        ({"name": "bob"}, ["bob"]),
        ({"active": True}, ["ada", "cy d"]),
        ({"active": True, "locale": "sl"}, ["ada"]),
        ({"locale": None}, ["cy d"]),
        ({"name": {"gt": "ada"}}, ["bob", "cy d"]),
        ({"name": {"gte": "bob"}}, ["bob", "cy d"]),
        ({"name": {"lt": "bob"}}, ["ada"]),
        ({"name": {"lte": "bob"}}, ["ada", "bob"]),
        ({"name": {"between": ["b", "c"]}}, ["bob"]),
        ({"name": {"inq": ["ada", "cy d", "x"]}}, ["ada", "cy d"]),
        ({"name": {"nin": ["ada"]}}, ["bob", "cy d"]),
        ({"active": {"neq": True}}, ["bob"]),
        ({"name": {"like": "y_"}}, ["cy d"]),
        ({"name": {"like": "o%b"}}, ["bob"]),
        ({"or": [{"name": "ada"}, {"active": False}]}, ["ada", "bob"]),
        ({"and": [{"active": True}, {"name": {"neq": "ada"}}]}, ["cy d"]),
        ({"or": [{"name": "x"}, {"and": [{"active": True}, {"locale": "sl"}]}]}, ["ada"]),
        ({"createdAt": {"gt": datetime(2100, 1, 1, tzinfo=UTC)}}, []),
        ({"createdAt": {"gte": START}}, ["ada", "bob", "cy d"]),
    ],
)
def test_a_condition_selects_what_it_says(three: Running, where: Mapping[str, Any], names: list[str]) -> None:
    assert [shop.name for shop in three.api.find(ORGANIZATION, Filter(where=where))] == names
    assert [shop.name for shop in three.api.find(ORGANIZATION, {"where": where})] == names
    assert three.api.count(ORGANIZATION, where) == len(names)


def test_a_date_selects_by_the_moment(three: Running) -> None:
    ada, bob, _ = three.api.find(ORGANIZATION)
    assert isinstance(bob.created_at, datetime)
    assert three.api.find(ORGANIZATION, Filter(where={"createdAt": {"lt": bob.created_at}})) == [ada]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (Filter(limit=2), ["ada", "bob"]),
        (Filter(skip=1), ["bob", "cy d"]),
        (Filter(skip=1, limit=1), ["bob"]),
        (Filter(order="name DESC"), ["cy d", "bob", "ada"]),
        (Filter(order=["active DESC", "name DESC"]), ["cy d", "ada", "bob"]),
        (Filter(deleted=True), ["ada", "bob", "cy d", "gone"]),
        (Filter(deleted=True, where={"_isDeleted": True}), ["gone"]),
        (Filter(deleted=False, include=[]), ["ada", "bob", "cy d"]),
        (Filter(where={"name": "ada"}, order="createdAt", limit=10, skip=0), ["ada"]),
        ({"order": "name DESC", "limit": 1}, ["cy d"]),
    ],
)
def test_a_filter_pages_orders_and_finds_what_was_deleted(
    three: Running, given: Filter | Mapping[str, Any], names: list[str]
) -> None:
    assert [shop.name for shop in three.api.find(ORGANIZATION, given)] == names


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ("name", {"name"}),
        (("id", "name"), {"id", "name"}),
        ({"id": True}, {"id"}),
    ],
)
def test_a_filter_chooses_properties(three: Running, fields: Any, names: set[str]) -> None:
    for shop in three.api.find(ORGANIZATION, Filter(fields=fields)):
        assert shop.as_mapping().keys() == names
    without = three.api.find(ORGANIZATION, Filter(fields={"custom": False}))[0]
    assert "custom" not in without.as_mapping()
    assert "name" in without.as_mapping()


# What the API refuses.


def refused(call: Callable[[], object]) -> SpaceInvoicesError:
    """How a call fails, which tells neither the token nor a person anywhere."""
    with pytest.raises(SpaceInvoicesError) as caught:
        call()
    for text in (str(caught.value), repr(caught.value)):
        assert TOKEN not in text
        assert PERSON not in text
        assert "127.0.0.1" not in text
    assert caught.value.__context__ is None
    return caught.value


DEEP: dict[str, Any] = {"name": PERSON}
for _ in range(30):
    DEEP = {"and": [DEEP]}


@pytest.mark.parametrize(
    ("call", "status", "said"),
    [
        (lambda api: api.find(ORGANIZATION, Filter(where=DEEP)), 400, "deep"),
        (lambda api: api.count(ORGANIZATION, DEEP), 400, "deep"),
        (lambda api: api.find("another"), 404, 'Unknown "Organization" id "another".'),
        (lambda api: api.list_configs("another"), 404, 'Unknown "Organization" id "another".'),
        (lambda api: api.count("another"), 404, 'Unknown "Organization"'),
        (lambda api: api.create("another", NewWoocommerce(name=PERSON)), 404, 'Unknown "Organization"'),
        (lambda api: api.patch("none", WoocommerceChanges(name=PERSON)), 404, 'Unknown "Woocommerce"'),
        (lambda api: api.delete("none"), 404, 'Unknown "Woocommerce" id "none".'),
        (lambda api: api.start_import("none", "x"), 404, 'Unknown "Woocommerce"'),
        (
            lambda api: api.create(ORGANIZATION, NewWoocommerce(name=PERSON, organization_id="another")),
            422,
            "`organizationId` is not the organization",
        ),
    ],
)
def test_what_is_refused_is_told_with_the_apis_own_words(
    space: Running, call: Callable[[SpaceInvoices], object], status: int, said: str
) -> None:
    error = refused(lambda: call(space.api))
    assert (error.status, error.permanent, error.may_have_taken_effect) == (status, True, False)
    assert str(status) in str(error)
    assert said in (error.api_message or "")


def test_an_order_that_is_refused_has_no_document(space: Running) -> None:
    shop = space.api.create(ORGANIZATION, NewWoocommerce(name="x"))
    order = order_for(shop) | {"name": "another"}
    error = refused(lambda: space.api.order(id_of(shop), order))
    assert (error.status, error.permanent) == (422, True)
    assert space.look("/sandbox/documents")["documents"] == []


def test_another_token_opens_nothing(space: Running) -> None:
    with SpaceInvoices(space.url, "another") as other:
        error = refused(lambda: other.find(ORGANIZATION))
    assert (error.status, error.permanent) == (401, True)


@pytest.mark.parametrize(
    ("status", "permanent", "unknown", "retry_after"),
    [(429, False, False, 1.0), (500, False, False, None), (503, False, False, 1.0), (502, False, True, None)],
)
def test_what_may_be_tried_again_is_told_apart_from_what_may_have_happened(
    status: int, permanent: bool, unknown: bool, retry_after: float | None
) -> None:
    with running(failures={status: 1.0}) as space:
        error = refused(lambda: space.api.order("any", {}))
    assert (error.status, error.permanent) == (status, permanent)
    assert (error.may_have_taken_effect, error.retry_after) == (unknown, retry_after)


# Secrets, and what cannot be sent.


@pytest.mark.parametrize("token", ["tok\nen", "tok\ren", "žeton", "tok\x00en", "tok\ud800en"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_quoted(token: str) -> None:
    with pytest.raises(SpaceInvoicesError) as caught:
        SpaceInvoices("http://127.0.0.1:9/v1", token)
    assert caught.value.permanent
    assert token not in str(caught.value)
    assert "copy it once more" in str(caught.value)


def test_the_token_is_in_no_log(space: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        space.api.find(ORGANIZATION)
        space.api.create(ORGANIZATION, NewWoocommerce(name=PERSON))
    assert "woocommerce" in caplog.text  # so something was logged
    assert TOKEN not in caplog.text
    assert PERSON not in caplog.text
    assert TOKEN not in repr(space.api)


@pytest.mark.parametrize("wrong", ["", ".", "..", "a\nb", "\x00"])
@pytest.mark.parametrize("name", ["organization", "woocommerce"])
def test_an_id_that_would_lead_elsewhere_is_not_sent(space: Running, name: str, wrong: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: space.api.find(wrong),
        lambda: space.api.list_configs(wrong),
        lambda: space.api.count(wrong),
        lambda: space.api.create(wrong, NewWoocommerce(name="x")),
    ]
    if name == "woocommerce":
        calls = [
            lambda: space.api.delete(wrong),
            lambda: space.api.patch(wrong, WoocommerceChanges()),
            lambda: space.api.order(wrong, {}),
            lambda: space.api.start_import(wrong, "x"),
        ]
    for call in calls:
        with pytest.raises(ValueError, match="id"):
            call()
    assert space.recorder.requests == []
