"""Behind Caddy, receivers are replaced under load, and no delivery is refused, lost or taken twice."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.integration.deploy.test_caddy import running_caddy
from tests.support.running import RunningBridge, answers
from tests.support.servers import RedisServer, wait_until
from tests.support.steady import SteadyShop


@pytest.mark.parametrize("receivers", [1, 2])
def test_each_receiver_restarts_under_load_and_no_delivery_is_lost(
    tmp_path: Path, redis_server: RedisServer, receivers: int
) -> None:
    with (
        RunningBridge(tmp_path, broker_url=redis_server.new_url(), workers=0, receivers=receivers) as bridge,
        running_caddy(tmp_path, bridge) as address,
    ):
        bridge.add_store("shop")
        shop = SteadyShop(address)
        with shop.open():
            wait_until(lambda: len(shop.acknowledged) > 100, "deliveries before")
            for number, url in enumerate(bridge.urls):
                receiver = bridge.parts[f"receiver{number or ''}"]
                assert receiver.stop() == 0
                receiver.start()
                wait_until(partial(answers, f"{url}/readyz"), "a ready receiver")
            before = len(shop.acknowledged)
            wait_until(lambda: len(shop.acknowledged) > before + 100, "deliveries after")
        shop.assert_nothing_was_lost(bridge.ledger)
