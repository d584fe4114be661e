"""The operator's commands, in real processes: what they ask, print and change, and how they fail."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from bridge.db import Ledger
from bridge.ledger import actions
from tests.support.running import run_command
from tests.support.servers import wait_until
from tests.support.shop import Shop, at, maintain, open_shop


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def shop(folder: Path) -> Iterator[Shop]:
    """A store whose ledger is in the data folder."""
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    ledger.upgrade()
    with open_shop(ledger) as shop:
        yield shop
    ledger.close()


def held(shop: Shop, *numbers: int) -> list[str]:
    """Orders whose invoices may have been issued; the ids of the issuances."""
    ids = [shop.paid(number) for number in numbers]
    for one in ids:
        shop.claim(one, lease=40)
    shop.clock.advance(seconds=41)
    maintain(shop.context)
    return [str(one) for one in ids]


def states(shop: Shop, ids: list[str]) -> list[str]:
    return [shop.issuance(int(one)).state for one in ids]


def recorded(shop: Shop) -> list[tuple[str, str]]:
    """Verb and operator of everything that was done to the order 1."""
    with shop.context.ledger.read() as connection:
        return [(one.verb, one.who) for one in actions.of_resource(connection, shop.store_id, 1)]


class Terminal:
    """A command that is typed at a terminal; its output goes elsewhere."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._terminal, standard_input = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bridge", *arguments],
            env={**os.environ, "SPACEBRIDGE_DATA_DIR": str(folder)},
            stdin=standard_input,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(standard_input)
        self.said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self._terminal)

    def wait_for(self, text: bytes) -> None:
        """Wait until it has asked."""
        assert self.process.stderr is not None
        stderr = self.process.stderr.fileno()

        def has_come() -> bool:
            if select.select([stderr], [], [], 0)[0]:
                self.said += os.read(stderr, 65536)
            return text in self.said

        wait_until(has_come, f"{text!r}")

    def answer(self, text: bytes) -> tuple[int, bytes, bytes]:
        """Type it; returns the exit status, standard output and standard error."""
        os.write(self._terminal, text)
        stdout, stderr = self.process.communicate(timeout=60)
        return self.process.returncode, stdout, self.said + stderr


def test_without_a_terminal_a_held_document_is_resent_only_with_yes(shop: Shop, folder: Path) -> None:
    (invoice,) = held(shop, 1)
    tried = run_command(folder, "issuances", "resend", invoice, given="y\n")
    assert (tried.returncode, tried.stdout, states(shop, [invoice])) == (1, "", ["held"])
    assert "--yes" in tried.stderr
    assert f"issuance {invoice}, held: the invoice of order 1 of shop" in tried.stderr
    resent = run_command(folder, "issuances", "resend", invoice, "--yes", "--json", SUDO_USER="anna")
    assert resent.returncode == 0
    (row,) = json.loads(resent.stdout)
    assert row.keys() == {
        *("id", "store", "order", "kind", "state", "attempts", "next_attempt_at", "last_error")
    }
    assert (row["id"], row["order"], row["state"], row["attempts"]) == (invoice, 1, "due", 0)
    again = run_command(folder, "issuances", "resend", invoice, "--yes")
    assert (again.returncode, again.stdout) == (0, "")
    assert "is due already" in again.stderr
    assert recorded(shop) == [("resend", f"anna@{os.uname().nodename}")]


@pytest.mark.parametrize("typed", [b"n\n", b"\n", b"\x04"])
def test_at_a_terminal_whoever_does_not_say_yes_changes_nothing(
    shop: Shop, folder: Path, typed: bytes
) -> None:
    (invoice,) = held(shop, 1)
    with Terminal(folder, "issuances", "resend", invoice) as terminal:
        terminal.wait_for(b"[y/N]: ")
        status, _, said = terminal.answer(typed)
    assert (status, states(shop, [invoice]), recorded(shop)) == (1, ["held"], [])
    assert b"Traceback" not in said


def test_at_a_terminal_a_yes_resends_unless_another_operator_did_meanwhile(shop: Shop, folder: Path) -> None:
    (invoice,) = held(shop, 1)
    arguments = ["issuances", "resend", invoice, "--json"]
    with Terminal(folder, *arguments) as one, Terminal(folder, *arguments) as another:
        for terminal in (one, another):
            terminal.wait_for(b"are they missing? [y/N]: ")
        status, stdout, _ = one.answer(b"y\n")
        assert (status, [row["state"] for row in json.loads(stdout)]) == (0, ["due"])
        shop.claim(int(invoice), lease=40)
        shop.clock.advance(seconds=41)
        maintain(shop.context)
        status, stdout, said = another.answer(b"y\n")
    assert (status, [row["state"] for row in json.loads(stdout)]) == (1, ["held"])
    assert b"look for it in Space Invoices" in said


def test_of_several_ids_those_that_can_be_are_moved_and_the_status_tells_of_the_others(
    shop: Shop, folder: Path
) -> None:
    ids = held(shop, 1, 2, 3)
    mixed = run_command(
        folder, "issuances", "mark-issued", ids[0], "999", ids[1], ids[0], "--yes", "--as", "Anna", "--json"
    )
    assert mixed.returncode == 1
    assert [(row["id"], row["state"]) for row in json.loads(mixed.stdout)] == [
        (ids[0], "issued"),
        (ids[1], "issued"),
    ]
    assert "There is no issuance 999." in mixed.stderr
    assert states(shop, ids) == ["issued", "issued", "held"]
    ((verb, who),) = recorded(shop)
    assert verb == "mark-issued"
    assert who.startswith("Anna (")
    refused = run_command(folder, "issuances", "resend", ids[0], "--yes")
    assert refused.returncode == 1
    assert "it would be issued twice" in refused.stderr


