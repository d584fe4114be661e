"""A store's options: parsed from text, checked, shown, and declared once for all that use them."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime

import pytest
from click.testing import CliRunner

from bridge.admin import store_options
from bridge.cli.stores.change import set_
from bridge.cli.stores.file import KEYS
from bridge.db.tables import stores
from bridge.issuance import OPTIONS, OptionError, StoreOptions
from tests import ROOT

NOW = datetime(2026, 11, 26, 18, 30, tzinfo=UTC)
OTHER = StoreOptions(
    issue_pending=True,
    bank_payment_methods=frozenset({"bacs", "cheque"}),
    status_map={"shipped": "completed", "posiljanje-žš": "processing"},
    issue_from=NOW,
    sub_orders="skip",
    unpaid_on_hold="wait",
    zero_total="skip",
    test_orders="issue",
    invoiced_meta=frozenset({"_other_invoice", "apollo_invoice_id"}),
    unknown_outcome="resend",
    shop_urls=("shop.example", "shop.example/de"),
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
        ("bank_payment_methods", "bacs,mollie_*", ["bacs", "mollie_*"]),
        ("issue_from", "all", "all"),
        ("issue_from", "now", "2026-11-26T18:30:00+00:00"),
        ("issue_from", "2026-11-01", "2026-11-01"),
        (
            "shop_urls",
            "https://www.Shop.example/,shop.example/de",
            ["https://www.Shop.example/", "shop.example/de"],
        ),
        ("shop_urls", "none", []),
        ("sub_orders", "ask", "ask"),
        ("unpaid_on_hold", "wait", "wait"),
        ("zero_total", "skip", "skip"),
        ("test_orders", "issue", "issue"),
        ("invoiced_meta", "apollo_invoice_id,_other", ["apollo_invoice_id", "_other"]),
        ("invoiced_meta", "none", []),
    ],
)
def test_text_is_read_as_the_value_it_means(name: str, text: str, value: object) -> None:
    assert store_options.parse(name, text, NOW) == value


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
        ("bank_payment_methods", "*", "every payment"),
        ("bank_payment_methods", "ba*cs", "ids of payment methods"),
        ("issue_from", "yesterday", "a date such as 2026-11-01, or all, not 'yesterday'"),
        ("issue_from", "2026-13-01", "a date such as"),
        ("issue_from", "01.11.2026", "a date such as"),
        ("issue_from", "", "a date such as"),
        ("shop_urls", "shop.example,ht tp://x", "addresses of the shop"),
        ("shop_urls", "https://", "addresses of the shop"),
        ("shop_urls", "https://user@shop.example", "addresses of the shop"),
        ("shop_urls", "shop.example,,", "addresses of the shop"),
        ("sub_orders", "yes", "ask, issue or skip, not 'yes'"),
        ("unpaid_on_hold", "skip", "issue or wait"),
        ("zero_total", "no", "issue or skip"),
        ("test_orders", "", "skip or issue"),
        ("invoiced_meta", "a key", "keys of an order's metadata"),
        ("isue_pending", "true", "issue_pending"),
        ("name", "x", "'name' is no option of a store: those are issue_pending, "),
    ],
)
def test_what_cannot_be_is_refused_with_what_can_be(name: str, text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        store_options.parse(name, text, NOW)


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
    with pytest.raises(OptionError, match=name):
        store_options.with_values(StoreOptions(), {name: value})


def test_only_what_is_named_changes() -> None:
    changed = store_options.with_values(OTHER, {"unknown_outcome": "hold", "bank_payment_methods": []})
    assert store_options.as_mapping(changed) == {
        **store_options.as_mapping(OTHER),
        "unknown_outcome": "hold",
        "bank_payment_methods": [],
    }
    assert store_options.with_values(OTHER, {}) == OTHER


@pytest.mark.parametrize("options", [OTHER, StoreOptions(), StoreOptions(bank_payment_methods=frozenset())])
def test_what_is_shown_can_be_typed(options: StoreOptions) -> None:
    shown = {name: store_options.as_text(value) for name, value in store_options.as_mapping(options).items()}
    typed = {name: store_options.parse(name, text, NOW) for name, text in shown.items()}
    assert store_options.with_values(OTHER, typed) == options


def test_changes_are_told_a_line_each_and_in_the_same_order() -> None:
    assert store_options.changes(StoreOptions(), OTHER) == [
        "issue_pending: false -> true",
        "bank_payment_methods: bacs -> bacs,cheque",
        "status_map: none -> posiljanje-žš:processing,shipped:completed",
        "issue_from: all -> 2026-11-26T18:30:00+00:00",
        "sub_orders: ask -> skip",
        "unpaid_on_hold: issue -> wait",
        "zero_total: issue -> skip",
        "test_orders: skip -> issue",
        "invoiced_meta: apollo_invoice_id -> _other_invoice,apollo_invoice_id",
        "unknown_outcome: hold -> resend",
        "shop_urls: none -> shop.example,shop.example/de",
    ]
    assert store_options.changes(OTHER, OTHER) == []


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00+02:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
        (date(2026, 11, 1), datetime(2026, 11, 1, tzinfo=UTC)),  # as TOML has them
        (datetime(2026, 11, 1, 10, tzinfo=UTC), datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("all", None),
    ],
)
def test_a_date_is_its_beginning_in_utc_unless_it_says_otherwise(
    value: object, moment: datetime | None
) -> None:
    assert store_options.with_values(OTHER, {"issue_from": value}).issue_from == moment


def test_a_new_store_leaves_the_past_alone() -> None:
    assert store_options.of_new_store(NOW) == StoreOptions(issue_from=NOW)


def test_addresses_are_kept_in_one_form_and_once() -> None:
    given = ["https://www.Shop.example/", "shop.example", "http://shop.example/de/"]
    assert store_options.with_values(OTHER, {"shop_urls": given}).shop_urls == (
        "shop.example",
        "shop.example/de",
    )


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"status_map": {"shipped": "completed"}}, {"order_body": "bare"}),
        ({"order_body": "bare"}, {"status_map": {"shipped": "completed"}}),
        ({"bank_payment_methods": ["bacs", "cheque"]}, {"order_body": "bare"}),
        ({"order_body": "bare"}, {"bank_payment_methods": []}),
    ],
)
def test_a_bare_order_cannot_say_what_a_store_makes_of_it(
    first: dict[str, object], then: dict[str, object]
) -> None:
    options = store_options.with_values(StoreOptions(), first)
    with pytest.raises(OptionError, match=r"order_body=bare and .* do not go together"):
        store_options.with_values(options, then)
    assert store_options.with_values(options, {"zero_total": "skip"}).zero_total == "skip"


# What follows from the declaration, and what has to follow it.


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_has_its_column_its_key_in_a_file_and_its_sentence_in_the_help(name: str) -> None:
    option, default = OPTIONS[name], store_options.as_mapping(StoreOptions())[name]
    assert name in stores.c
    assert name in KEYS
    assert f"{name}={option.sample}\n      {option.meaning}" in CliRunner().invoke(set_, ["--help"]).output
    assert option.load(default) == option.read(default) == getattr(StoreOptions(), name)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_in_the_documents_and_in_the_example_with_its_default(name: str) -> None:
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:3]]
        for path in (ROOT / "docs").glob("*.md")
        for line in path.read_text().splitlines()
        if line.startswith("| `")
    ]
    (default,) = [cells[1] for cells in rows if cells[0] == name]
    if not OPTIONS[name].is_learned:
        assert default == store_options.as_text(store_options.as_mapping(StoreOptions())[name])
    example = tomllib.loads((ROOT / "deploy" / "stores.example.toml").read_text())
    assert name in example["stores"]["second-shop"]
