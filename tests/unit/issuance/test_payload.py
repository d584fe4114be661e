"""What is sent for an order: its own bytes, and over them the store's config."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.issuance import CONFIG_PROPERTIES, Kind, Order, Policy, compose, overrides_of, read_delivery
from tests.support import recorded
from tests.support.deciding import bank, card
from tests.support.recorded import Recorded

quickly = settings(max_examples=200, deadline=None, derandomize=True)

ORDERS = {
    name: [one for one in recorded.load(name) if isinstance(read_delivery(one.topic, one.body), Order)]
    for name in ("life-of-a-store", "odd-secrets", "same-second-burst")
}

# As Space Invoices answers: with what is read-only, and with properties its document does not name.
CONFIG = {
    "id": "5f00000000000000000000aa",
    "name": "Spletna trgovina Žirafa",
    "active": True,
    "locale": "sl",
    "sendInvoiceAutomatically": False,
    "sendEstimateAutomatically": True,
    "issueInvoiceForBankPayment": False,
    "issueInvoiceOnComplete": True,
    "businessPremiseId": "5f00000000000000000000ab",
    "electronicDeviceId": None,
    "organizationId": "5f0000000000000000000001",
    "custom": {"note": "a/b", "rate": 0.1},
    "createdAt": "2026-01-01T00:00:00+00:00Z",
    "dateLastSync": "2026-01-01T00:00:00+00:00Z",
    "_isDeleted": False,
    "deletedId": "x",
    "deletedAt": None,
    "status": "active",
    "total": "0.00",
    "aPropertyOfTomorrow": 1,
}


def documented(config: dict[str, Any]) -> dict[str, Any]:
    return {name: config[name] for name in CONFIG_PROPERTIES if config.get(name) is not None}


@pytest.mark.parametrize(
    "raw",
    [
        # numbers that a float would write otherwise
        "40.979999999999997",
        "40.98",
        "100.0",
        "1E+2",
        "1e2",
        "-0",
        "-0.0",
        "0.10",
        "12345678901234567890123",
        "9" * 400,
        "1E400",
        # strings, with their escapes
        '"300.00"',
        '"\\u017dirafa"',
        '"\\ud83d\\ude00"',
        '"\\ud800"',
        '"https:\\/\\/shop.example\\/"',
        '"\\"\\\\\\b\\f\\n\\r\\t"',
        '"Žirafa 😀"',
        '"}, \\"id\\": 1"',
        # the rest, down to its spaces
        "null",
        "true",
        "[]",
        "{}",
        "[ 1.0 ,2.50 ]",
        '{ "a" : { "a" : [ 0.30000000000000004, {} ] } }',
        '[{"id":1,"price":40.979999999999997},{"id":2,"price":1E-7}]',
    ],
)
def test_every_value_keeps_its_own_bytes(raw: str) -> None:
    order = '{"id":328,"value":' + raw + ',"total":"1.00"}'

    assert compose(order.encode(), {}) == order.encode()
    assert compose(order.encode(), {"active": True}) == (order[:-1] + ',"active":true}').encode()


@pytest.mark.parametrize("orders", ORDERS.values(), ids=ORDERS.keys())
def test_a_recorded_order_stays_what_the_shop_sent(orders: list[Recorded]) -> None:
    assert orders
    for one in orders:
        assert compose(one.body, {}) == one.body


@pytest.mark.parametrize("orders", ORDERS.values(), ids=ORDERS.keys())
def test_a_recorded_order_is_sent_with_the_config_over_it(orders: list[Recorded]) -> None:
    for one in orders:
        sent = compose(one.body, CONFIG)

        # Numbers as text, so that none can hide behind a float.
        assert json.loads(sent, parse_float=str, parse_int=str) == {
            **json.loads(one.body, parse_float=str, parse_int=str),
            **json.loads(json.dumps(documented(CONFIG)), parse_float=str, parse_int=str),
        }, one.seq


def test_the_config_stands_over_the_order() -> None:
    order = b'{"id":328,"name":"of the order","active":"yes","custom":[],"status":"processing"}'

    sent = json.loads(compose(order, {"name": "Shop", "active": False, "custom": {"a": 1}}))

    assert sent == {"id": 328, "name": "Shop", "active": False, "custom": {"a": 1}, "status": "processing"}


def test_what_the_config_cannot_know_is_the_orders() -> None:
    order = {"id": 328, "status": "processing", "total": "1.00", "date_created": "2026-11-23T11:49:26"}

    sent = json.loads(compose(json.dumps(order).encode(), CONFIG))

    assert {name: sent[name] for name in order} == order
    assert set(sent) == set(order) | set(documented(CONFIG))
    for name in ("createdAt", "dateLastSync", "_isDeleted", "deletedId", "deletedAt", "aPropertyOfTomorrow"):
        assert name not in sent


def test_every_documented_property_is_sent() -> None:
    config = {name: f"value of {name}" for name in CONFIG_PROPERTIES}

    assert json.loads(compose(b"{}", config)) == config


def test_the_documented_properties_are_those_of_the_api_document() -> None:
    assert set(CONFIG_PROPERTIES) == {
        "name",
        "active",
        "locale",
        "sendInvoiceAutomatically",
        "sendEstimateAutomatically",
        "issueInvoiceForBankPayment",
        "issueInvoiceOnComplete",
        "businessPremiseId",
        "electronicDeviceId",
        "organizationId",
        "unitId",
        "warehouseId",
        "accountId",
        "custom",
    }


def test_a_property_without_a_value_is_left_out_and_one_that_is_false_is_not() -> None:
    sent = json.loads(
        compose(b'{"locale":"de"}', {"locale": None, "active": False, "name": "", "custom": {}})
    )

    assert sent == {"locale": "de", "active": False, "name": "", "custom": {}}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (b'{"a":1,"a":2}', b'{"a":2}'),
        (b'{"a":1,"b":2,"a":3.0}', b'{"a":3.0,"b":2}'),
        (b'{"a":1,"\\u0061":2}', b'{"a":2}'),  # the same name, written otherwise
        (b'{"a":{"b":1,"b":2}}', b'{"a":{"b":1,"b":2}}'),  # deeper down it is none of our business
        (b'{"name":"x","name":"y"}', b'{"name":"Shop"}'),
    ],
)
def test_of_a_repeated_member_the_last_counts(order: bytes, expected: bytes) -> None:
    config = {"name": "Shop"} if b"name" in order else {}

    assert compose(order, config) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (b"{}", b"{}"),
        (b" \t\r\n{ } \n", b"{}"),
        (b' {\n\t"a" :\r\n 1.0 ,\n "b": [ 1, 2 ]\n}\n', b'{"a":1.0,"b":[ 1, 2 ]}'),
    ],
)
def test_space_between_the_members_does_not_matter(order: bytes, expected: bytes) -> None:
    assert compose(order, {}) == expected


def test_a_name_may_be_any_text() -> None:
    names = ["", "a b", "a/b", '"', "\\", "Ž", "😀", "\ud800", "\0", "__proto__"]
    order = {name: number for number, name in enumerate(names)}

    assert json.loads(compose(json.dumps(order).encode(), {})) == order


@pytest.mark.parametrize(
    "order",
    [
        b"",
        b" ",
        b"[]",
        b'[{"id":1}]',
        b"null",
        b"1",
        b'"{}"',
        b"{",
        b'{"a"',
        b'{"a":',
        b'{"a":1',
        b'{"a":1,',
        b'{"a":1,}',
        b'{"a" 1}',
        b'{"a":}',
        b'{"a":1 "b":2}',
        b'{"a":1;"b":2}',
        b"{1:2}",
        b"{a:1}",
        b"{'a':1}",
        b'{"a":"\xff"}',
        b'{"a":"\n"}',
        b'\xef\xbb\xbf{"a":1}',
        b"\xff",
        b"webhook_id=1",
    ],
)
def test_what_is_no_object_is_refused(order: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        compose(order, {"name": "Shop"})


@pytest.mark.parametrize("order", [b"{}x", b"{} {}", b'{"a":1}]', b'{"a":1}\0', b'{"a":1},{"b":2}'])
def test_what_goes_on_after_the_object_is_refused(order: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        compose(order, {"name": "Shop"})


@pytest.mark.parametrize("order", [b'{"a":%s%s}' % (b"[" * 100_000, b"]" * 100_000), b'{"a":' * 100_000])
def test_what_is_nested_too_deeply_is_refused(order: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        compose(order, {"name": "Shop"})


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
any_name = st.text(max_size=10) | st.sampled_from([*CONFIG_PROPERTIES, "id", "total", "_isDeleted"])
any_object = st.dictionaries(any_name, any_json, max_size=8)


@quickly
@given(any_object, any_object, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_what_is_sent_is_the_order_and_over_it_the_documented_config(
    order: dict[str, Any], config: dict[str, Any], indent: int | str | None, ensure_ascii: bool
) -> None:
    raw = json.dumps(order, indent=indent, ensure_ascii=ensure_ascii).encode()

    assert json.loads(compose(raw, config)) == {**order, **documented(config)}


# What an order says of what was decided by a store's choices.


@pytest.mark.parametrize(
    ("order", "policy", "expected"),
    [
        (bank("on-hold"), Policy(), {}),
        (card("processing"), Policy(), {}),
        (card("on-hold"), Policy(), {}),
        # a bank payment by another method than the one that Space Invoices knows
        (
            card("on-hold", payment_method="cheque"),
            Policy(bank_payment_methods=frozenset({"bacs", "cheque"})),
            {"payment_method": "bacs"},
        ),
        (bank("on-hold", payment_method="BACS"), Policy(), {"payment_method": "bacs"}),
        (
            card("processing", payment_method="bacs-2"),
            Policy(bank_payment_methods=frozenset({"bacs*"})),
            {"payment_method": "bacs"},
        ),
        # a status of the shop's own
        (card("shipped"), Policy(status_map={"shipped": "completed"}), {"status": "completed"}),
        (
            card("parked", payment_method="cheque"),
            Policy(status_map={"parked": "on-hold"}, bank_payment_methods=frozenset({"cheque"})),
            {"payment_method": "bacs", "status": "on-hold"},
        ),
        (card("shipped"), Policy(status_map={"another": "completed"}), {}),
        (card("completed"), Policy(status_map={"completed": "on-hold"}), {}),
    ],
)
def test_an_order_is_sent_with_the_values_that_space_invoices_knows(
    order: Order, policy: Policy, expected: dict[str, object]
) -> None:
    for kind in Kind:
        assert overrides_of(order, policy, kind, issue_anyway=False) == expected


def test_an_order_that_is_issued_anyway_asks_for_its_invoice_now() -> None:
    overrides = overrides_of(card("processing"), Policy(), Kind.INVOICE, issue_anyway=True)

    assert overrides == {"issueInvoiceOnComplete": False}
    assert overrides_of(bank("on-hold"), Policy(), Kind.ESTIMATE, issue_anyway=True) == {}


@pytest.mark.parametrize("status", ["on-hold", "pending", "parked"])
def test_a_bank_payment_that_the_store_calls_none_asks_for_an_invoice(status: str) -> None:
    policy = Policy(bank_payment_methods=frozenset({"cheque"}), status_map={"parked": "on-hold"})

    overrides = overrides_of(bank(status), policy, Kind.INVOICE, issue_anyway=False)

    assert overrides["issueInvoiceForBankPayment"] is True
    assert "payment_method" not in overrides
    assert "issueInvoiceForBankPayment" not in overrides_of(
        bank(status), policy, Kind.ESTIMATE, issue_anyway=False
    )
    assert overrides_of(bank("processing"), policy, Kind.INVOICE, issue_anyway=False) == {}
    assert "issueInvoiceForBankPayment" not in overrides_of(
        card(status), policy, Kind.INVOICE, issue_anyway=False
    )
    assert "issueInvoiceForBankPayment" not in overrides_of(
        bank(status), Policy(), Kind.INVOICE, issue_anyway=False
    )


SENT = b'{"id":328,"status":"shipped","payment_method":"cheque","payment_method_title":"By cheque","n":1.50}'


def test_overrides_replace_values_of_the_order_which_go_along_in_custom() -> None:
    overrides: dict[str, str | bool] = {
        "payment_method": "bacs",
        "status": "completed",
        "issueInvoiceOnComplete": False,
    }

    sent = compose(SENT, {"issueInvoiceOnComplete": True, "custom": {"a": 1}}, overrides)

    assert sent == (
        b'{"id":328,"status":"completed","payment_method":"bacs","payment_method_title":"By cheque","n":1.50,'
        b'"issueInvoiceOnComplete":false,'
        b'"custom":{"a": 1, "woocommerce": {"payment_method": "cheque", "status": "shipped"}}}'
    )


@pytest.mark.parametrize("custom", [None, [], "x", {}])
def test_own_words_go_along_whatever_the_custom_of_the_config_is(custom: object) -> None:
    sent = json.loads(compose(SENT, {"custom": custom}, {"status": "completed"}))

    assert sent["custom"] == {"woocommerce": {"status": "shipped"}}


def test_the_place_of_own_words_is_ours() -> None:
    config = {"custom": {"a": 1, "woocommerce": "of a person"}}

    sent = json.loads(compose(SENT, config, {"status": "completed"}))

    assert sent["custom"] == {"a": 1, "woocommerce": {"status": "shipped"}}
    assert config == {"custom": {"a": 1, "woocommerce": "of a person"}}


def test_flags_alone_leave_custom_as_it_is() -> None:
    """The flags are the config's: in the order there is nothing that would have to go along."""
    overrides: dict[str, str | bool] = {"issueInvoiceOnComplete": False}

    assert json.loads(compose(SENT, {"custom": {"a": 1}}, overrides))["custom"] == {"a": 1}
    assert compose(SENT, {}, overrides) == SENT[:-1] + b',"issueInvoiceOnComplete":false}'
    assert compose(SENT[:-1] + b',"issueInvoiceOnComplete":true}', {}, overrides) == compose(
        SENT, {}, overrides
    )


