"""What the commands on stores refuse: each a sentence, the right status, and nothing changed.

Most of it in the test's own process, since there is much.
"""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response

from bridge.db import Ledger
from bridge.ledger import stores
from bridge.ledger.stores import Store
from tests.support.commands import Here
from tests.support.counter import AWAY, IDS, OTHER_WOOCOMMERCE, Counter, open_counter, serving
from tests.support.shop import ORGANIZATION, TOKEN, WOOCOMMERCE

NOBODY = "64b7e0c0a1b2c3d4e5f60799"
OTHER = ["--organization", ORGANIZATION, "--woocommerce", OTHER_WOOCOMMERCE]
TOKEN_FILE = ["--token-file", "-"]


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    """A ledger with a store named `shop`, for the tests that all leave it as it is."""
    folder = tmp_path_factory.mktemp("counter")
    url = f"sqlite:///{folder / 'ledger.db'}"
    ledger = Ledger(url)
    ledger.upgrade()
    with open_counter(ledger, url, folder) as counter:
        counter.add()
        yield counter
    ledger.close()


@pytest.fixture(autouse=True)
def _nothing_changes(counter: Counter) -> Iterator[None]:
    before = everything(counter)
    yield
    assert everything(counter) == before


def everything(counter: Counter) -> Sequence[Store]:
    with counter.ledger.read() as connection:
        return stores.every(connection, removed=True)


def refused(ended: subprocess.CompletedProcess[Any], status: int, said: str) -> None:
    assert (ended.returncode, ended.stdout) == (status, ""), ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture
def here(counter: Counter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(counter, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["show", "nobody"], 1, "There is no store named nobody."),
        (["set", "nobody", "order_body=bare"], 1, "There is no store named nobody."),
        (["pause", "trgovina-žš"], 1, "There is no store named trgovina-žš."),
        (["resume", "店"], 1, "There is no store named 店."),
        (["sync", "../etc"], 1, "There is no store named ../etc."),
        (["remove", "", "--yes"], 1, "There is no store named"),
        (["set-token", "nobody", *TOKEN_FILE], 1, "There is no store named nobody."),
        (["remove", "shop"], 1, "If so, add --yes."),
        (["rotate-secret", "shop", "--end-previous", "--webhook-secret-file", "-"], 1, "If so, add --yes."),
        (["set", "shop"], 2, "KEY=VALUE"),
        (["set", "shop", "issue_pending"], 2, "is not KEY=VALUE"),
        (["set", "shop", "issue_pending=yes"], 2, "issue_pending is true or false, not 'yes'"),
        (["set", "shop", "order_body=bare", "order_body=merged"], 2, "A key is given twice"),
        (["set", "shop", "order_body=bare", "webhook_secret=x"], 2, "is no option of a store"),
        (["set", "shop", "status_map=wc-shipped:completed"], 2, "without wc-"),
        (["set", "shop", "bank_payment_methods=b\udcffcs"], 2, "ids of payment methods"),
        (["pause"], 2, "NAME"),
        (["pause", "shop", "--as", " "], 2, "--as"),
        (["pause", "shop", "now"], 2, "now"),
        (["add", "Shop", *OTHER, *TOKEN_FILE], 1, "cannot be a store's name"),
        (["add", "trgovina-žš", *OTHER, *TOKEN_FILE], 1, "cannot be a store's name"),
        (["add", "x" * 64, *OTHER, *TOKEN_FILE], 1, "cannot be a store's name"),
        (["add", "shop.removed-1", *OTHER, *TOKEN_FILE], 1, "cannot be a store's name"),
        (["add", "other", *OTHER[:3], "7", *TOKEN_FILE], 1, "24 hexadecimal digits"),
        (["add", "other", *OTHER[:3], "64b7e0c0a1b2c3d4e5f6071ž", *TOKEN_FILE], 1, "24 hexadecimal digits"),
        (["add", "other", *OTHER[:3], NOBODY, *TOKEN_FILE], 1, "It has 64b7e0c0a1b2c3d4e5f60719 (Shop), 64b"),
        (["add", "other", "--organization", NOBODY, *OTHER[2:], *TOKEN_FILE], 1, "knows no organization"),
        (["add", "other", *OTHER, "--token-file", "/nowhere"], 1, "--token-file: cannot read /nowhere"),
        (["add", "other", *OTHER, "--token-file", "/"], 1, "cannot read /: Is a directory"),
        (["add", "other", *OTHER, *TOKEN_FILE, "--webhook-secret-file", "/nowhere"], 1, "/nowhere"),
        (["add", "other", *OTHER, *TOKEN_FILE, "--webhook-secret-file", "/dev/null"], 1, "holds nothing"),
        (["add", "other", *OTHER, *TOKEN_FILE, "--webhook-secret-file", "-"], 1, "not both"),
        (["add", "other", *OTHER, "--token", TOKEN], 2, "No such option"),
        (["add", "other", *OTHER], 1, "--token-file"),
        (["set-token", "shop"], 1, "--token-file"),
        (["nonsense"], 2, "nonsense"),
        (["list", "shop"], 2, "shop"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    here: Here, arguments: list[str], status: int, said: str
) -> None:
    refused(here.run("stores", *arguments, given=f"{TOKEN}\n"), status, said)


@pytest.mark.parametrize("secret", ["", "   ", "\n", "\ufeff"])
def test_an_empty_webhook_secret_is_refused(here: Here, tmp_path: Path, secret: str) -> None:
    arguments = ["stores", "rotate-secret", "shop", "--webhook-secret-file"]
    refused(here.run(*arguments, "-", given=f"{secret}\n"), 1, "holds nothing")
    file = tmp_path / "secret"
    file.write_text(secret)
    refused(here.run(*arguments, str(file)), 1, "holds nothing")


@pytest.mark.parametrize("token", ["", "   ", "to ken", "žeton", "tok\ten", "tok\0en"])
def test_a_token_that_no_header_can_carry_is_refused(here: Here, token: str) -> None:
    ended = here.run("stores", "set-token", "shop", "--token-file", "-", given=f"{token}\n")
    refused(ended, 1, "token")
    assert token.strip() == "" or token not in ended.stderr


def test_what_is_no_text_is_refused(counter: Counter) -> None:
    refused(counter.run("stores", "pause", "sh\udcffop"), 1, "There is no store named sh\\udcffop.")
    file = counter.folder / "token"
    file.write_bytes(b"\xff\xfe")
    refused(counter.run("stores", "set-token", "shop", "--token-file", str(file)), 1, "it is not UTF-8 text")
    ended = counter.run_with(
        *("stores", "set-token", "shop", "--token-file", "-"), input=b"\xff\xfe\n", capture_output=True
    )
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr == b"--token-file -: what standard input gives is not UTF-8 text.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["set-token", "shop"],
        ["set-token", "shop", "--token-file", "-"],
        ["remove", "shop"],
        ["apply", "-"],
    ],
)
def test_without_any_standard_input_nothing_is_asked_and_nothing_changed(
    counter: Counter, arguments: list[str]
) -> None:
    ended = counter.run_with(
        *("stores", *arguments), capture_output=True, text=True, preexec_fn=lambda: os.close(0)
    )
    refused(ended, 1, "")
    assert ended.stderr


