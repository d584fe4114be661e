"""The sandbox's Woocommerce objects: created, changed, deleted, counted, and imported into."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.sandbox.test_sandbox import (
    NEW,
    OBJECTS,
    ORGANIZATION,
    STORE,
    Clock,
    counts,
    documents,
    hand_over,
    messages,
    read,
    sandbox,
)

OBJECT = f"/v1/Woocommerce/{STORE}"
COUNT = f"{OBJECTS}/count"
IMPORT = f"{OBJECT}/import"


def names(client: FlaskClient, **query: str) -> list[str]:
    """The names of the objects that are found."""
    return [found["name"] for found in read(client.get(OBJECTS, query_string=query))]


# --- Created and changed


def test_a_created_object_comes_back_with_every_documented_property() -> None:
    client = sandbox()
    created = read(client.post(OBJECTS, json={**NEW, "locale": "sl", "color": "green"}))
    assert len(created.pop("id")) == 24
    assert created == {
        **NEW,
        "locale": "sl",
        "issueInvoiceForBankPayment": None,
        "issueInvoiceOnComplete": None,
        "businessPremiseId": None,
        "electronicDeviceId": None,
        "organizationId": ORGANIZATION,
        "unitId": None,
        "warehouseId": None,
        "accountId": None,
        "custom": {},
        "deletedAt": None,
        "_isDeleted": False,
        "deletedId": None,
        "createdAt": "2026-03-01T09:30:00+00:00Z",
        "updatedAt": "2026-03-01T09:30:00+00:00Z",
        "color": "green",  # the API admits additional properties
    }


def test_a_patch_changes_what_it_names_and_nothing_else() -> None:
    clock = Clock()
    client = sandbox(clock=clock)
    (before,) = read(client.get(OBJECTS))
    clock.now = datetime(2026, 3, 2, tzinfo=UTC)
    after = read(client.patch(OBJECT, json={"issueInvoiceOnComplete": True}))
    assert after == {**before, "issueInvoiceOnComplete": True, "updatedAt": "2026-03-02T00:00:00+00:00Z"}
    assert read(client.get(OBJECTS)) == [after]


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({"name": None}, {"name": "is required"}),
        ({"active": None}, {"active": "is required"}),
        ({"sendInvoiceAutomatically": None}, {"sendInvoiceAutomatically": "is required"}),
        ({"sendEstimateAutomatically": None}, {"sendEstimateAutomatically": "is required"}),
        ({"active": "true"}, {"active": "must be a boolean"}),
        ({"issueInvoiceOnComplete": 1}, {"issueInvoiceOnComplete": "must be a boolean"}),
        ({"name": 7, "unitId": []}, {"name": "must be a string", "unitId": "must be a string"}),
        ({"custom": "x"}, {"custom": "must be an object"}),
        ({"id": "mine"}, {"id": "is read-only"}),
        ({"createdAt": "2022-04-20T10:10:30+00:00Z"}, {"createdAt": "is read-only"}),
        ({"_isDeleted": False}, {"_isDeleted": "is read-only"}),
        ({"organizationId": "another"}, {"organizationId": "is not the organization of this object"}),
    ],
)
def test_an_invalid_object_is_refused_property_by_property(
    changes: dict[str, object], problems: dict[str, str]
) -> None:
    client = sandbox()
    body = {name: value for name, value in {**NEW, **changes}.items() if value is not None}
    assert messages(client.post(OBJECTS, json=body)) == {name: [text] for name, text in problems.items()}
    assert len(read(client.get(OBJECTS))) == 1


def test_a_patch_is_checked_for_types_but_needs_no_property() -> None:
    client = sandbox()
    assert client.patch(OBJECT, json={}).status_code == 200
    assert messages(client.patch(OBJECT, json={"locale": 1})) == {"locale": ["must be a string"]}
    assert messages(client.patch(OBJECT, json={"id": STORE})) == {"id": ["is read-only"]}


# --- Deleted


def test_a_deleted_object_is_gone_from_every_query_and_every_request() -> None:
    client = sandbox()
    client.post(OBJECTS, json={**NEW, "name": "Second"})
    deleted = client.delete(OBJECT)
    assert (deleted.status_code, read(deleted)) == (200, {"count": 1})
    assert names(client) == ["Second"]
    assert names(client, filter='{"where": {"_isDeleted": true}}') == []
    assert client.patch(OBJECT, json={"name": "Back"}).status_code == 404
    assert client.patch(OBJECT, json={"_isDeleted": False}).status_code == 404
    assert client.delete(OBJECT).status_code == 404
    assert client.post(IMPORT, json={"type": "orders"}).status_code == 404
    assert hand_over(client).status_code == 404
    assert documents(client) == []


@pytest.mark.parametrize("query", [{"filter": '{"deleted": true}'}, {"filter[deleted]": "true"}])
def test_a_deleted_object_comes_back_only_when_it_is_asked_for(query: dict[str, str]) -> None:
    clock = Clock()
    client = sandbox(clock=clock)
    (before,) = read(client.get(OBJECTS))
    client.post(OBJECTS, json={**NEW, "name": "Second"})
    clock.now = datetime(2026, 3, 2, tzinfo=UTC)
    client.delete(OBJECT)
    deleted, other = read(client.get(OBJECTS, query_string=query))
    assert deleted == {
        **before,
        "_isDeleted": True,
        "deletedId": STORE,
        "deletedAt": "2026-03-02T00:00:00+00:00Z",
        "updatedAt": "2026-03-02T00:00:00+00:00Z",
    }
    assert (other["name"], other["_isDeleted"]) == ("Second", False)


def test_what_was_issued_for_a_deleted_store_is_still_told() -> None:
    client = sandbox()
    hand_over(client)
    client.delete(OBJECT)
    assert [document["woocommerceId"] for document in documents(client)] == [STORE]


# --- Counted


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 3),
        ({"where": '{"active": true}'}, 2),
        ({"where[active]": "true"}, 2),
        ({"where[name][like]": "th"}, 1),
        ({"where": '{"or": [{"name": "Shop"}, {"name": "Fourth"}]}'}, 2),
        ({"where": '{"name": "Nobody\'s"}'}, 0),
    ],
)
def test_objects_are_counted_by_a_condition(query: dict[str, str], count: int) -> None:
    client = sandbox()
    client.post(OBJECTS, json={**NEW, "name": "Second", "active": False})
    client.post(OBJECTS, json={**NEW, "name": "Fourth"})
    assert read(client.get(COUNT, query_string=query)) == {"count": count}


@pytest.mark.parametrize(
    "query", [{}, {"where": '{"_isDeleted": true}'}, {"where": '{"or": [{"_isDeleted": true}]}'}]
)
def test_deleted_objects_are_never_counted_whatever_is_asked(query: dict[str, str]) -> None:
    client = sandbox()
    client.delete(OBJECT)
    assert read(client.get(COUNT, query_string=query)) == {"count": 0}


def test_more_objects_than_a_page_holds_are_counted_and_found_page_by_page() -> None:
    client = sandbox()
    for number in range(2, 122):
        client.post(OBJECTS, json={**NEW, "name": f"Shop {number}"})
    assert read(client.get(COUNT)) == {"count": 121}
    first = client.get(OBJECTS, query_string={"filter": '{"limit": 500}'})
    second = client.get(OBJECTS, query_string={"filter": '{"skip": 100}'})
    assert [len(read(first)), len(read(second))] == [100, 21]
    assert [first.headers["X-Total-Count"], second.headers["X-Total-Count"]] == ["121", "121"]


# --- Imported into


def test_an_import_is_answered_with_nothing_and_can_be_looked_at() -> None:
    client = sandbox()
    for body in ({"type": "orders", "importOptions": '{"since": 1}'}, {"type": "items", "more": 1}):
        answer = client.post(IMPORT, json=body)
        assert (answer.status_code, read(answer)) == (200, {})
    assert read(client.get("/sandbox/imports")) == {
        "imports": [
            {
                "woocommerceId": STORE,
                "type": "orders",
                "importOptions": '{"since": 1}',
                "requestedAt": "2026-03-01T09:30:00.000+00:00",
            },
            {
                "woocommerceId": STORE,
                "type": "items",
                "importOptions": None,
                "requestedAt": "2026-03-01T09:30:00.000+00:00",
            },
        ]
    }
    assert counts(client) == {"imports": 2}


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, {"type": ["is required"]}),
        ({"type": 1}, {"type": ["must be a string"]}),
        ({"type": None}, {"type": ["must be a string"]}),
        ({"type": "orders", "importOptions": {}}, {"importOptions": ["must be a string"]}),
        ({"importOptions": 1}, {"type": ["is required"], "importOptions": ["must be a string"]}),
    ],
)
def test_an_invalid_import_is_refused_and_not_noted(
    body: dict[str, Any], problems: dict[str, list[str]]
) -> None:
    client = sandbox()
    assert messages(client.post(IMPORT, json=body)) == problems
    assert counts(client) == {"refused": 1}
    assert read(client.get("/sandbox/imports")) == {"imports": []}


def test_the_newest_thousand_imports_are_kept() -> None:
    client = sandbox(rate_limit=10_000)
    for number in range(1_001):
        client.post(IMPORT, json={"type": str(number)})
    kept = read(client.get("/sandbox/imports"))["imports"]
    assert [kept[0]["type"], kept[-1]["type"], len(kept)] == ["1", "1000", 1_000]
    assert counts(client) == {"imports": 1_001}
