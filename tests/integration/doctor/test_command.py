"""`spacebridge doctor`, as a person calls it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from sqlalchemy import update

from bridge.db import Ledger
from bridge.db.tables import stores as store_table
from bridge.settings import load_settings
from tests.integration.doctor.patient import (
    SECRETS,
    add_store,
    deliver,
    paused,
    sandbox_process,
    states,
)
from tests.integration.embedded.test_up import running_up
from tests.support.running import answers, run_command
from tests.support.servers import wait_until
from tests.support.shop import WOOCOMMERCE


def test_the_command_tells_a_newcomer_what_to_type(tmp_path: Path) -> None:
    told = run_command(tmp_path, "doctor")
    assert (told.returncode, told.stderr) == (1, "")
    assert "-> spacebridge up" in told.stdout
    assert told.stdout.endswith("Things to mend: 1.\n")


def test_a_wrong_setting_is_a_finding_and_tells_no_value(tmp_path: Path) -> None:
    told = run_command(tmp_path, "doctor", "--json", SPACEBRIDGE_SECRET_KEY="geheim")
    assert (told.returncode, told.stderr) == (1, "")
    (finding,) = json.loads(told.stdout)["findings"]
    assert finding["check"] == "settings"
    assert "SPACEBRIDGE_SECRET_KEY" in finding["message"]
    assert "32 random bytes" in finding["mend"]
    assert "geheim" not in told.stdout


def test_the_command_tells_how_a_bridge_is_while_it_runs_and_after(tmp_path: Path) -> None:
    with sandbox_process(tmp_path) as api_url, running_up(tmp_path, SPACEBRIDGE_API_URL=api_url) as up:
        wait_until(lambda: answers(f"{up.url}/readyz"), "a ready bridge")

        def doctor(*options: str) -> subprocess.CompletedProcess[str]:
            return run_command(tmp_path / "data", "doctor", *options, SPACEBRIDGE_API_URL=api_url)

        settings = load_settings({"data_dir": tmp_path / "data"})
        ledger = Ledger(settings.ledger_url)
        with ledger.write() as connection:
            add_store(connection, settings.vault(), "shop", WOOCOMMERCE)
        deliver(up.url, 1)
        wait_until(lambda: "issued" in states(ledger), "an invoice")
        well = doctor()
        assert well.returncode == 0, well.stdout
        assert "ok     store shop: Space Invoices accepts the token. Its config is active." in well.stdout
        assert well.stdout.endswith("Nothing is wrong.\n")

        with ledger.write() as connection:
            connection.execute(update(store_table).values(api_token=settings.vault().encrypt("geheim")))
        deliver(up.url, 2)
        wait_until(lambda: paused(ledger), "a pause")
        refused = doctor()
        assert refused.returncode == 1
        assert "WRONG  store shop, pause: Paused for" in refused.stdout
        assert "       -> spacebridge stores set-token shop\n" in refused.stdout
        assert refused.stdout.endswith("Things to mend: 1.\n")

        up.process.terminate()
        up.process.wait(60)
        stopped = doctor("--json")
        assert (stopped.returncode, stopped.stderr) == (1, "")
        document = json.loads(stopped.stdout)
        assert list(document) == ["findings", "wrong"]
        assert list(document["findings"][0]) == ["check", "level", "message", "mend", "store"]
        wrong = [one for one in document["findings"] if one["level"] == "wrong"]
        assert document["wrong"] == len(wrong)
        assert [(one["check"], one["store"]) for one in wrong] == [("broker", None), ("pause", "shop")]
        assert "No `spacebridge up` is running" in wrong[0]["message"]
        told = "".join(one.stdout + one.stderr for one in (well, refused, stopped))
        assert [secret for secret in SECRETS if secret in told] == []
        ledger.close()
