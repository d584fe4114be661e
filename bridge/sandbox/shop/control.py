"""`/stand-in`: looks at the shop and steers it from outside; no part of WordPress, and without a key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from typing import Any

from flask import Flask, Response, jsonify, request

from bridge.sandbox.shop.answers import RestError
from bridge.sandbox.shop.state import Shop

SHOWN = 100  # deliveries


def add_control(app: Flask, shop: Shop) -> None:
    """Serve the control of this shop."""
    control = Control(shop)
    app.add_url_rule("/stand-in", view_func=control.look)
    app.add_url_rule("/stand-in/faults", view_func=control.faults, methods=["PUT"])
    app.add_url_rule("/stand-in/settings", view_func=control.settings, methods=["PUT"])
    app.add_url_rule("/stand-in/orders", view_func=control.create, methods=["POST"])
    app.add_url_rule("/stand-in/orders/<int:order_id>/<action>", view_func=control.act, methods=["POST"])


class Control:
    """The views under `/stand-in`. Each takes and gives JSON; 400 says what is wrong."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._actions: dict[str, Callable[..., Any]] = {
            "status": shop.change_status,
            "refund": shop.refund,
            "delete-refund": shop.delete_refund,
            "trash": shop.trash,
            "untrash": shop.untrash,
            "delete": shop.delete,
            "anonymise": shop.anonymise,
            "edit": shop.edit,
        }

    def look(self) -> Response:
        """How many orders there are, webhooks with their failures, the newest deliveries, and faults."""
        shop = self._shop
        webhooks = [
            {name: value for name, value in asdict(row).items() if name != "secret"}
            for row in shop.webhooks.all()
        ]
        newest = islice(reversed(shop.webhooks.deliveries.copy()), SHOWN)
        return jsonify(
            {
                "orders": len(shop.ids()),
                "queued": shop.webhooks.queued(),
                "webhooks": webhooks,
                "deliveries": [asdict(delivery) for delivery in newest],
                "faults": shop.faults.as_dict(),
                "actions": sorted(self._actions),
            }
        )

    def faults(self) -> Response:
        """Change the faults that the body names; an empty body ends all of them."""
        changes = request.get_json()
        if not changes:
            self._shop.faults.clear()
        else:
            try:
                self._shop.faults.change(changes)
            except (ValueError, TypeError) as error:
                return _refusal(str(error))
        self._shop.webhooks.look_again()
        return jsonify(self._shop.faults.as_dict())

    def settings(self) -> Response:
        """Change settings such as `has_permalinks`."""
        try:
            self._shop.set_up(**request.get_json())
        except TypeError as error:
            return _refusal(str(error))
        return jsonify(asdict(self._shop.settings))

    def create(self) -> Response:
        """Make an order; the body holds the arguments of Shop.create."""
        try:
            return jsonify({"id": self._shop.create(**request.get_json())})
        except (TypeError, ValueError) as error:
            return _refusal(str(error))

    def act(self, order_id: int, action: str) -> Response:
        """Let something happen to an order; the body holds the arguments of the method."""
        if action not in self._actions:
            return _refusal(f"there is no action {action!r}: give one of {', '.join(sorted(self._actions))}")
        try:
            value = self._actions[action](order_id, **(request.get_json(silent=True) or {}))
        except (TypeError, ValueError) as error:
            return _refusal(str(error))
        except RestError as error:
            return _refusal(error.message, error.status)
        return jsonify({"value": value})


def _refusal(message: str, status: int = 400) -> Response:
    response = jsonify({"error": message})
    response.status_code = status
    return response
