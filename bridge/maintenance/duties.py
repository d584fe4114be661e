"""All duties. A new one is a module with a function, and a line here."""

from __future__ import annotations

from bridge.maintenance.duty import Duty
from bridge.maintenance.previous_secrets import end_previous_secrets
from bridge.maintenance.quarantine import release_quarantined
from bridge.maintenance.reconcile import Reconciliation
from bridge.maintenance.redecide import redecide
from bridge.maintenance.refresh_configs import find_stale_configs
from bridge.maintenance.rescue import rescue
from bridge.maintenance.sweep import sweep

DUTIES = (
    Duty("rescue", 3.0, rescue),
    Duty("release quarantined", 3.0, release_quarantined),
    Duty("sweep", 3.0, sweep),
    Duty("refresh configs", 3.0, find_stale_configs),
    Duty("redecide", 3.0, redecide),
    Duty("reconcile", 5.0, Reconciliation().run),
    Duty("end previous secrets", 3.0, end_previous_secrets),
)