def test_a_confirmation_that_is_declined_or_broken_off_changes_nothing(counter: Counter) -> None:
    for typed in (b"n\n", b"\n", b"\x04"):
        terminal, standard_input = pty.openpty()
        os.write(terminal, typed)
        ended = counter.run_with(
            *("stores", "remove", "shop"), stdin=standard_input, capture_output=True, text=True
        )
        os.close(standard_input)
        os.close(terminal)
        refused(ended, 1, "Remove store shop? [y/N]")
        assert "404" in ended.stderr


def test_a_wrong_token_and_an_api_that_is_away_are_told_apart(counter: Counter) -> None:
    add = ["stores", "add", "other", *OTHER, "--token-file", "-"]
    refused(counter.run(*add, given="wrong"), 1, "does not accept the token (401)")
    refused(counter.run(*add, given=TOKEN, SPACEBRIDGE_API_URL=AWAY), 1, "See that this machine reaches it")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, '[{"id": "%s", "name": "Shop", "active": false}]', "(Shop) is inactive, and takes no orders"),
        (200, '[{"id": "%s", "name": "Shop", "_isDeleted": true}]', "was deleted in Space Invoices"),
        (200, "[]", "It has none at all: make one in Space Invoices."),
        (200, '[{"id": "x", "name": "a\\u001b[2Jb"}]', "It has x (a?[2Jb)."),
        (200, "<html>", "SPACEBRIDGE_API_URL is its address."),
        (200, '{"id": "x"}', "See that SPACEBRIDGE_API_URL is its address."),
        (302, "", "See that SPACEBRIDGE_API_URL is its address."),
        (400, "{}", "answered 400"),
        (401, "{}", "does not accept the token (401)"),
        (403, "{}", "does not accept the token (403)"),
        (404, "{}", "knows no organization"),
        (429, "{}", "answered 429 when asked"),
        (500, "{}", "Try again in a minute."),
        (503, "{}", "Try again in a minute."),
    ],
)
def test_what_space_invoices_says_is_told_with_the_mend(
    here: Here, status: int, body: str, said: str
) -> None:
    app = Flask("api")
    app.add_url_rule(
        "/v1/Organizations/<_>/woocommerce",
        view_func=lambda _: Response(
            body.replace("%s", OTHER_WOOCOMMERCE), status=status, mimetype="application/json"
        ),
    )
    with serving(app) as port:
        ended = here.run(
            *("stores", "add", "other", *OTHER, "--token-file", "-"),
            given=TOKEN,
            SPACEBRIDGE_API_URL=f"http://127.0.0.1:{port}/v1",
        )
    refused(ended, 1, said)
    assert "with --offline, it is not checked" in ended.stderr
    assert TOKEN not in ended.stderr


def test_a_store_is_not_added_to_a_ledger_that_is_not_there(counter: Counter) -> None:
    nowhere = {"SPACEBRIDGE_DATABASE_URL": f"sqlite:///{counter.folder / 'nowhere.db'}"}
    ended = counter.run("stores", "add", "other", *IDS, "--token-file", "-", given=TOKEN, **nowhere)
    refused(ended, 1, "spacebridge db upgrade")
    assert WOOCOMMERCE not in ended.stderr