def test_marking_as_issued_asks_first_since_nothing_undoes_it(shop: Shop, folder: Path) -> None:
    (invoice,) = held(shop, 1)
    tried = run_command(folder, "issuances", "mark-issued", invoice)
    assert (tried.returncode, states(shop, [invoice])) == (1, ["held"])
    assert "cannot be undone" in tried.stderr
    assert run_command(folder, "issuances", "mark-issued", invoice, "--yes").returncode == 0
    again = run_command(folder, "issuances", "mark-issued", invoice)
    assert again.returncode == 0
    assert "issued already" in again.stderr


def test_a_withdrawal_needs_no_yes_and_its_timeline_is_told_in_time_order(shop: Shop, folder: Path) -> None:
    (invoice,) = held(shop, 1)
    shop.receive(at(1, status="processing", id=1, order_key="wc_order_1"))
    withdrawn = run_command(folder, "issuances", "withdraw", invoice, "--json")
    assert [row["state"] for row in json.loads(withdrawn.stdout)] == ["withdrawn"]
    assert run_command(folder, "issuances", "withdraw", invoice).returncode == 0
    timeline = json.loads(run_command(folder, "orders", "explain", "shop", "1", "--json").stdout)
    told = [event["what"].split(" by ")[0] for event in timeline["events"]]
    assert sorted(told) == [
        "attempt for the invoice",
        "delivery 1",
        "delivery 1 again",
        f"withdraw of issuance {invoice}",
    ]
    times = [event["at"] for event in timeline["events"]]
    assert times == sorted(times)
    assert timeline["orders"][0]["decision"] == "skip"
    read = run_command(folder, "orders", "explain", "shop", "1").stdout
    assert f"withdraw of issuance {invoice} by " in read
    assert "was held, is withdrawn -> skip: The invoice was withdrawn by" in read
    assert read.splitlines()[-1].startswith("Now: skip. The invoice was withdrawn by")


def test_an_order_is_shown_with_its_issuances(shop: Shop, folder: Path) -> None:
    (invoice,) = held(shop, 1)
    (row,) = json.loads(run_command(folder, "orders", "show", "shop", "1", "--json").stdout)
    names = ["id", "store", "number", "status", "payment_method", "total", "currency", "decision", "reason"]
    assert list(row) == [*names, "rule", "rule_since", "issuances"]
    assert (row["id"], row["status"], row["decision"]) == (1, "processing", "attention")
    assert [(one["id"], one["state"]) for one in row["issuances"]] == [(invoice, "held")]
    read = run_command(folder, "orders", "show", "shop", "1").stdout
    assert "decision        attention" in read
    assert "held" in read


def test_deliveries_are_replayed_once_and_shown(shop: Shop, folder: Path) -> None:
    shop.paid(1)
    first = run_command(folder, "deliveries", "replay", "1", "--json")
    assert [(row["id"], row["state"]) for row in json.loads(first.stdout)] == [("1", "received")]
    again = run_command(folder, "deliveries", "replay", "1", "99")
    assert again.returncode == 1
    assert "Delivery 1 waits to be processed already" in again.stderr
    assert "Delivery 99 cannot be replayed" in again.stderr
    assert [verb for verb, _ in recorded(shop)] == ["replay"]


HUGE = "9" * 40


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["issuances", "resend"], 2, "ID..."),
        (["issuances", "resend", "1", "x"], 2, "'x'"),
        (["issuances", "mark-issued", "0"], 2, "range"),
        (["issuances", "withdraw", HUGE], 2, "range"),
        (["issuances", "resend", "999"], 1, "There is no issuance 999."),
        (["issuances", "mark-issued", "999"], 1, "There is no issuance 999."),
        (["issuances", "withdraw", "999"], 1, "There is no issuance 999."),
        (["deliveries", "replay", HUGE], 2, "range"),
        (["issuances", "withdraw", "1", "--as", " "], 2, "--as"),
        (["orders", "show", "shop", "7"], 1, "Nothing is known of an order 7"),
        (["orders", "show", "nobody", "7"], 1, "no store named nobody"),
        (["orders", "show", "shop", HUGE], 2, "range"),
        (["orders", "explain", "shop", "7"], 1, "never sent a delivery on an order 7"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_what_is_wrong_is_said_in_a_sentence(
    folder: Path, arguments: list[str], status: int, said: str
) -> None:
    tried = run_command(folder, *arguments)
    assert (tried.returncode, tried.stdout) == (status, "")
    assert said in tried.stderr
    assert "Traceback" not in tried.stderr


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_reader_that_went_away_is_no_traceback_and_what_was_done_is_done(
    shop: Shop, folder: Path, closed: str
) -> None:
    (invoice,) = held(shop, 1)
    reader, writer = os.pipe()
    os.close(reader)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, closed: writer}
    ended = subprocess.run(
        [sys.executable, "-m", "bridge", "issuances", "withdraw", invoice, "--json"],
        env={**os.environ, "SPACEBRIDGE_DATA_DIR": str(folder)},
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
        **pipes,
    )
    os.close(writer)
    assert ended.returncode == 1
    assert b"Traceback" not in (ended.stderr or b"")
    assert states(shop, [invoice]) == ["withdrawn"]


def test_without_any_standard_input_nothing_is_asked_and_nothing_changed(shop: Shop, folder: Path) -> None:
    (invoice,) = held(shop, 1)
    ended = subprocess.run(
        ["sh", "-c", f'exec "$0" -m bridge issuances resend {invoice} <&-', sys.executable],
        env={**os.environ, "SPACEBRIDGE_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, states(shop, [invoice])) == (1, "", ["held"])
    assert "no terminal" in ended.stderr
    assert "Traceback" not in ended.stderr
