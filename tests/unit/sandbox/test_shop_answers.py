"""What the shop's stand-in answers: PHP's JSON, errors, and the fields that a query picks."""

from __future__ import annotations

import pytest

from bridge.sandbox.shop.answers import encode, invalid_parameter, only_fields

STATUS = {"environment": {"version": "11.0.1", "language": "sl"}, "settings": {"HPOS_enabled": True}}


def test_json_is_compact_ascii_with_escaped_slashes() -> None:
    assert encode({"url": "http://a/", "name": "Kovač", "none": None, "price": 40.98}) == (
        rb'{"url":"http:\/\/a\/","name":"Kova\u010d","none":null,"price":40.98}'
    )


@pytest.mark.parametrize(
    ("fields", "picked"),
    [
        (None, STATUS),
        ("", STATUS),
        ("settings", {"settings": STATUS["settings"]}),
        (
            "settings,environment.version",
            {"environment": {"version": "11.0.1"}, "settings": STATUS["settings"]},
        ),
        ("environment.version,environment", {"environment": STATUS["environment"]}),
        ("nothing", {}),
        (" settings.HPOS_enabled , ", {"settings": {"HPOS_enabled": True}}),
    ],
)
def test_fields_pick_what_they_name(fields: str | None, picked: dict[str, object]) -> None:
    assert only_fields(STATUS, fields) == picked


def test_a_bad_value_is_told_as_wordpress_does() -> None:
    assert invalid_parameter("per_page", "per_page must be positive", "rest_out_of_bounds").body() == {
        "code": "rest_invalid_param",
        "message": "Invalid parameter(s): per_page",
        "data": {
            "status": 400,
            "params": {"per_page": "per_page must be positive"},
            "details": {
                "per_page": {
                    "code": "rest_out_of_bounds",
                    "message": "per_page must be positive",
                    "data": None,
                }
            },
        },
    }
