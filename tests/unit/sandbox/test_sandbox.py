"""The sandbox: what it admits, which documents it issues, and how loudly it tells on a bridge."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bridge.sandbox import create_sandbox
from tests import ROOT

ORGANIZATION = "5f0000000000000000000001"
STORE = "5f00000000000000000000aa"
TOKEN = "a-token-of-nobody"
OBJECTS = f"/v1/Organizations/{ORGANIZATION}/woocommerce"
ORDERS = f"/v1/Woocommerce/{STORE}/order"
NEW = {"name": "Shop", "active": True, "sendInvoiceAutomatically": True, "sendEstimateAutomatically": True}
CONFIG = {**NEW, "organizationId": ORGANIZATION, "custom": {}}
ORDER = {
    "id": 328,
    "number": "A-328",
    "order_key": "wc_order_UMSNgJwya2HZ",
    "status": "processing",
    "payment_method": "stripe",
    "currency": "EUR",
    "total": "126.98",
    "line_items": [],
    "billing": {"first_name": "Ana"},
}
DELIVERIES = ROOT / "tests/data/woocommerce-deliveries/life-of-a-store.jsonl"


class Seeded(Random):
    """Chance that repeats itself."""


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.now = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def sandbox(config: Mapping[str, object] | None = None, **options: Any) -> FlaskClient:
    clock = options.pop("clock", None) or Clock()
    app = create_sandbox(
        organization_id=ORGANIZATION,
        token=TOKEN,
        woocommerces=[{"id": STORE, "name": "Shop", **(config or {})}],
        clock=lambda: clock.now,
        monotonic=lambda: clock.seconds,
        **{"random": Seeded(1), "rate_limit": 1000, **options},
    )
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = TOKEN
    return client


def hand_over(client: FlaskClient, **changes: object) -> TestResponse:
    """Send the order with the config over it. A change to None leaves the property out."""
    body = {**ORDER, **CONFIG, **changes}
    return client.post(ORDERS, json={name: value for name, value in body.items() if value is not None})


def read(response: TestResponse) -> Any:
    return json.loads(response.data)


def documents(client: FlaskClient) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = read(client.get("/sandbox/documents"))["documents"]
    return listed


def counts(client: FlaskClient) -> dict[str, int]:
    """The counts that are not zero, without the number of requests."""
    counted = read(client.get("/sandbox/documents"))["counts"]
    return {name: count for name, count in counted.items() if count and name != "requests"}


def messages(response: TestResponse) -> dict[str, list[str]]:
    """What a 422 says of each property."""
    assert response.status_code == 422, response.data
    found: dict[str, list[str]] = read(response)["error"]["details"]["messages"]
    return found


# --- Who may ask, and for what


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "another-token",
        f"Bearer {TOKEN}",  # the API takes the bare token
        "tokén",
        "\xff" * len(TOKEN),
    ],
)
def test_a_request_without_the_bare_token_is_refused(header: str | None) -> None:
    client = sandbox()
    del client.environ_base["HTTP_AUTHORIZATION"]
    response = client.get(OBJECTS, headers={} if header is None else {"Authorization": header})
    assert response.status_code == 401
    assert read(response)["error"]["statusCode"] == 401
    assert read(response)["error"]["name"] == "UnauthorizedError"
    assert counts(client) == {"refused": 1}


def test_a_token_in_the_query_is_never_read() -> None:
    client = sandbox()
    del client.environ_base["HTTP_AUTHORIZATION"]
    assert client.get(OBJECTS, query_string={"access_token": TOKEN}).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/Organizations/5f0000000000000000000002/woocommerce"),
        ("POST", "/v1/Organizations/5f0000000000000000000002/woocommerce"),
        ("GET", "/v1/Organizations/5f0000000000000000000002/woocommerce/count"),
        ("PATCH", "/v1/Woocommerce/5f00000000000000000000bb"),
        ("DELETE", "/v1/Woocommerce/5f00000000000000000000bb"),
        ("POST", "/v1/Woocommerce/5f00000000000000000000bb/order"),
        ("POST", "/v1/Woocommerce/5f00000000000000000000bb/import"),
        ("GET", "/v1/Invoices"),  # no such route
        ("GET", f"/v1/Woocommerce/{STORE}"),  # nor is there one to find a single object
        ("PUT", f"/v1/Woocommerce/{STORE}"),  # no such method, which LoopBack does not tell apart
        ("GET", f"/v1//Organizations/{ORGANIZATION}/woocommerce"),  # and no redirect
    ],
)
def test_what_does_not_exist_is_a_404_in_the_shape_of_the_api(method: str, path: str) -> None:
    client = sandbox()
    response = client.open(path, method=method, json=NEW if method in {"POST", "PATCH"} else None)
    assert response.status_code == 404
    assert read(response)["error"]["name"] == "NotFoundError"
    assert counts(client) == {"refused": 1}


def test_looking_at_the_sandbox_needs_no_token() -> None:
    client = sandbox()
    del client.environ_base["HTTP_AUTHORIZATION"]
    assert b"stands in for Space Invoices" in client.get("/").data
    assert client.get("/sandbox").status_code == 200
    assert read(client.get("/sandbox/imports")) == {"imports": []}
    assert read(client.get("/sandbox/documents"))["counts"] == dict.fromkeys(
        [
            "requests",
            "invoices",
            "estimates",
            "duplicates",
            "out_of_order",
            "nothing",
            "imports",
            "rate_limited",
            "refused",
            "failed_on_purpose",
        ],
        0,
    )


# --- Orders: what is valid


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (json.dumps({**ORDER, **CONFIG}), "text/plain"),
        (json.dumps({**ORDER, **CONFIG}), ""),
        ("", "application/json"),
        ("{", "application/json"),
        ("[]", "application/json"),
        ('{"total": NaN}', "application/json"),
        (json.dumps({**ORDER, **CONFIG}).encode("utf-16"), "application/json"),
        ('{"total": 1e999}', "application/json"),  # which no answer could repeat
        ("[" * 100_000, "application/json"),
        ('{"custom": ' * 101 + "{}" + "}" * 101, "application/json"),
    ],
)
def test_a_body_that_is_no_json_object_is_a_bad_request(body: str | bytes, content_type: str) -> None:
    client = sandbox()
    response = client.post(ORDERS, data=body, content_type=content_type)
    assert response.status_code == 400
    assert read(response)["error"]["name"] == "BadRequestError"
    assert counts(client) == {"refused": 1}


# None leaves the property out.
@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        # The order: what no document can be made without
        ({"id": None}, {"id": "is required"}),
        ({"id": 0}, {"id": "must be a positive integer"}),
        ({"id": "0"}, {"id": "must be a positive integer"}),
        ({"id": "-328"}, {"id": "must be a positive integer"}),
        ({"id": "328.0"}, {"id": "must be a positive integer"}),
        ({"id": " 328"}, {"id": "must be a positive integer"}),
        ({"id": "\uff13"}, {"id": "must be a positive integer"}),
        ({"id": ""}, {"id": "must be a positive integer"}),
        ({"id": [328]}, {"id": "must be a positive integer"}),
        ({"id": True}, {"id": "must be a positive integer"}),
        ({"id": 328.5}, {"id": "must be a positive integer"}),
        ({"order_key": 5}, {"order_key": "must be a string"}),
        ({"order_key": None}, {"order_key": "is required"}),
        ({"status": 1}, {"status": "must be a string"}),
        ({"currency": "euro"}, {"currency": "must be three letters"}),
        ({"total": 126.98}, {"total": "must be a decimal in a string, as WooCommerce sends money"}),
        ({"total": "1e2"}, {"total": "must be a decimal in a string, as WooCommerce sends money"}),
        ({"line_items": {}}, {"line_items": "must be a list"}),
        ({"billing": []}, {"billing": "must be an object"}),
        ({"payment_method": ["bacs"]}, {"payment_method": "must be a string"}),
        ({"number": 328}, {"number": "must be a string"}),
        ({"total": None, "billing": None}, {"total": "is required", "billing": "is required"}),
        # The config: required, of the right type, not read-only
        ({"name": None}, {"name": "is required"}),
        ({"active": None}, {"active": "is required"}),
        ({"sendInvoiceAutomatically": "yes"}, {"sendInvoiceAutomatically": "must be a boolean"}),
        ({"locale": 1}, {"locale": "must be a string"}),
        ({"updatedAt": "2026-03-01T09:30:00+00:00Z"}, {"updatedAt": "is read-only"}),
        ({"deletedId": ""}, {"deletedId": "is read-only"}),
    ],
)
def test_an_invalid_order_is_refused_property_by_property_and_issues_nothing(
    changes: dict[str, object], problems: dict[str, str]
) -> None:
    client = sandbox()
    response = hand_over(client, **changes)
    assert messages(response) == {name: [text] for name, text in problems.items()}
    assert counts(client) == {"refused": 1}


STALE = "is not what this store's config holds: fetch the config again"


@pytest.mark.parametrize(
    ("held", "sent", "refused"),
    [
        ({}, {"name": "Another shop"}, ["name"]),
        ({"issueInvoiceOnComplete": True}, {}, ["issueInvoiceOnComplete"]),
        # An order may say for itself that its invoice is wanted now, and nothing else of the two flags.
        ({"issueInvoiceOnComplete": True}, {"issueInvoiceOnComplete": False}, []),
        ({"issueInvoiceOnComplete": False}, {"issueInvoiceOnComplete": True}, ["issueInvoiceOnComplete"]),
        ({"issueInvoiceForBankPayment": False}, {"issueInvoiceForBankPayment": True}, []),
        (
            {"issueInvoiceForBankPayment": True},
            {"issueInvoiceForBankPayment": False},
            ["issueInvoiceForBankPayment"],
        ),
        (
            {"sendInvoiceAutomatically": True},
            {"sendInvoiceAutomatically": False},
            ["sendInvoiceAutomatically"],
        ),
        # What the shop said itself goes along in a place of its own, and what else is in `custom` is held to.
        ({}, {"custom": {"woocommerce": {"status": "shipped"}}}, []),
        ({"custom": {"a": 1}}, {"custom": {"a": 1, "woocommerce": {"status": "shipped"}}}, []),
        ({"custom": {"a": 1, "woocommerce": 5}}, {"custom": {"a": 1}}, []),
        ({"custom": {"a": 1}}, {"custom": {"woocommerce": {"status": "shipped"}}}, ["custom"]),
        ({"custom": {"a": 1}}, {"custom": {"a": 2, "woocommerce": {}}}, ["custom"]),
        ({}, {"custom": {"b": 1, "woocommerce": {}}}, ["custom"]),
        ({"unitId": "u1"}, {}, ["unitId"]),  # held, and not sent at all
        ({"custom": {"a": 1}}, {"custom": {"a": 2}}, ["custom"]),
        ({"custom": {"a": 1}}, {"custom": None}, ["custom"]),
        ({}, {"organizationId": "another"}, ["organizationId"]),
        ({}, {"unitId": "u1"}, []),  # nothing is held that it could differ from
        ({}, {"custom": None}, []),  # absent stands for the documented default, {}
        ({"color": "green"}, {"color": "red"}, []),  # not a documented property
    ],
)
def test_an_order_with_another_config_than_the_store_holds_is_refused(
    held: dict[str, object], sent: dict[str, object], refused: list[str]
) -> None:
    response = hand_over(sandbox(held), **sent)
    if refused:
        assert messages(response) == {name: [STALE] for name in refused}
    else:
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("held", "sent", "kind"),
    [
        ({"issueInvoiceOnComplete": True}, {"issueInvoiceOnComplete": True}, None),
        ({"issueInvoiceOnComplete": True}, {"issueInvoiceOnComplete": False}, "invoice"),
        ({}, {"status": "on-hold", "payment_method": "bacs"}, "estimate"),
        (
            {},
            {"status": "on-hold", "payment_method": "bacs", "issueInvoiceForBankPayment": True},
            "invoice",
        ),
    ],
)
def test_the_flags_in_an_order_decide_on_its_document(
    held: dict[str, object], sent: dict[str, object], kind: str | None
) -> None:
    client = sandbox(held)

    assert hand_over(client, **sent).status_code == 200
    assert [found["kind"] for found in documents(client)] == ([kind] if kind else [])


def test_what_one_order_says_of_the_flags_holds_for_no_other() -> None:
    client = sandbox({"issueInvoiceOnComplete": True})
    hand_over(client, issueInvoiceOnComplete=False)
    hand_over(client, id=329, issueInvoiceOnComplete=True)

    assert [found["orderId"] for found in documents(client)] == [328]
    assert read(client.get(OBJECTS))[0]["issueInvoiceOnComplete"] is True


def test_an_id_as_text_is_the_same_order() -> None:
    client = sandbox()
    hand_over(client, id="328")
    hand_over(client)

    assert [(found["orderId"], found["duplicate"]) for found in documents(client)] == [
        (328, False),
        (328, True),
    ]


def test_an_imported_order_has_no_key() -> None:
    client = sandbox()

    assert hand_over(client, order_key="").status_code == 200
    assert [found["orderKey"] for found in documents(client)] == [""]


def test_an_order_of_an_inactive_store_is_refused() -> None:
    client = sandbox({"active": False})
    assert list(messages(hand_over(client, active=False))) == ["active"]
    assert counts(client) == {"refused": 1}


def test_a_number_is_whole_however_it_is_written() -> None:
    client = sandbox()
    body = json.dumps({**ORDER, **CONFIG}).replace('"id": 328', '"id": 328.0')
    assert client.post(ORDERS, data=body, content_type="application/json").status_code == 200
    hand_over(client)
    assert [(found["orderId"], found["duplicate"]) for found in documents(client)] == [
        (328, False),
        (328, True),
    ]


def test_what_is_refused_is_never_quoted() -> None:
    response = hand_over(sandbox(), status=["Ana Kovač"], billing="Ana Kovač")
    assert b"Ana" not in response.data


def test_every_order_a_real_shop_sent_is_valid() -> None:
    client = sandbox()
    sent = 0
    for line in DELIVERIES.read_text().splitlines():
        body = base64.b64decode(json.loads(line)["body_b64"])
        order = json.loads(body) if body.startswith(b"{") else {}
        if "order_key" in order:
            response = client.post(ORDERS, json={**order, **CONFIG})
            assert response.status_code == 200, response.data
            sent += 1
    assert sent > 0


# --- Orders: which document


# The flags are (issueInvoiceForBankPayment, issueInvoiceOnComplete).
@pytest.mark.parametrize(
    ("payment_method", "status", "off_off", "on_off", "off_on", "on_on"),
    [
        ("stripe", "pending", "invoice", "invoice", None, None),
        ("stripe", "on-hold", "invoice", "invoice", None, None),
        ("stripe", "processing", "invoice", "invoice", None, None),
        ("stripe", "completed", "invoice", "invoice", "invoice", "invoice"),
        ("stripe", "packed", "invoice", "invoice", None, None),  # a status of the shop's own
        ("bacs", "pending", "estimate", "invoice", "estimate", None),
        ("bacs", "on-hold", "estimate", "invoice", "estimate", None),
        ("bacs", "processing", "invoice", "invoice", None, None),
        ("bacs", "completed", "invoice", "invoice", "invoice", "invoice"),
        ("bacs", "wc-on-hold", "estimate", "invoice", "estimate", None),
        *[
            (payment_method, status, None, None, None, None)
            for payment_method in ("stripe", "bacs")
            for status in (
                *("cancelled", "failed", "refunded", "trash"),
                *("checkout-draft", "auto-draft", "draft", "new"),
            )
        ],
    ],
)
def test_the_two_flags_and_the_status_decide_on_the_document(
    payment_method: str,
    status: str,
    off_off: str | None,
    on_off: str | None,
    off_on: str | None,
    on_on: str | None,
) -> None:
    table = {(False, False): off_off, (True, False): on_off, (False, True): off_on, (True, True): on_on}
    for (for_bank_payment, on_complete), kind in table.items():
        flags = {"issueInvoiceForBankPayment": for_bank_payment, "issueInvoiceOnComplete": on_complete}
        client = sandbox(flags)
        response = hand_over(client, status=status, payment_method=payment_method, **flags)
        assert (response.status_code, read(response)) == (200, {})
        assert [document["kind"] for document in documents(client)] == ([kind] if kind else []), flags
        assert counts(client) == ({f"{kind}s": 1} if kind else {"nothing": 1}), flags


def test_flags_that_were_never_set_count_as_off() -> None:
    client = sandbox()
    hand_over(client, payment_method="bacs", status="on-hold")
    hand_over(client, payment_method="bacs", status="processing")
    assert [document["kind"] for document in documents(client)] == ["estimate", "invoice"]
    assert counts(client) == {"estimates": 1, "invoices": 1}


def test_a_document_tells_what_it_was_issued_for() -> None:
    client = sandbox()
    body = json.dumps({**ORDER, **CONFIG}, indent=3).replace('"A-328"', '"\\u0041-328"').encode()
    client.post(
        ORDERS, data=body, content_type="application/json; charset=utf-8", headers={"Idempotency-Key": "k1"}
    )
    assert documents(client) == [
        {
            "number": "INV-2026-0001",
            "kind": "invoice",
            "woocommerceId": STORE,
            "orderId": 328,
            "orderKey": "wc_order_UMSNgJwya2HZ",
            "orderNumber": "A-328",
            "total": "126.98",
            "currency": "EUR",
            "status": "processing",
            "idempotencyKey": "k1",
            "issuedAt": "2026-03-01T09:30:00.000+00:00",
            "duplicate": False,
            "out_of_order": False,
        }
    ]
    assert client.get("/sandbox/documents/INV-2026-0001/body").data == body  # to the byte
    assert client.get("/sandbox/documents/INV-2026-0002/body").status_code == 404


def test_numbers_are_consecutive_for_each_kind_and_begin_anew_each_year() -> None:
    clock = Clock()
    client = sandbox(clock=clock)
    hand_over(client, id=1)
    hand_over(client, id=2, payment_method="bacs", status="on-hold")
    hand_over(client, id=3)
    clock.now = datetime(2027, 1, 1, tzinfo=UTC)
    hand_over(client, id=4)
    assert [document["number"] for document in documents(client)] == [
        "INV-2026-0001",
        "EST-2026-0001",
        "INV-2026-0002",
        "INV-2027-0001",
    ]


def test_orders_handed_over_at_once_get_one_number_each() -> None:
    client = sandbox()

    def send(order_id: int) -> int:
        with client.application.test_client() as own:
            own.environ_base["HTTP_AUTHORIZATION"] = TOKEN
            return hand_over(own, id=order_id).status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(send, range(1, 101))) == {200}
    assert [document["number"] for document in documents(client)] == [
        f"INV-2026-{position:04d}" for position in range(1, 101)
    ]


def test_the_list_of_documents_can_begin_later() -> None:
    client = sandbox()
    for order_id in (1, 2, 3):
        hand_over(client, id=order_id)
    listed = read(client.get("/sandbox/documents?since=2"))
    assert [document["orderId"] for document in listed["documents"]] == [3]
    assert listed["counts"]["invoices"] == 3
    assert listed["counts"]["requests"] == 3
    assert client.get("/sandbox/documents?since=-1").status_code == 400


# --- Orders: what must not happen


def test_a_second_document_of_a_kind_is_issued_and_told_loudly(caplog: pytest.LogCaptureFixture) -> None:
    client = sandbox()
    headers = {"Idempotency-Key": "the same"}  # is recorded, and forgives nothing
    for _ in range(2):
        client.post(ORDERS, json={**ORDER, **CONFIG}, headers=headers)
    first, second = documents(client)
    assert (first["number"], first["duplicate"]) == ("INV-2026-0001", False)
    assert (second["number"], second["duplicate"]) == ("INV-2026-0002", True)
    assert second["idempotencyKey"] == "the same"
    assert counts(client) == {"invoices": 2, "duplicates": 1}
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("spacebridge.sandbox", logging.ERROR)
    assert "order 328" in record.getMessage()
    assert "invoice" in record.getMessage()


@pytest.mark.parametrize(
    "difference",
    [
        {"id": 329},
        {"order_key": "wc_order_another"},  # a shop that was installed anew counts from 1 again
    ],
)
def test_another_order_is_no_duplicate(difference: dict[str, object]) -> None:
    client = sandbox()
    hand_over(client)
    hand_over(client, **difference)
    assert counts(client) == {"invoices": 2}


def test_the_same_order_of_another_store_is_no_duplicate() -> None:
    client = sandbox()
    other = read(client.post(OBJECTS, json=NEW))["id"]
    hand_over(client)
    client.post(f"/v1/Woocommerce/{other}/order", json={**ORDER, **CONFIG})
    assert counts(client) == {"invoices": 2}
    assert [document["woocommerceId"] for document in documents(client)] == [STORE, other]


def test_an_estimate_after_the_invoice_is_out_of_order(caplog: pytest.LogCaptureFixture) -> None:
    client = sandbox()
    hand_over(client, payment_method="bacs", status="processing")
    hand_over(client, payment_method="bacs", status="on-hold")
    assert [document["out_of_order"] for document in documents(client)] == [False, True]
    assert counts(client) == {"invoices": 1, "estimates": 1, "out_of_order": 1}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


# --- Faults


def test_a_share_of_the_orders_fails_on_purpose_without_effect() -> None:
    client = sandbox(failures={503: 0.2, 500: 0.1}, random=Seeded(7))
    answers = [hand_over(client, id=order_id) for order_id in range(1, 401)]
    statuses = [answer.status_code for answer in answers]
    assert 60 <= statuses.count(503) <= 100
    assert 25 <= statuses.count(500) <= 55
    assert counts(client) == {
        "invoices": statuses.count(200),
        "failed_on_purpose": statuses.count(503) + statuses.count(500),
    }
    assert {(answer.status_code, answer.headers.get("Retry-After")) for answer in answers} == {
        (200, None),
        (500, None),
        (503, "1"),
    }
    assert client.get(OBJECTS).status_code == 200  # nothing but orders fails


def test_chance_repeats_itself_with_its_seed() -> None:
    runs = []
    for _ in range(2):
        client = sandbox(failures={429: 0.5}, random=Seeded(3))
        runs.append([hand_over(client, id=order_id).status_code for order_id in range(1, 51)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 429}


def test_requests_over_the_rate_limit_are_refused_until_a_second_has_passed() -> None:
    clock = Clock()
    client = sandbox(clock=clock, rate_limit=3)
    statuses = []
    for second in (0.0, 0.5, 0.5, 0.9, 1.0, 1.1, 1.5, 1.5, 1.5):
        clock.seconds = second
        statuses.append(client.get(OBJECTS).status_code)
    #                   0.0  0.5  0.5  0.9  1.0  1.1  1.5  1.5  1.5
    assert statuses == [200, 200, 200, 429, 200, 429, 200, 200, 429]
    assert counts(client) == {"rate_limited": 3}
    refused = client.get(OBJECTS)
    assert refused.headers["Retry-After"] == "1"
    assert read(refused)["error"]["name"] == "TooManyRequestsError"


def test_an_order_has_taken_effect_before_its_answer_is_late() -> None:
    slept: list[tuple[float, int]] = []

    def sleep(seconds: float) -> None:
        slept.append((seconds, counts(client).get("invoices", 0)))

    client = sandbox(latency=0.25, sleep=sleep)
    assert hand_over(client).status_code == 200
    assert slept == [(0.25, 1)]  # and looking at the sandbox is not late


# --- Starting it


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"token": ""}, "token"),
        ({"token": "tokén"}, "ASCII"),
        ({"token": "two\nlines"}, "ASCII"),
        ({"failures": {200: 0.1}}, "200"),
        ({"failures": {503: 1.5}}, "503"),
        ({"failures": {503: 0.6, 500: 0.6}}, "add up"),
        ({"rate_limit": 0}, "rate limit"),
        ({"woocommerces": [{}]}, "`name` is required"),
        ({"woocommerces": [{"name": "A", "active": "yes"}]}, "`active` must be a boolean"),
        ({"woocommerces": [{"name": "A", "id": 1}]}, "has to be a string"),
        ({"woocommerces": [{"name": "A", "id": "1"}, {"name": "B", "id": "1"}]}, "already"),
    ],
)
def test_a_sandbox_that_cannot_be_served_is_not_made(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        create_sandbox(**{"organization_id": ORGANIZATION, "token": TOKEN, **options})
