"""The ground that cases are measured on: a bridge and its baseline, side by side over one sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.bare import Bare
from bench.servers import Database, Plan, Sandbox, Site
from bench.tested import Bridge


@dataclass(frozen=True, slots=True)
class Ground:
    """Both sides, with their receivers running, and no worker yet."""

    site: Site
    database: Database
    sandbox: Sandbox
    bridge: Bridge
    bare: Bare

    @property
    def plan(self) -> Plan:
        """How much is measured."""
        return self.site.plan


@contextmanager
def open_ground(
    site: Site, database: Database, *, stores: int = 1, app: str = "bare_flask"
) -> Iterator[Ground]:
    """Start all of it. `app`: the module of bench/baselines that the baseline's receiver is of."""
    with site.sandbox() as sandbox:
        bridge = Bridge(site, sandbox, database, stores=stores)
        bare = Bare(site, sandbox, database, app=app)
        with bridge.receiving(bare):
            yield Ground(site, database, sandbox, bridge, bare)
