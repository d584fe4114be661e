"""How exactly one account is called at the rate it was given."""

from __future__ import annotations

from collections.abc import Iterator

from bench.results import Bound, Result
from bench.servers import Site, issued_at
from bench.tested import Bridge
from bench.waiting import wait_for

RATE = 50  # requests/s that the bridge may send
LIMIT = 100  # requests/s that the sandbox answers


def rate_of_an_account(site: Site) -> Iterator[Result]:
    """Orders that are all due at once, since their store was paused until then."""
    count = site.plan.size(2_000, smoke=60)
    with site.sandbox("--rate-limit", str(LIMIT)) as sandbox:
        bridge = Bridge(site, sandbox, "postgresql", SPACEBRIDGE_REQUEST_RATE=str(RATE))
        (store,) = bridge.stores
        rates, refused = [], []
        with bridge.receiving():
            for _ in range(site.plan.rounds):
                before, refused_before = sandbox.issued(), sandbox.counts()["rate_limited"]
                bridge.command(f"stores pause {store}")
                bridge.send(count, connections=16)
                with bridge.working():
                    wait_for(lambda: _due(bridge) == count, every=0.2, within=600, what=f"{count} due orders")
                    bridge.command(f"stores resume {store}")
                    last = sandbox.wait_for_issued(before + count)
                first = issued_at(sandbox.documents(before)[0])
                rates.append((count - 1) / (last - first))
                refused.append(float(sandbox.counts()["rate_limited"] - refused_before))
    yield Result("documents", "/s", rates, [float(RATE)], Bound(at_least=0.97, at_most=1.03))
    yield Result("answers of 429", "", refused, [0.0], Bound(at_most=0, is_difference=True))


def _due(bridge: Bridge) -> int:
    ((found,),) = bridge.query("SELECT count(*) FROM issuances WHERE state = 'due'")
    return int(found)
