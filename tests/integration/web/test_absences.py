"""A receiver that was away, as its operator learns of it: from the log and from the metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from bridge.db.tables import heartbeats
from bridge.ledger import absences
from bridge.ledger.absences import Absence
from tests.support.recorded import load
from tests.support.running import RunningBridge
from tests.support.scraped import scrape
from tests.support.servers import PostgresServer, RedisServer, wait_until

ORDER = load("life-of-a-store")[4].body
HOUR = timedelta(hours=1)
RETURNED = "no receiver was up or had the ledger: orders of that time may be lost"


@pytest.fixture(params=["sqlite", "postgresql"])
def receiver(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path
) -> Iterator[RunningBridge]:
    """A receiver of two processes, with a store that had a delivery and one that had none."""
    url = ""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.new_database("away")
    with RunningBridge(
        tmp_path,
        database_url=url,
        broker_url=redis_server.new_url(),
        workers=0,
        SPACEBRIDGE_WEB_WORKERS="2",
    ) as bridge:
        bridge.add_store("shop")
        bridge.add_store("new")
        assert bridge.deliver("shop", ORDER).status_code == 200
        yield bridge


def last_beat(bridge: RunningBridge) -> datetime | None:
    with bridge.ledger.read() as connection:
        return connection.execute(select(func.max(heartbeats.c.at, type_=heartbeats.c.at.type))).scalar()


def unsettled(bridge: RunningBridge) -> list[Absence]:
    with bridge.ledger.read() as connection:
        return list(absences.unsettled(connection))


def lines(bridge: RunningBridge, event: str) -> list[dict[str, Any]]:
    whole = bridge.log.read_text().rpartition("\n")[0]
    found = (json.loads(line) for line in whole.splitlines() if line.startswith("{"))
    return [line for line in found if line.get("event") == event]


@pytest.mark.parametrize("ends", ["kill", "stop"])
def test_a_receiver_that_was_away_for_an_hour_tells_so_once(receiver: RunningBridge, ends: str) -> None:
    """However it ended: a stop on purpose loses deliveries just the same."""
    wait_until(lambda: last_beat(receiver) is not None, "a beat before any request")
    process = receiver.parts["receiver"]
    process.kill() if ends == "kill" else process.stop()
    last = datetime.now(UTC) - HOUR
    with receiver.ledger.write() as connection:
        connection.execute(update(heartbeats).values(at=last))
    before = len(unsettled(receiver))  # on a machine that stood still meanwhile
    process.start()
    wait_until(lambda: len(unsettled(receiver)) > before, "an absence")
    absence = unsettled(receiver)[before]
    assert (absence.store_id, absence.began_at) == (receiver.store("shop").id, last)
    assert HOUR <= absence.ended_at - last < 2 * HOUR
    wait_until(lambda: bool(lines(receiver, RETURNED)), "what the log says of it")
    [line] = [line for line in lines(receiver, RETURNED) if line["seconds"] >= HOUR.total_seconds()]
    assert (line["level"], line["number"], line["stores"]) == ("warning", 1, "shop")
    wait_until(lambda: (last_beat(receiver) or last) > absence.ended_at, "a beat that goes on")
    scraped = scrape(receiver.url)
    assert scraped.value("spacebridge_absences", store="shop") == before + 1
    assert scraped.value("spacebridge_absences", store="new") is None
