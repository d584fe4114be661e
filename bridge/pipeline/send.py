"""Sends one claimed order to Space Invoices."""

from __future__ import annotations

from bridge.pipeline.claim import Claimed
from bridge.pipeline.complete import Completed
from bridge.pipeline.context import Context


def send(context: Context, claimed: Claimed) -> Completed:
    """Hand the order over. What became of it is for the completer to record; no outcome raises."""
    account = context.account(claimed.store)
    answer = account.api.send_order(
        claimed.store.woocommerce_id,
        claimed.body,
        idempotency_key=claimed.idempotency_key,
        is_too_late=claimed.is_too_late,
    )
    if answer.outcome.status == 429:
        context.rate_limiter.slow_down(account.name, retry_after=answer.outcome.retry_after)
    return Completed(claimed.attempt, answer.outcome, answer.duration, claimed.is_probe)
