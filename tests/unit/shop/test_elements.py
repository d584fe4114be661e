"""The elements of a listing, in the very bytes that the shop sent."""

from __future__ import annotations

import json

import pytest

from bridge.shop.answers import elements


@pytest.mark.parametrize(
    "text",
    ["[]", " [ ] ", "[{}]", '[{"id":1},{"id":2}]', '[ {"a":"],[{"} ,\n\t{"b":[1,{"c":"\\/"}]} ]', "[1,2]"],
)
def test_each_element_is_what_stands_there(text: str) -> None:
    found = [one.decode() for one in elements(text)]
    assert [json.loads(one) for one in found] == json.loads(text)
    assert all(one in text for one in found)


def test_escapes_and_numbers_stay_as_they_were_written() -> None:
    first, second = elements('[{"total":1.10,"url":"https:\\/\\/a"},{"name":"\\u010d"}]')
    assert first == b'{"total":1.10,"url":"https:\\/\\/a"}'
    assert second == b'{"name":"\\u010d"}'
