"""The file that describes stores: what it says, and what is wrong with it, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.admin import RefusedError, store_options
from bridge.cli.stores.file import StoresFileError, read_stores
from bridge.issuance import StoreOptions
from bridge.settings import SettingsError

IDS = 'organization = "64b7e0c0a1b2c3d4e5f60718"\nwoocommerce = "64b7e0c0a1b2c3d4e5f60719"\n'
SHOP = f"[stores.shop]\n{IDS}"


def test_options_that_a_file_does_not_name_have_their_defaults(tmp_path: Path) -> None:
    (shop,) = read_stores(
        SHOP.replace("64b7e0c0a1b2c3d4e5f60719", "64B7E0C0A1B2C3D4E5F60719"), folder=tmp_path
    )
    assert (shop.name, shop.organization_id, shop.woocommerce_id) == (
        "shop",
        "64b7e0c0a1b2c3d4e5f60718",
        "64b7e0c0a1b2c3d4e5f60719",
    )
    assert (shop.token, shop.webhook_secret) == (None, None)
    assert shop.values == {
        name: value
        for name, value in store_options.as_mapping(StoreOptions()).items()
        if name not in {"issue_from", "shop_urls"}
    }


def test_every_option_is_read(tmp_path: Path) -> None:
    text = f"""{SHOP}
    issue_pending = true
    bank_payment_methods = ["cheque", "bacs"]
    status_map = {{ shipped = "completed", "posiljanje-žš" = "processing" }}
    order_body = "merged"
    unknown_outcome = "resend"
    issue_from = 2026-11-01
    shop_urls = ["https://shop.example/"]
    sub_orders = "issue"
    unpaid_on_hold = "wait"
    zero_total = "skip"
    test_orders = "issue"
    invoiced_meta = ["_invoice"]
    token_env = "TOKEN"
    webhook_secret_file = "secrets/webhook"
    """
    (shop,) = read_stores(text, folder=tmp_path)
    assert shop.values == {
        "issue_pending": True,
        "bank_payment_methods": ["bacs", "cheque"],
        "status_map": {"posiljanje-žš": "processing", "shipped": "completed"},
        "order_body": "merged",
        "unknown_outcome": "resend",
        "issue_from": "2026-11-01T00:00:00+00:00",
        "shop_urls": ["shop.example"],
        "sub_orders": "issue",
        "unpaid_on_hold": "wait",
        "zero_total": "skip",
        "test_orders": "issue",
        "invoiced_meta": ["_invoice"],
    }
    assert shop.token is not None
    assert shop.token.read({"TOKEN": "t0ken"}) == "t0ken"
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "webhook").write_text("<b>&amp;</b>\n")
    assert shop.webhook_secret is not None
    assert shop.webhook_secret.read({}) == "<b>&amp;</b>"


def test_a_file_without_stores_describes_none(tmp_path: Path) -> None:
    assert read_stores("", folder=tmp_path) == []
    assert read_stores("[stores]\n", folder=tmp_path) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stores", "It is not TOML"),
        ("[stores.shop", "It is not TOML"),
        (f"{SHOP}{SHOP}", "It is not TOML"),
        (f"a = {'[' * 100_000}", "It is not TOML"),
        (f"a = {'1' * 10_000}", "It is not TOML"),
        ("[store.shop]\n", "store: there is no such key; do you mean stores."),
        ('stores = "shop"\n', "a table for each store"),
        ('[stores]\nshop = "x"\n', "a table for each store"),
        ("[[stores]]\n", "a table for each store"),
        (
            f"{SHOP}isue_pending = true\n",
            "stores.shop.isue_pending: there is no such key; do you mean issue_pending.",
        ),
        (f"{SHOP}color = 1\n", "stores.shop.color: there is no such key."),
        (
            f'{SHOP}token = "hunter2"\n',
            "stores.shop.token: a secret is not written in this file. Give token_env or",
        ),
        (f'{SHOP}webhook_secret = "hunter2"\n', "Give webhook_secret_env or webhook_secret_file."),
        (
            f'{SHOP}token_env = "T"\ntoken_file = "t"\n',
            "stores.shop: give token_env or token_file, not both.",
        ),
        (f"{SHOP}token_env = 7\n", "stores.shop: token_env is a variable's name"),
        (f'{SHOP}webhook_secret_file = ""\n', "webhook_secret_file a path"),
        (f'{SHOP}issue_pending = "yes"\n', "stores.shop: issue_pending is true or false, not 'yes'."),
        (f'{SHOP}bank_payment_methods = "bacs"\n', "stores.shop: bank_payment_methods are ids"),
        (f'{SHOP}status_map = {{ shipped = "done" }}\n', "stores.shop: status_map: shipped cannot be mapped"),
        (
            f"{SHOP}[stores.shop.status_map]\nshipped = [1]\n",
            "stores.shop: status_map: shipped cannot be mapped",
        ),
        (f'{SHOP}order_body = "merge"\n', "stores.shop: order_body is merged or bare"),
        ("[stores.shop]\n", "stores.shop.organization: give its id"),
        (f"[stores.shop]\n{IDS.replace('60718', '6071')}", "stores.shop.organization: give its id"),
        ("[stores.shop]\norganization = 7\n", "stores.shop.woocommerce: give its id"),
        (f"[stores.Shop]\n{IDS}", "stores.Shop: 'Shop' cannot be a store's name"),
        (f'[stores."trgovina-žš"]\n{IDS}', "'trgovina-žš' cannot be a store's name"),
        (f"{SHOP}[stores.other]\n{IDS}", "stores.shop and stores.other have the same woocommerce"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StoresFileError) as caught:
        read_stores(text, folder=tmp_path)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = f'{SHOP}isue_pending = true\norder_body = "x"\n[stores.other]\ncolor = 1\n'
    with pytest.raises(StoresFileError) as caught:
        read_stores(text, folder=tmp_path)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "stores.shop.isue_pending",
        "stores.shop",
        "stores.other.color",
        "stores.other.organization",
        "stores.other.woocommerce",
    ]


@pytest.mark.parametrize("environment", [{}, {"TOKEN": ""}])
def test_a_secret_that_is_not_where_it_should_be_is_named(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (shop,) = read_stores(f'{SHOP}token_env = "TOKEN"\nwebhook_secret_file = "gone"\n', folder=tmp_path)
    assert shop.token is not None
    with pytest.raises(RefusedError, match=r"^stores\.shop\.token_env: there is no such variable"):
        shop.token.read(environment)
    assert shop.webhook_secret is not None
    with pytest.raises(SettingsError, match=r"^stores\.shop\.webhook_secret_file: cannot read .*gone"):
        shop.webhook_secret.read(environment)
