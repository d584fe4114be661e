"""The recorded deliveries of a real shop."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests import ROOT

FOLDER = ROOT / "tests" / "data" / "woocommerce-deliveries"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One delivery, as the shop sent it."""

    seq: int
    scenario: str
    headers: Mapping[str, str]
    secret: str
    body: bytes

    @property
    def topic(self) -> str:
        return self.headers.get("X-WC-Webhook-Topic", "")

    @property
    def is_ping(self) -> bool:
        return "X-WC-Webhook-Signature" not in self.headers

    def order(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def load(name: str) -> list[Recorded]:
    """The deliveries of one file, such as `life-of-a-store`, in order of arrival."""
    found = []
    for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        headers = {
            key: value for key, value in entry["headers"] if key not in {"Connection", "Content-Length"}
        }
        found.append(
            Recorded(
                entry["seq"], entry["scenario"], headers, entry["secret"], base64.b64decode(entry["body_b64"])
            )
        )
    return found
