"""Delivers an order to a running bridge, signed as WooCommerce signs it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import click
import requests

from bridge import __version__
from bridge.cli.terminal import fail
from bridge.web.signature import sign


def read_address(_context: click.Context, _parameter: click.Parameter, url: str) -> str:
    """A callback for the address of a bridge, returned without a slash at its end."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or the host no address
        is_address = False
    if not (is_address and url.isascii() and url.isprintable()):
        raise click.BadParameter(f"{url!r} is no address of a bridge, such as http://127.0.0.1:8080.")
    return url.rstrip("/")


def read_topic(_context: click.Context, _parameter: click.Parameter, topic: str) -> str:
    """A callback for a topic, which becomes a header."""
    if not (topic.strip() == topic and topic.isascii() and topic.isprintable()):
        raise click.BadParameter(f"{topic!r} is no topic, such as order.updated.")
    return topic


def deliver(url: str, body: bytes, topic: str, secret: str, *, ledger: str) -> dict[str, Any]:
    """Send the delivery and return the bridge's answer; end the command unless it is an acknowledgement.

    `ledger`: the ledger that the secret is from, for the message.
    """
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"spacebridge/{__version__}",
        "X-WC-Webhook-Topic": topic,
        "X-WC-Webhook-Signature": sign(body, secret),
    }
    try:
        response = requests.post(url, data=body, headers=headers, timeout=60, allow_redirects=False)
    except requests.RequestException as error:
        fail(
            f"No bridge answers at {url} ({type(error).__name__}). "
            "Start it with `spacebridge up`, or name its address with --url."
        )
    try:
        answer = response.json()
    except ValueError:
        answer = None
    status = response.status_code
    if not isinstance(answer, dict) or not isinstance(answer.get("status", answer.get("error")), str):
        fail(f"The server at {url} is no bridge (HTTP {status}): name its address with --url.")
    if answer.get("error") in {"wrong_signature", "unknown_store"}:
        fail(
            f"The bridge at {url} knows no store with this name and this secret ({status}): it runs over "
            f"another ledger than the one that was looked at ({ledger}). Name its folder with --data-dir, or "
            "another bridge with --url."
        )
    if status != 200:
        fail(f"The bridge did not take the delivery ({status}): {answer.get('message')}")
    return answer


def is_sandbox(api_url: str) -> bool:
    """Whether a sandbox answers at this address, whose documents are not real."""
    try:
        address = api_url.removesuffix("/v1") + "/sandbox/documents"
        return requests.get(address, timeout=5, allow_redirects=False).status_code == 200
    except requests.RequestException:
        return False
