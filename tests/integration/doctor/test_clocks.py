"""An API that is away or strange, and clocks that differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from bridge.db.tables import stores as store_table
from bridge.doctor import Level
from bridge.doctor.clocks import POSTGRESQL, SPACE_INVOICES, check_clocks
from bridge.settings import load_settings
from tests.integration.doctor.patient import (
    NOWHERE,
    ON_SQLITE,
    Patient,
    answering,
    hours_ago,
    look,
    names,
    the,
)
from tests.support.misbehaving import MisbehavingServer, Visit
from tests.support.servers import free_port


@ON_SQLITE
def test_while_space_invoices_is_away_no_store_is_to_blame(patient: Patient) -> None:
    patient.change(
        store_table, paused_at=hours_ago(3), pause_reason="5 failed", next_probe_at=datetime.now(UTC)
    )
    found = patient.look(api_url=f"http://spacebridge:geheim@127.0.0.1:{free_port()}/v1")
    assert names(found, Level.WRONG) == ["api"]
    assert "curl -sSI http://127.0.0.1:" in (the("api", found).mend or "")
    assert names(found, Level.WARNING)[-1:] == ["shop pause"]


@ON_SQLITE
def test_an_api_that_fails_for_every_store_is_told_once(patient: Patient) -> None:
    patient.add_store("second", patient.new_config())
    with MisbehavingServer(answering(404), answering(503)) as api:
        found = patient.look(api_url=api.url)
    assert names(found, Level.WRONG) == ["api"]
    assert "second, shop" in the("api", found).message
    assert "503" in the("api", found).message


@pytest.mark.parametrize(("by", "how"), [(timedelta(hours=3), "behind"), (timedelta(hours=-3), "ahead of")])
def test_a_clock_that_differs_from_that_of_the_api_is_to_be_set(
    folder: Path, by: timedelta, how: str
) -> None:
    date = format_datetime(datetime.now(UTC) + by, usegmt=True)
    with MisbehavingServer(answering(404, f"Date: {date}")) as api:
        clock = the("clock", look(load_settings({"data_dir": folder, "api_url": api.url})))
    assert clock.message == f"This machine's clock is 3 hours {how} that of Space Invoices."
    assert clock.mend == "On this machine: timedatectl set-ntp true"


@pytest.mark.parametrize("header", ["Age: 1", "Date: today", "Date: Mon, 99 Nov 2026 99:00:00 GMT"])
def test_an_api_that_tells_no_time_leaves_the_clock_to_a_person(folder: Path, header: str) -> None:
    with MisbehavingServer(answering(404, header)) as api:
        found = look(load_settings({"data_dir": folder, "api_url": api.url}))
    assert names(found, Level.OK)[-2:] == ["api", "worker"]
    assert the("clock", found).level is Level.WARNING


def test_an_api_that_never_ends_an_answer_has_answered(folder: Path) -> None:
    def begin(visit: Visit) -> None:
        visit.receive_head()
        visit.say(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n{")
        visit.wait()

    with MisbehavingServer(begin) as api:
        found = look(load_settings({"data_dir": folder, "api_url": api.url, "api_timeout": 0.5}))
    assert "api" in names(found, Level.OK)


def test_an_api_that_says_nothing_is_not_waited_for_without_end(folder: Path) -> None:
    with MisbehavingServer(Visit.wait) as api:
        found = look(load_settings({"data_dir": folder, "api_url": api.url, "api_timeout": 0.1}))
    assert "ReadTimeout" in the("api", found).message


def test_the_clock_is_compared_with_that_of_the_database(patient: Patient) -> None:
    found = look(
        patient.settings.model_copy(update={"api_url": NOWHERE}), datetime.now(UTC) + timedelta(hours=3)
    )
    clock = the("clock", found)
    if patient.settings.is_embedded:
        assert clock.level is Level.WARNING
    else:
        assert "is 3 hours ahead of that of PostgreSQL" in clock.message


def test_a_database_whose_clock_alone_differs_is_the_one_to_be_set() -> None:
    found = check_clocks({SPACE_INVOICES: timedelta(0), POSTGRESQL: timedelta(minutes=-5)})
    assert found.message == "This machine's clock is 5 minutes ahead of that of PostgreSQL."
    assert found.mend == "On PostgreSQL's machine: timedatectl set-ntp true"
