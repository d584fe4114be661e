"""What a store may choose: read from text, checked, and shown."""

from __future__ import annotations

import pytest

from bridge.issuance import Policy
from bridge.ledger.stores import Choices
from bridge.pipeline import choices
from bridge.pipeline.choices import ChoiceError

CHOSEN = Choices(
    Policy(
        issue_pending=True,
        bank_payment_methods=frozenset({"bacs", "cheque"}),
        status_map={"shipped": "completed", "posiljanje-žš": "processing"},
    ),
    "bare",
    "resend",
)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("issue_pending", "true", True),
        ("issue_pending", "false", False),
        ("bank_payment_methods", "bacs", ["bacs"]),
        ("bank_payment_methods", " bacs , cheque ", ["bacs", "cheque"]),
        ("bank_payment_methods", "", []),
        ("bank_payment_methods", "none", []),
        (
            "status_map",
            "shipped:completed,packed : processing",
            {"shipped": "completed", "packed": "processing"},
        ),
        ("status_map", "  ", {}),
        ("order_body", "bare", "bare"),
        ("unknown_outcome", "resend", "resend"),
    ],
)
def test_text_is_read_as_the_value_it_means(name: str, text: str, value: object) -> None:
    assert choices.parse(name, text) == value
    choices.check(name, value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("issue_pending", "yes", "true or false, not 'yes'"),
        ("issue_pending", "True", "true or false"),
        ("issue_pending", "1", "true or false"),
        ("issue_pending", "", "true or false"),
        ("bank_payment_methods", "bacs,,cheque", "ids of payment methods"),
        ("bank_payment_methods", "bank transfer", "ids of payment methods"),
        ("bank_payment_methods", "b\udcffcs", "ids of payment methods"),
        ("status_map", "shipped", "CUSTOM:STANDARD"),
        ("status_map", "shipped:", "cannot be mapped to ''"),
        ("status_map", "shipped:done", "cannot be mapped to 'done'"),
        ("status_map", "shipped:wc-completed", "cannot be mapped to 'wc-completed'"),
        ("status_map", ":completed", "one word"),
        ("status_map", "wc-shipped:completed", "without wc-"),
        ("status_map", "on-hold:completed", "WooCommerce's own"),
        ("order_body", "merge", "merged or bare, not 'merge'"),
        ("unknown_outcome", "", "hold or resend"),
        ("isue_pending", "true", "issue_pending"),
        ("name", "x", "nothing that a store chooses"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can_be(name: str, text: str, said: str) -> None:
    with pytest.raises(ChoiceError, match=said):
        choices.check(name, choices.parse(name, text))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("issue_pending", "true"),
        ("issue_pending", 1),
        ("bank_payment_methods", "bacs"),
        ("bank_payment_methods", [1]),
        ("bank_payment_methods", {"bacs": True}),
        ("status_map", ["shipped"]),
        ("status_map", {"shipped": ["completed"]}),
        ("status_map", {"shipped": True}),
        ("order_body", ["bare"]),
        ("order_body", True),
        ("unknown_outcome", {}),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(ChoiceError, match=name):
        choices.check(name, value)


def test_only_what_is_named_changes() -> None:
    changed = choices.with_values(CHOSEN, {"order_body": "merged", "bank_payment_methods": []})
    assert choices.as_mapping(changed) == {
        **choices.as_mapping(CHOSEN),
        "order_body": "merged",
        "bank_payment_methods": [],
    }
    assert choices.with_values(CHOSEN, {}) == CHOSEN


@pytest.mark.parametrize("chosen", [CHOSEN, Choices(), Choices(Policy(bank_payment_methods=frozenset()))])
def test_what_is_shown_can_be_typed(chosen: Choices) -> None:
    shown = {name: choices.written(value) for name, value in choices.as_mapping(chosen).items()}
    typed = {name: choices.parse(name, text) for name, text in shown.items()}
    assert choices.with_values(CHOSEN, typed) == chosen


def test_changes_are_told_a_line_each_and_in_the_same_order() -> None:
    assert choices.changes(Choices(), CHOSEN) == [
        "issue_pending: false -> true",
        "bank_payment_methods: bacs -> bacs,cheque",
        "status_map: none -> posiljanje-žš:processing,shipped:completed",
        "order_body: merged -> bare",
        "unknown_outcome: hold -> resend",
    ]
    assert choices.changes(CHOSEN, CHOSEN) == []
