"""`spacebridge sandbox --shop`: serves the stand-in for a WooCommerce shop."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from random import SystemRandom
from typing import Literal

import click
from flask import Flask

from bridge.cli.sandbox_server import serve
from bridge.cli.terminal import print_fields
from bridge.sandbox.shop import Faults, Settings, Shop, create_shop, fill, live

# What its key is to be; it protects nothing.
CONSUMER_KEY, CONSUMER_SECRET = "SPACEBRIDGE_SANDBOX_CONSUMER_KEY", "SPACEBRIDGE_SANDBOX_CONSUMER_SECRET"


def fault_of(text: str) -> tuple[str, float]:
    """The value of `ANSWER=SHARE`, such as busy=0.2: a fifth of the requests are answered with 429."""
    answer, _, share = text.partition("=")
    try:
        parsed = answer, float(share or 1)
        Faults(answer=answer)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not ANSWER=SHARE, such as busy=0.2: {error}") from None
    if not 0 <= parsed[1] <= 1:
        raise click.BadParameter(f"{text!r}: the share is 0 to 1")
    return parsed


def serve_shop(
    *,
    host: str,
    port: int,
    orders: int,
    lives: bool,
    latency: float,
    fault: tuple[str, float] | None,
    has_permalinks: bool,
    takes_http_callbacks: bool,
    certificate: Path | None,
    is_behind_proxy: bool,
) -> None:
    """Serve a shop until a signal ends it, with so many orders of the last 30 days.

    `latency`: seconds. `lives`: more orders come by themselves.
    """
    if is_behind_proxy and certificate is None:
        raise click.UsageError("--behind-proxy says what WordPress knows of https: give --certificate, too.")
    address = f"{'http' if certificate is None else 'https'}://{host}:{port}"
    https: Literal["off", "known", "unknown"] = "off"
    if certificate is not None:
        https = "unknown" if is_behind_proxy else "known"
    settings = Settings(
        address, https=https, has_permalinks=has_permalinks, takes_http_callbacks=takes_http_callbacks
    )
    answer, share = fault or (None, 1.0)
    faults = Faults(latency=latency, answer=answer, share=share)
    consumer_key = os.environ.get(CONSUMER_KEY) or f"ck_{secrets.token_hex(20)}"
    consumer_secret = os.environ.get(CONSUMER_SECRET) or f"cs_{secrets.token_hex(20)}"

    def make() -> Flask:
        shop = Shop(settings, faults=faults)
        shop.keys.add("read_write", consumer_key=consumer_key, consumer_secret=consumer_secret)
        fill(shop, orders, SystemRandom())
        if lives:
            live(shop, SystemRandom())
        return create_shop(shop)

    print_fields(
        {
            "shop": address,
            "consumer key": consumer_key,
            "consumer secret": consumer_secret,
            "to approve a key": f"open {address}/wc-auth/v1/authorize?... as the bridge links it",
            "to look at it": f"{address}/stand-in",
        }
    )
    serve(make, host=host, port=port, certificate=certificate)
