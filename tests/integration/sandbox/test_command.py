"""The command `spacebridge sandbox`: what it prints at start leads to what it serves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests

from tests.support.misbehaving import make_certificate
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


@pytest.mark.parametrize("is_https", [False, True])
def test_a_shop_prints_its_address_and_its_keys_and_lives_by_itself(tmp_path: Path, is_https: bool) -> None:
    log, port, certificate = tmp_path / "log", free_port(), make_certificate(tmp_path)
    options = ["--certificate", str(certificate)] if is_https else []
    process = Process(["bridge", "sandbox", "--shop", "--port", str(port), "--life", *options], {}, log)
    process.start()
    url = f"{'https' if is_https else 'http'}://127.0.0.1:{port}"
    try:
        with requests.Session() as session:
            session.trust_env = False  # where a bundle of certificates may be named that lacks this one
            session.verify = str(certificate)
            wait_until(lambda: _answers(session, f"{url}/stand-in"), "a ready shop")
            printed = dict(re.split(r" {2,}", line) for line in log.read_text().splitlines())
            assert printed["shop"] == url
            session.auth = (printed["consumer key"], printed["consumer secret"])
            session.headers["X-Forwarded-Proto"] = "https"
            listed = session.get(f"{url}/wp-json/wc/v3/orders", timeout=10)
            assert int(listed.headers["X-WP-Total"]) >= 50
            assert listed.headers["Date"].count("GMT") == 1
            wait_until(
                lambda: session.get(printed["to look at it"], timeout=10).json()["orders"] > 50, "a new order"
            )
    finally:
        assert process.stop() == 0


def _answers(session: requests.Session, url: str) -> bool:
    try:
        return session.get(url, timeout=10).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--shop", "--rate-limit", "5"], 2, "--rate-limit works only without --shop"),
        (["--life"], 2, "--life works only with --shop"),
        (["--shop", "--fault", "rain"], 2, "there is no fault 'rain'"),
        (["--shop", "--behind-proxy"], 2, "give --certificate"),
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
