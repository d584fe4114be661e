"""The Woocommerce object: what is read of the API's, and what is sent to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.spaceinvoices import NewWoocommerce, Woocommerce, WoocommerceChanges
from bridge.spaceinvoices.models import read_date

# As the API document gives it.
DOCUMENTED: dict[str, Any] = {
    "name": "string",
    "active": True,
    "locale": "string",
    "sendInvoiceAutomatically": True,
    "sendEstimateAutomatically": True,
    "issueInvoiceForBankPayment": True,
    "issueInvoiceOnComplete": True,
    "businessPremiseId": "string",
    "electronicDeviceId": "string",
    "id": "string",
    "organizationId": "string",
    "unitId": "string",
    "warehouseId": "string",
    "accountId": "string",
    "custom": {},
    "deletedAt": "2022-04-20T10:10:30+00:00Z",
    "_isDeleted": False,
    "deletedId": "string",
    "createdAt": "2022-04-20T10:10:30+00:00Z",
    "updatedAt": "2022-04-20T10:10:30+00:00Z",
}
READ_ONLY = {"id", "deletedAt", "_isDeleted", "deletedId", "createdAt", "updatedAt"}
MOMENT = datetime(2022, 4, 20, 10, 10, 30, tzinfo=UTC)


def test_every_documented_property_has_an_attribute() -> None:
    shop = Woocommerce.model_validate(DOCUMENTED)

    assert shop.model_extra == {}
    assert (shop.id, shop.name, shop.is_deleted) == ("string", "string", False)
    assert shop.created_at == shop.updated_at == shop.deleted_at == MOMENT
    aliases = {info.alias for info in Woocommerce.model_fields.values()}
    assert aliases == set(DOCUMENTED)


@pytest.mark.parametrize("model", [NewWoocommerce, WoocommerceChanges])
def test_every_documented_property_that_can_be_set_can_be_given(model: type[NewWoocommerce]) -> None:
    aliases = {info.alias for info in model.model_fields.values()}
    assert aliases == set(DOCUMENTED) - READ_ONLY


def test_what_came_goes_out_as_it_came() -> None:
    came = {**DOCUMENTED, "createdAt": "2022-04-20T10:10:30+00:00", "deletedAt": None, "updatedAt": "soon"}
    came |= {"unknown": {"deep": [1, None]}, "created_at": "not ours", "_x": 1.5, "half": "\ud800"}
    assert Woocommerce.model_validate(came).as_mapping() == came


def test_a_date_goes_out_in_iso_8601() -> None:
    assert Woocommerce.model_validate(DOCUMENTED).as_mapping()["createdAt"] == "2022-04-20T10:10:30+00:00"


def test_a_part_of_an_object_stays_a_part() -> None:
    shop = Woocommerce.model_validate({"id": "1", "locale": None})
    assert shop.as_mapping() == {"id": "1", "locale": None}
    assert (shop.name, shop.active, shop.created_at) == (None, None, None)


@pytest.mark.parametrize("custom", [None, {}, {"a": {"b": []}}, [], "text", 1])
def test_free_form_data_may_be_anything(custom: object) -> None:
    assert Woocommerce.model_validate({"custom": custom}).custom == custom


@pytest.mark.parametrize(
    "wrong", [{"active": 1}, {"active": "true"}, {"name": 5}, {"id": None, "unitId": []}]
)
def test_a_documented_property_of_another_type_is_not_taken_for_right(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Woocommerce.model_validate(wrong)


# Dates.


@pytest.mark.parametrize(
    ("came", "read"),
    [
        ("2022-04-20T10:10:30+00:00Z", MOMENT),
        ("2022-04-20T12:10:30+02:00Z", MOMENT.astimezone(timezone(timedelta(hours=2)))),
        ("2022-04-20T10:10:30+0000Z", MOMENT),
        ("2022-04-20T10:10:30Z", MOMENT),
        ("2022-04-20T10:10:30.250Z", MOMENT + timedelta(milliseconds=250)),
        ("2022-04-20T10:10:30+00:00", MOMENT),
        ("2022-04-20T10:10:30", MOMENT),
        ("2022-04-20", datetime(2022, 4, 20, tzinfo=UTC)),
        (MOMENT, MOMENT),
        ("", ""),
        ("yesterday", "yesterday"),
        ("2022-13-40T10:10:30Z", "2022-13-40T10:10:30Z"),
        ("2022-04-20T10:10:30+00:00ZZ", "2022-04-20T10:10:30+00:00ZZ"),
        (None, None),
        (1650449430000, None),
        ({"date": 1}, None),
    ],
)
def test_a_date_is_read_if_it_is_one(came: object, read: object) -> None:
    assert read_date(came) == read
    assert Woocommerce.model_validate({"createdAt": came}).created_at == read


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet="0123456789-+:.TZW ") | st.text() | st.integers() | st.lists(st.text()))
def test_no_date_makes_an_object_unreadable(came: object) -> None:
    shop = Woocommerce.model_validate({"createdAt": came})
    assert isinstance(shop.created_at, datetime) or shop.created_at in {
        came if isinstance(came, str) else None
    }
    json.dumps(shop.as_mapping())


# What is sent.


def test_a_new_object_has_the_documents_defaults() -> None:
    assert NewWoocommerce(name="Shop").as_mapping() == {
        "name": "Shop",
        "active": True,
        "sendInvoiceAutomatically": True,
        "sendEstimateAutomatically": True,
        "custom": {},
    }


def test_a_new_object_has_what_is_given_in_the_defaults_place() -> None:
    new = NewWoocommerce(
        name="Žiga",
        active=False,
        send_invoice_automatically=False,
        issue_invoice_on_complete=True,
        business_premise_id="p",
        custom={"a": None},
        unknown=[1],
    )
    assert new.as_mapping() == {
        "name": "Žiga",
        "active": False,
        "sendInvoiceAutomatically": False,
        "sendEstimateAutomatically": True,
        "issueInvoiceOnComplete": True,
        "businessPremiseId": "p",
        "custom": {"a": None},
        "unknown": [1],
    }


def test_a_new_object_needs_its_name() -> None:
    with pytest.raises(ValidationError, match="name"):
        NewWoocommerce.model_validate({"active": True})


def test_changes_are_what_is_given_and_no_defaults() -> None:
    assert WoocommerceChanges().as_mapping() == {}
    assert WoocommerceChanges(active=False).as_mapping() == {"active": False}
    assert WoocommerceChanges(unit_id=None, x=1).as_mapping() == {"unitId": None, "x": 1}


@pytest.mark.parametrize("model", [NewWoocommerce, WoocommerceChanges])
@pytest.mark.parametrize(
    "wrong",
    [{"active": "yes"}, {"active": 1}, {"locale": 5}, {"custom": []}, {"custom": "x"}, {"name": True}],
)
def test_a_wrong_type_is_refused_before_it_is_sent(
    model: type[NewWoocommerce], wrong: dict[str, object]
) -> None:
    with pytest.raises(ValidationError):
        model.model_validate({"name": "x", **wrong})


def test_a_property_goes_by_the_apis_name_or_by_pythons() -> None:
    by_alias = WoocommerceChanges.model_validate({"issueInvoiceOnComplete": True})
    assert by_alias == WoocommerceChanges(issue_invoice_on_complete=True)
