"""The README's first order by hand: the block pasted as it stands, by a newcomer."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import ROOT
from tests.support.servers import free_port, wait_until

README = ROOT / "README.md"
INSTALL = "make install && . .venv/bin/activate"  # what the tests run in is installed already


@dataclass
class Newcomer:
    """A shell of its own in an empty folder; the block's ports are free ones."""

    shell: str
    folder: Path
    port: int = field(default_factory=free_port)
    sandbox_port: int = field(default_factory=free_port)

    def block(self) -> str:
        """The README's commands, with nothing between them, as one text."""
        section = README.read_text().partition("## A first order by hand\n")[2].partition("\n## ")[0]
        lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
        assert lines[0] == INSTALL
        text = "\n".join(lines[1:]).replace(":8090/", f":{self.sandbox_port}/")
        for command, port in (("sandbox", self.sandbox_port), ("up", self.port)):
            text, found = re.subn(rf"spacebridge {command}\b", rf"\g<0> --port {port}", text)
            assert found == 1
        text, found = re.subn(
            "spacebridge deliveries send", rf"\g<0> --url http://127.0.0.1:{self.port}", text
        )
        assert found == 1
        return f"{text}\n"

    @contextlib.contextmanager
    def pasted(self, text: str) -> Iterator[Path]:
        """What the shell and its commands print, while what goes on in the background does."""
        output = self.folder / "output"
        with output.open("wb") as file:
            shell = subprocess.Popen(
                [self.shell],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            shell.communicate(text.encode(), timeout=120)
            yield output
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
            wait_until(lambda: not _is_a_group(shell.pid), "the end of the bridge", within=60)

    def documents(self) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self.sandbox_port}/sandbox/documents"
        found: list[dict[str, Any]] = requests.get(url, timeout=10).json()["documents"]
        return found

    @staticmethod
    def _environment() -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        of_a_stranger = {name: value for name, value in os.environ.items() if "SPACEBRIDGE" not in name}
        return {**of_a_stranger, "PATH": path}


def _is_a_group(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(params=["bash", "dash"])
def newcomer(request: pytest.FixtureRequest, tmp_path: Path) -> Newcomer:
    return Newcomer(request.param, tmp_path)


def test_the_block_pasted_at_once_ends_in_an_invoice_and_so_it_does_the_second_time(
    newcomer: Newcomer,
) -> None:
    with newcomer.pasted(newcomer.block() * 2) as output:
        wait_until(lambda: len(newcomer.documents()) == 2, f"two invoices ({output.read_text()})")
        assert [document["kind"] for document in newcomer.documents()] == ["invoice", "invoice"]
        # The second time, what runs already says so, and the sample goes to it.
        wait_until(lambda: "Another `spacebridge up` is running" in output.read_text(), "the second refusal")
        text = output.read_text()
    assert text.count(": accepted.") == 2
    assert f"Port {newcomer.sandbox_port} on 127.0.0.1 cannot be used" in text
    assert "There is a store named shop already." in text
    assert "Traceback" not in text


@pytest.mark.parametrize("newcomer", ["bash"], indirect=True)
def test_the_block_pasted_after_all_of_it_was_stopped_goes_on_with_the_same_ledger(
    newcomer: Newcomer,
) -> None:
    for _ in range(2):
        with newcomer.pasted(newcomer.block()) as output:
            wait_until(lambda: len(newcomer.documents()) == 1, "an invoice")
            text = output.read_text()
        assert "Traceback" not in text
    assert "There is a store named shop already." in text


@pytest.mark.parametrize("newcomer", ["dash"], indirect=True)
def test_with_its_port_taken_the_block_says_which_and_makes_no_ledger(newcomer: Newcomer) -> None:
    with (
        socket.create_server(("127.0.0.1", newcomer.port)),
        newcomer.pasted(newcomer.block()) as output,
    ):
        text = output.read_text()
    assert f"Port {newcomer.port} on 127.0.0.1 cannot be used: Address already in use." in text
    assert f"In {newcomer.folder / 'var'}, there is no ledger" in text
    assert not (newcomer.folder / "var").exists()
    assert "Traceback" not in text
