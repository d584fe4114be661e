"""Decides which document of an order is due now, or why none is."""

from __future__ import annotations

from bridge.issuance.case import Case, Config, Decision, Documents, Exceptions, Verdict
from bridge.issuance.options import Policy
from bridge.issuance.order import Order
from bridge.issuance.rules import RULES
from bridge.issuance.status import stage_of, standard_status


def decide(
    order: Order,
    *,
    deleted: bool,
    config: Config | None,
    policy: Policy,
    documents: Documents,
    exceptions: Exceptions | None = None,
) -> Verdict:
    """Return the verdict of the first rule in `RULES` that applies to the order.

    `config` is None until it has been fetched from Space Invoices.
    """
    if config is None:
        return Verdict(
            Decision.WAIT, "The store's config has not been fetched from Space Invoices yet.", "no_config"
        )
    status = standard_status(order, policy.status_map)
    case = Case(
        order=order,
        config=config,
        policy=policy,
        documents=documents,
        exceptions=exceptions or Exceptions(),
        is_deleted=deleted or status == "trash",
        stage=stage_of(order, policy.status_map),
    )
    verdict = next(verdict for rule in RULES if (verdict := rule(case)) is not None)
    return _noting_changed_key(case, verdict)


def _noting_changed_key(case: Case, verdict: Verdict) -> Verdict:
    """The verdict; for attention if nothing is to be issued and the shop has changed the order's key."""
    former = case.exceptions.former_key
    if former is None or verdict.decision in {Decision.ISSUE, Decision.ATTENTION}:
        return verdict
    return Verdict(
        Decision.ATTENTION,
        "The shop changed the order's key, and left its id and date of creation: it is taken for the same "
        f"order, which gets no second document: {verdict.reason}",
        "key_changed",
    )
