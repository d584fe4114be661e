"""What metadata, lines and address of an order tell the decision."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.issuance import Details, Timekeeping
from bridge.issuance.details import read_details
from bridge.ledger.order_details import read, written
from tests.support.recorded import load

ORDER: dict[str, Any] = load("life-of-a-store")[4].order()

quickly = settings(max_examples=200, deadline=None, derandomize=True)


def meta(*pairs: tuple[object, object]) -> Details:
    return read_details({"meta_data": [{"id": 1, "key": key, "value": value} for key, value in pairs]})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("_wcpay_mode", "test", True),
        ("_wcpay_mode", "TEST", True),
        ("_wcpay_mode", "prod", False),
        ("_wcpay_mode", "live", False),
        ("_mollie_payment_mode", "test", True),
        ("_ppcp_paypal_payment_mode", "sandbox", True),
        ("_wc_square_environment", "testing", True),
        ("_gateway_env", "test_mode", True),
        ("_GATEWAY_MODE", "testmode", True),
        ("_stripe_test_mode", "yes", True),
        ("_x_testmode", True, True),
        ("_x_testmode", 1, True),
        ("_x_testmode", "on", True),
        ("_x_testmode", False, False),
        ("_x_testmode", "no", False),
        ("_paypal_sandbox", "1", True),
        ("_x_is_test", "true", True),
        ("_x_test_order", "yes", True),
        ("_x_livemode", False, True),
        ("_x_livemode", "0", True),
        ("_x_livemode", "off", True),
        ("_x_LiveMode", "no", True),
        ("_x_livemode", True, False),
        ("_x_livemode", "yes", False),
        # Words that only look like it
        ("_wcpay_mode_of_shipping", "test", False),
        ("_mode_note", "sandbox", False),
        ("_test_mode_until", "yes", False),
        ("note", "test", False),
        ("_wcpay_mode", "testimonial", False),
        ("_wcpay_mode", "", False),
        ("_wcpay_mode", None, False),
        ("_wcpay_mode", ["test"], False),
    ],
)
def test_gateways_note_that_they_were_in_test_mode(key: str, value: object, expected: bool) -> None:
    assert meta(("another", "x"), (key, value), ("last", "y")).is_test is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("yes", True), ("Yes", True), (True, True), (1, True), ("no", False), (False, False), ("", False)],
)
def test_erased_customers_are_noted(value: object, expected: bool) -> None:
    assert meta(("_anonymized", value)).is_anonymized is expected
    assert not meta(("anonymized", value)).is_anonymized


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("64ab", "64ab"),
        (" 64ab ", "64ab"),
        (2026001, "2026001"),
        (True, "true"),
        (False, "false"),
        ("a\nb\0", "a?b?"),
        ("x" * 101, "x" * 100),
    ],
)
def test_metadata_with_a_value_are_kept(value: object, expected: str) -> None:
    assert meta(("apollo_invoice_id", value)).invoiced_by == {"apollo_invoice_id": expected}


@pytest.mark.parametrize("value", ["", " ", None, [], ["64ab"], {"id": "64ab"}])
def test_metadata_without_a_single_value_are_left_out(value: object) -> None:
    assert meta(("apollo_invoice_id", value)).invoiced_by == {}


@pytest.mark.parametrize("odd", [None, 5, "x", {}, [5], ["x"], [[]], [{}], [{"key": 5, "value": "x"}]])
def test_odd_metadata_tell_nothing(odd: object) -> None:
    assert read_details({"meta_data": odd}) == Details()


def of(**changes: object) -> Details:
    return read_details({**ORDER, **changes})


def line(**changes: object) -> list[dict[str, object]]:
    return [{**ORDER["line_items"][0], **changes}, *ORDER["line_items"][1:]]


@pytest.mark.parametrize(
    "changes",
    [
        {"line_items": line(name="Another")},
        {"line_items": line(quantity=99)},
        {"line_items": line(total="0.01")},
        {"line_items": line(total_tax="0.01")},
        {"line_items": []},
        {"line_items": [*ORDER["line_items"], *ORDER["line_items"]]},
        {"fee_lines": [{"name": "Express", "total": "1.00"}]},
        {"shipping_lines": [{"method_title": "By hand", "total": "0.00"}]},
    ],
)
def test_other_lines_are_told_apart(changes: dict[str, object]) -> None:
    assert of(**changes).lines != of().lines
    assert of(**changes).customer == of().customer


@pytest.mark.parametrize(
    "field",
    ["first_name", "last_name", "company", "address_1", "address_2", "city", "state", "postcode", "country"],
)
def test_another_addressee_is_told_apart(field: str) -> None:
    changed = of(billing={**ORDER["billing"], field: "Another"})

    assert changed.customer != of().customer
    assert changed.lines == of().lines


@pytest.mark.parametrize(
    "key", ["_vat_number", "vat_id", "_billing_vat_no", "billing_eu_vat", "_billing_vat", "TAX_ID", "taxid"]
)
def test_another_vat_id_is_told_apart(key: str) -> None:
    with_one = of(meta_data=[{"key": key, "value": "SI12345678"}])

    assert with_one.customer != of().customer
    assert with_one.customer != of(meta_data=[{"key": key, "value": "SI87654321"}]).customer


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "completed", "date_modified_gmt": "2027-01-01T00:00:00"},
        {"shipping": {"city": "Elsewhere"}, "customer_note": "Thanks"},
        {"billing": {**ORDER["billing"], "email": "b@example.com", "phone": "1"}},
        {"billing": {**ORDER["billing"], "city": f" {ORDER['billing']['city']} "}},
        {"line_items": line(id=5, meta_data=[1], sku="x")},
        {"meta_data": [{"key": "_vat_exempt", "value": "no"}, {"key": "elevator_not", "value": "1"}]},
    ],
)
def test_what_no_invoice_shows_is_no_change(changes: dict[str, object]) -> None:
    assert (of(**changes).lines, of(**changes).customer) == (of().lines, of().customer)


def test_vat_ids_count_in_any_order_and_once() -> None:
    one, other = {"key": "vat_id", "value": "SI1"}, {"key": "_billing_vat", "value": "SI2"}
    again = {"key": "_vat_number", "value": "SI1"}

    assert of(meta_data=[one, other]).customer == of(meta_data=[other, again, one]).customer


def test_vat_ids_have_the_same_digest_in_every_process() -> None:
    """A process has a set of texts in an order of its own."""
    keys = ["_vat_number", "vat_id", "_billing_vat_no", "billing_eu_vat", "_billing_vat", "TAX_ID"]
    vat_ids = [{"key": key, "value": f"SI{number}"} for number, key in enumerate(keys)]

    assert read_details({"meta_data": vat_ids}).customer == "f3131afcc02c798753174591"


def test_digests_are_short_and_stay_the_same() -> None:
    """They are kept for as long as an order is: another way to make them would call every order changed."""
    data = {"line_items": [{"name": "Žirafa", "quantity": 2, "total": "1.00"}], "billing": {"city": "Köln"}}

    assert (read_details(data).lines, read_details(data).customer) == (
        "8fe3b588a72db33312d8aa03",
        "e8a0fcde73283cf59caab65a",
    )


@pytest.mark.parametrize("odd", [None, 5, "x", {}, [], [5], ["x"], {"a": {"name": "x"}}])
def test_what_has_nothing_to_compare_has_no_digest(odd: object) -> None:
    details = read_details({"line_items": odd, "fee_lines": odd, "shipping_lines": odd, "billing": odd})

    assert (details.lines, details.customer) == ("", "")
    assert read_details({"billing": {"city": " "}}).customer == ""


# In the ledger.

any_details = st.builds(
    Details,
    created=st.none() | st.datetimes(timezones=st.just(UTC)),
    created_is_local=st.booleans(),
    payment_title=st.text(max_size=9),
    parent_id=st.integers(0, 2**63 - 1),
    paid_back=st.sampled_from(["0", "0.00", "10.00"]),
    is_test=st.booleans(),
    is_anonymized=st.booleans(),
    invoiced_by=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    lines=st.text(max_size=5),
    customer=st.text(max_size=5),
)


@quickly
@given(any_details)
def test_details_are_read_as_they_were_written(details: Details) -> None:
    assert read(written(details)) == details


@pytest.mark.parametrize(
    ("text", "timekeeping"),
    [
        ("{}", Timekeeping.UTC),
        ('{"timekeeping":"local"}', Timekeeping.LOCAL),
        ('{"timekeeping":"none"}', Timekeeping.NONE),
    ],
)
def test_timekeeping_has_the_name_that_ledgers_know_it_by(text: str, timekeeping: Timekeeping) -> None:
    assert written(Details(timekeeping=timekeeping)) == text
    assert read(text).timekeeping is timekeeping


def test_usual_details_take_no_room() -> None:
    assert written(Details()) == "{}"
    assert written(Details(is_test=True)) == '{"is_test":true}'


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_an_order_of_an_older_version_has_usual_details(text: str | None) -> None:
    assert read(text) == Details(
        timekeeping=Timekeeping.UTC,
        created=None,
        created_is_local=False,
        payment_title="",
        parent_id=0,
        paid_back="0",
        is_test=False,
        is_anonymized=False,
        invoiced_by={},
        lines="",
        customer="",
    )


def test_what_a_newer_version_has_added_is_left_out() -> None:
    assert read('{"parent_id":5,"of_tomorrow":1}') == Details(parent_id=5)
