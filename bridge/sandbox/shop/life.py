"""A shop that lives by itself: customers order, and what they ordered is paid, sent, refunded or given up."""

from __future__ import annotations

import threading
import time
from random import Random

from bridge.sandbox.shop.answers import RestError
from bridge.sandbox.shop.state import Shop

NEW = 0.5  # the share of steps that make an order
RECENT = 200  # orders that something still happens to
METHODS = ("stripe", "stripe", "paypal", "bacs", "cod")
_BEGINNINGS = {"bacs": "on-hold", "cod": "processing"}
# What may become of an order, each as likely as the others.
_NEXT = {
    "pending": ("processing", "processing", "cancelled", "failed"),
    "on-hold": ("processing", "processing", "cancelled"),
    "processing": ("completed", "completed", "completed", "refund"),
    "failed": ("processing", "trash"),
    "completed": ("refund", "note", "note"),
    "trash": ("untrash",),
}


def fill(shop: Shop, count: int, random: Random, *, days: float = 30) -> None:
    """Orders of the last days, of which no webhook tells."""
    now = shop.clock()
    for position in range(count):
        moment = now - days * 86_400 * (count - position) / count
        method = random.choice(METHODS)
        status = random.choice(("completed", "completed", "completed", "processing", "cancelled"))
        shop.create(
            status=status, payment_method=method, total=_total(random), created=moment, is_silent=True
        )


def step(shop: Shop, random: Random) -> None:
    """Make an order, or let the next thing happen to a recent one."""
    recent = shop.ids()[-RECENT:]
    if not recent or random.random() < NEW:
        method = random.choice(METHODS)
        status = _BEGINNINGS.get(method) or random.choice(("pending", "processing"))
        shop.create(status=status, payment_method=method, total=_total(random))
        return
    order_id = random.choice(recent)
    event = random.choice(_NEXT.get(shop.get(order_id).status, ("note",)))
    if event == "refund":
        shop.refund(order_id, random.choice((None, "5.00")))
    elif event == "note":
        shop.add_note(order_id, "The parcel is on its way.")
    elif event == "trash":
        shop.trash(order_id)
    elif event == "untrash":
        shop.untrash(order_id)
    else:
        shop.change_status(order_id, event)


def live(shop: Shop, random: Random, *, pause: float = 1.0) -> threading.Thread:
    """Take a step every `pause` seconds, in a thread that ends with the process."""

    def run() -> None:
        while True:
            time.sleep(pause)
            try:
                step(shop, random)
            except RestError:  # somebody deleted the order, or refunded it, meanwhile
                continue

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _total(random: Random) -> str:
    return f"{random.randrange(1_000, 30_000) / 100:.2f}"