def test_what_the_shop_did_not_say_cannot_go_along() -> None:
    assert compose(b'{"id":328}', {}, {"status": "completed"}) == b'{"id":328,"status":"completed"}'


@pytest.mark.parametrize("one", [orders[0] for orders in ORDERS.values()], ids=lambda one: f"{one.seq}")
def test_nothing_else_of_an_order_is_touched(one: Recorded) -> None:
    before = json.loads(one.body, parse_float=str, parse_int=str)

    after = json.loads(compose(one.body, {}, {"status": "completed"}), parse_float=str, parse_int=str)

    assert after.pop("custom") == {"woocommerce": {"status": before["status"]}}
    assert after == {**before, "status": "completed"}
    assert compose(one.body, CONFIG, {}) == compose(one.body, CONFIG) == compose(one.body, CONFIG, None)


pieces = st.sampled_from(["{", "}", "{}", "[", "]", ":", ",", '"a"', '"b":', "1.50", "null", " ", "x", "\0"])


@quickly
@given(st.lists(pieces, max_size=10).map("".join).map(str.encode))
def test_only_json_objects_are_composed(raw: bytes) -> None:
    try:
        expected = json.loads(raw.decode())
    except ValueError:
        expected = None

    if isinstance(expected, dict):
        assert json.loads(compose(raw, {})) == expected
    else:
        with pytest.raises(ValueError, match=r"."):
            compose(raw, {})
