"""The sandbox's filters: LoopBack's, applied as they stand, or refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.sandbox.test_sandbox import NEW, OBJECTS, Clock, read, sandbox


@pytest.fixture
def client() -> FlaskClient:
    """A sandbox with three stores, created on three days: Shop, Second, Third."""
    clock = Clock()
    client = sandbox({"custom": {"region": "west", "rank": 2}}, clock=clock)
    clock.now = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    second = {"name": "Second", "locale": "sl", "color": "green", "seats": 5, "custom": {"region": "east"}}
    client.post(OBJECTS, json={**NEW, **second})
    clock.now = datetime(2026, 3, 3, 9, 30, tzinfo=UTC)
    third = {"name": "Third", "active": False, "locale": "de", "tags": ["new", "far"], "seats": 12}
    client.post(OBJECTS, json={**NEW, **third})
    return client


def find(client: FlaskClient, **criteria: Any) -> list[str]:
    """The names of what a filter finds."""
    response = client.get(OBJECTS, query_string={"filter": json.dumps(criteria)})
    assert response.status_code == 200, response.data
    return [found["name"] for found in read(response)]


ALL = ["Shop", "Second", "Third"]


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ({}, ALL),
        # Equality
        ({"name": "Second"}, ["Second"]),
        ({"name": "second"}, []),
        ({"active": False}, ["Third"]),
        ({"active": "false"}, ["Third"]),  # LoopBack reads a boolean's text
        ({"active": True, "name": "Third"}, []),
        ({"color": "green"}, ["Second"]),  # an additional property
        ({"locale": None}, ["Shop"]),
        ({"color": None}, ["Shop", "Third"]),  # absent is null
        ({"seats": 5.0}, ["Second"]),
        ({"seats": True}, []),
        ({"createdAt": "2026-03-02T09:30:00Z"}, ["Second"]),
        ({"createdAt": "2026-03-02T10:30:00+01:00"}, ["Second"]),
        ({"createdAt": "2026-03-02T09:30:00+00:00Z"}, ["Second"]),  # as the API writes it
        ({"deletedAt": None}, ALL),
        ({"tags": "far"}, ["Third"]),  # a list holds what one of its elements is
        ({"custom.region": "east"}, ["Second"]),
        ({"custom.region.more": "east"}, []),
        # Order
        ({"name": {"gt": "Second"}}, ["Shop", "Third"]),
        ({"name": {"gte": "Second"}}, ALL),
        ({"name": {"lt": "Shop"}}, ["Second"]),
        ({"name": {"lte": "Shop"}}, ["Shop", "Second"]),
        ({"seats": {"gt": 5}}, ["Third"]),
        ({"seats": {"gt": "5"}}, []),  # a text is not more than a number
        ({"locale": {"lt": "z"}}, ["Second", "Third"]),  # null is not less than a text
        ({"createdAt": {"gt": "2026-03-02"}}, ["Second", "Third"]),
        ({"createdAt": {"gt": "0001-01-01T00:00:00+23:59"}}, ALL),
        ({"name": {"between": ["Second", "Shop"]}}, ["Shop", "Second"]),
        ({"createdAt": {"between": ["2026-03-02T09:30:00Z", "2026-03-03"]}}, ["Second"]),
        ({"seats": {"between": [5, 12]}}, ["Second", "Third"]),
        # Lists and opposites
        ({"name": {"inq": ["Third", "Shop"]}}, ["Shop", "Third"]),
        ({"locale": {"inq": [None, "de"]}}, ["Shop", "Third"]),
        ({"name": {"inq": []}}, []),
        ({"name": {"nin": ["Third", "Shop"]}}, ["Second"]),
        ({"name": {"nin": []}}, ALL),
        ({"name": {"neq": "Shop"}}, ["Second", "Third"]),
        ({"locale": {"neq": "sl"}}, ["Shop", "Third"]),  # null is another value, too
        ({"locale": {"neq": None}}, ["Second", "Third"]),
        ({"tags": {"neq": "far"}}, ["Shop", "Second"]),
        # Alike
        ({"name": {"like": "h"}}, ["Shop", "Third"]),
        ({"name": {"like": "S%d"}}, ["Second"]),
        ({"name": {"like": "_hop"}}, ["Shop"]),
        ({"name": {"like": "H"}}, []),
        ({"name": {"like": "H", "options": "i"}}, ["Shop", "Third"]),
        ({"name": {"nlike": "h"}}, ["Second"]),
        ({"name": {"like": "S.op"}}, []),  # a dot is a dot
        ({"name": {"like": ""}}, ALL),
        ({"seats": {"like": "5"}}, []),
        # Joined
        ({"and": [{"active": True}, {"name": {"neq": "Shop"}}]}, ["Second"]),
        ({"or": [{"active": False}, {"color": "green"}]}, ["Second", "Third"]),
        ({"or": [{"and": [{"name": "Shop"}, {"active": False}]}, {"locale": "sl"}]}, ["Second"]),
        ({"active": True, "or": [{"name": "Third"}, {"name": "Shop"}]}, ["Shop"]),
    ],
)
def test_where_means_what_loopback_means(
    client: FlaskClient, where: dict[str, Any], names: list[str]
) -> None:
    assert find(client, where=where) == names


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("filter[where][name]=Third", ["Third"]),
        ("filter[where][active]=false&filter[where][name]=Third", ["Third"]),
        ("filter[where][name][like]=S%25d", ["Second"]),
        ("filter[where][name][inq]=Third&filter[where][name][inq]=Shop", ["Shop", "Third"]),
        ("filter[where][name][inq][]=Third", ["Third"]),
        ("filter[where][name][nin][1]=Third&filter[where][name][nin][0]=Shop", ["Second"]),
        (
            "filter[where][createdAt][between][0]=2026-03-02&filter[where][createdAt][between][1]=2026-03-03",
            ["Second"],
        ),
        ("filter[where][or][0][name]=Shop&filter[where][or][1][active]=false", ["Shop", "Third"]),
        ("filter[where][seats]=5", ["Second"]),  # a number, where nobody says that it is a text
        ("filter[where][seats][gt]=5", ["Third"]),
        ("filter[where][custom.region]=west", ["Shop"]),
        ("filter[where][custom.rank]=2", ["Shop"]),
        ("filter[limit]=2", ["Shop", "Second"]),
        ("filter[limit]=1&filter[skip]=1", ["Second"]),
        ("filter[order]=name%20DESC", ["Third", "Shop", "Second"]),
        ("filter[order][0]=active&filter[order][1]=name%20DESC", ["Third", "Shop", "Second"]),
        ("filter[deleted]=false", ALL),
        ("filter[include]=", ALL),
    ],
)
def test_a_filter_in_brackets_means_the_same(client: FlaskClient, query: str, names: list[str]) -> None:
    response = client.get(f"{OBJECTS}?{query}")
    assert response.status_code == 200, response.data
    assert [found["name"] for found in read(response)] == names


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("name", ["Second", "Shop", "Third"]),
        ("name ASC", ["Second", "Shop", "Third"]),
        ("name desc", ["Third", "Shop", "Second"]),
        ("createdAt DESC", ["Third", "Second", "Shop"]),
        (["active DESC", "name ASC"], ["Second", "Shop", "Third"]),
        ("active, name DESC", ["Third", "Shop", "Second"]),
        ("locale", ["Shop", "Third", "Second"]),  # what is absent comes first
        ("seats DESC", ["Third", "Second", "Shop"]),
        ("custom.region", ["Third", "Second", "Shop"]),
        ("tags", ALL),
        ([], ALL),
    ],
)
def test_what_is_found_is_ordered(client: FlaskClient, order: object, names: list[str]) -> None:
    assert find(client, order=order) == names


def test_an_order_goes_before_a_limit_and_a_condition_before_both(client: FlaskClient) -> None:
    assert find(client, order="name DESC", limit=1, skip=1) == ["Shop"]
    assert find(client, where={"active": True}, order="name DESC", limit=1) == ["Shop"]
    assert find(client, skip=2) == ["Third"]
    assert find(client, skip=3) == []


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        (["name", "id"], {"name", "id"}),
        ("name", {"name"}),
        ({"name": True, "active": False}, {"name"}),
        (["name", "nothing"], {"name"}),
    ],
)
def test_the_fields_that_are_asked_for_are_given(
    client: FlaskClient, fields: object, given: set[str]
) -> None:
    (found,) = read(client.get(OBJECTS, query_string={"filter": json.dumps({"fields": fields, "limit": 1})}))
    assert set(found) == given


def test_fields_can_be_left_out(client: FlaskClient) -> None:
    (whole,) = read(client.get(OBJECTS, query_string={"filter": '{"limit": 1}'}))
    for query in (
        {"filter": '{"limit": 1, "fields": {"custom": false}}'},
        {"filter[fields][custom]": "false"},
    ):
        first = read(client.get(OBJECTS, query_string=query))[0]
        assert set(first) == set(whole) - {"custom"}
    for nothing in ("[]", "{}", "null"):
        query = {"filter": f'{{"limit": 1, "fields": {nothing}}}'}
        assert read(client.get(OBJECTS, query_string=query)) == [whole]


@pytest.mark.parametrize(
    ("criteria", "word"),
    [
        ({"offset": 1}, "`offset`"),
        ({"where": "name"}, "where"),
        ({"where": []}, "where"),
        ({"where": {"name": {}}}, "exactly one operator"),
        ({"where": {"name": {"gt": "A", "lt": "Z"}}}, "exactly one operator"),  # LoopBack would drop one
        ({"where": {"name": {"regexp": "^S"}}}, "`regexp`"),
        ({"where": {"name": {"near": "S"}}}, "`near`"),
        ({"where": {"name": ["Shop"]}}, "`name`"),
        ({"where": {"name": 7}}, "text"),
        ({"where": {"name": {"inq": "Shop"}}}, "list"),
        ({"where": {"name": {"nin": {"0": "Shop"}}}}, "list"),
        ({"where": {"name": {"inq": [["Shop"]]}}}, "`name`"),
        ({"where": {"name": {"between": ["A"]}}}, "two"),
        ({"where": {"name": {"gt": None}}}, "null"),
        ({"where": {"active": {"gt": False}}}, "boolean"),
        ({"where": {"seats": {"between": [1, True]}}}, "boolean"),
        ({"where": {"name": {"like": 7}}}, "text"),
        ({"where": {"name": {"like": "^S.*"}}}, "regular expression"),
        ({"where": {"name": {"like": "S", "options": "x"}}}, "options"),
        ({"where": {"name": {"neq": "S", "options": "i"}}}, "options"),
        ({"where": {"active": {"like": "t"}}}, "text"),
        ({"where": {"active": "yes"}}, "boolean"),
        ({"where": {"active": 1}}, "boolean"),
        ({"where": {"createdAt": {"gt": "yesterday"}}}, "date"),
        ({"where": {"createdAt": {"gt": 5}}}, "date"),
        ({"where": {"custom": {"region": "west"}}}, "`region`"),
        ({"where": {"custom": "west"}}, "custom.name"),
        ({"where": {"and": []}}, "`and`"),
        ({"where": {"or": {"name": "Shop"}}}, "`or`"),
        ({"where": {"or": ["name"]}}, "where"),
        ({"fields": 1}, "fields"),
        ({"fields": [1]}, "fields"),
        ({"fields": ""}, "fields"),
        ({"fields": {"name": 1}}, "fields"),
        ({"order": "name UP"}, "order"),
        ({"order": "name ASC DESC"}, "order"),
        ({"order": ["name", 1]}, "order"),
        ({"order": ""}, "order"),
        ({"order": {"name": "ASC"}}, "order"),
        ({"include": "tax"}, 'Relation "tax" is not defined'),
        ({"include": ["tax"]}, 'Relation "tax" is not defined'),
        ({"include": {"tax": "rate"}}, 'Relation "tax" is not defined'),
        ({"include": [{"relation": "tax"}]}, "Relation"),
        ({"include": 1}, "include"),
        ({"limit": "1"}, "limit"),
        ({"limit": 0}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"limit": True}, "limit"),
        ({"skip": -1}, "skip"),
        ({"deleted": 1}, "deleted"),
    ],
)
def test_what_it_cannot_apply_is_refused_and_not_ignored(
    client: FlaskClient, criteria: dict[str, Any], word: str
) -> None:
    response = client.get(OBJECTS, query_string={"filter": json.dumps(criteria)})
    assert response.status_code == 400
    assert word in read(response)["error"]["message"]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("filter=name=Shop", "JSON"),
        ("filter=[]", "JSON"),
        ("filter=", "JSON"),
        ('filter={"limit":NaN}', "JSON"),
        ("filter={}&filter={}", "once"),
        ("filter={}&filter[limit]=1", "both"),
        ("filter[limit]=all", "limit"),
        ("filter[limit]=1&filter[limit]=2", "limit"),
        ("filter[skip]=-1", "skip"),
        ("filter[deleted]=yes", "deleted"),
        ("filter[fields][name]=yes", "fields"),
        ("filter[where]=name", "where"),
        ("filter[where][name", "brackets"),
        ("filter[where]name=Shop", "brackets"),
        ("filter[where][name]=Shop&filter[where][name][like]=S", "object of values"),
        ("filter[where][name][like]=S&filter[where][name]=Shop", "object of values"),
        ("filter[where][name][inq][0]=S&filter[where][name][inq][2]=T", "list"),
        ("filter[where][and][0][or][0][name]=Shop", "as JSON"),  # deeper than LoopBack's own parser reads
        ("filter[0]=name", "object"),
        ("where[name]=Shop", "only `filter`"),
        ('where={"name":"Shop"}', "only `filter`"),
    ],
)
def test_a_query_it_cannot_read_is_refused_likewise(client: FlaskClient, query: str, word: str) -> None:
    response = client.get(f"{OBJECTS}?{query}")
    assert response.status_code == 400
    assert word in read(response)["error"]["message"]


def test_a_count_takes_a_where_and_no_filter(client: FlaskClient) -> None:
    for query in ("filter={}", "filter[limit]=1", "where=[]", "where=name", "where[name][like]=^"):
        assert client.get(f"{OBJECTS}/count?{query}").status_code == 400, query


def test_other_parameters_of_a_query_are_none_of_a_filters_business(client: FlaskClient) -> None:
    assert len(read(client.get(f"{OBJECTS}?_=1&filtered=x"))) == 3


def test_conditions_in_each_other_have_an_end(client: FlaskClient) -> None:
    nested: dict[str, Any] = {"name": "Shop"}
    for _ in range(20):
        nested = {"and": [nested]}
    assert find(client, where=nested) == ["Shop"]
    deeper = json.dumps({"where": {"and": [nested]}})
    assert client.get(OBJECTS, query_string={"filter": deeper}).status_code == 400
    deepest = '{"where": ' + '{"or": [' * 5_000 + "{}" + "]}" * 5_000 + "}"
    assert client.get(OBJECTS, query_string={"filter": deepest}).status_code == 400
