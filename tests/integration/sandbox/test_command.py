"""The command `spacebridge sandbox`: what it prints at start leads to what it serves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests

from tests.support.running import Process, answers, run_command
from tests.support.servers import free_port, wait_until


def test_what_it_prints_at_start_is_all_that_is_needed_to_use_it(tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    process = Process(["bridge", "sandbox", "--port", str(port)], {}, log)
    process.start()
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/sandbox"), "a ready sandbox")
        printed = dict(re.split(r" {2,}", line) for line in log.read_text().splitlines())
        found = requests.get(
            f"{printed['SPACEBRIDGE_API_URL']}/Organizations/{printed['organization']}/woocommerce",
            headers={"Authorization": printed["token"]},
            timeout=10,
        )
        assert [store["id"] for store in found.json()] == [printed["woocommerce"]]
        page = requests.get(printed["to look at it"], timeout=10)
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert printed["woocommerce"] in page.text
        assert requests.get(printed["issued documents"], timeout=10).json()["documents"] == []
    finally:
        assert process.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--token", "tokén"], 1, "ASCII"),
        (["--fail", "503=0.6", "--fail", "500=0.6"], 1, "add up to more than 1"),
        (["--fail", "200=0.6"], 2, "400 to 599"),
    ],
)
def test_what_it_cannot_do_ends_it_with_a_sentence(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    ended = run_command(tmp_path, "sandbox", "--port", str(free_port()), *arguments)
    assert ended.returncode == status
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
