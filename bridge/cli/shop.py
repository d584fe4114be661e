"""Stands in for a shop: delivers an order to a running bridge, signed as WooCommerce signs it."""

from __future__ import annotations

from typing import Any

import requests

from bridge import __version__
from bridge.cli.terminal import fail
from bridge.receiver.signature import sign


def deliver(url: str, body: bytes, topic: str, secret: str) -> dict[str, Any]:
    """What the bridge answers to a delivery; ends the command if it does not acknowledge it."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"spacebridge/{__version__}",
        "X-WC-Webhook-Topic": topic,
        "X-WC-Webhook-Signature": sign(body, secret),
    }
    try:
        response = requests.post(url, data=body, headers=headers, timeout=60, allow_redirects=False)
        answer = response.json()
    except (requests.RequestException, ValueError) as error:
        fail(
            f"No bridge answers at {url} ({type(error).__name__}). "
            "Start it with `spacebridge up`, or name its address with --url."
        )
    if response.status_code != 200:
        fail(f"The bridge did not take the delivery ({response.status_code}): {answer.get('message')}")
    return dict(answer)


def is_a_sandbox(api_url: str) -> bool:
    """Whether documents that are issued there are not real."""
    try:
        address = api_url.removesuffix("/v1") + "/sandbox/documents"
        return requests.get(address, timeout=5, allow_redirects=False).status_code == 200
    except requests.RequestException:
        return False
