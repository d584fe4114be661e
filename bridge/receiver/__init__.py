"""WooCommerce's front door: checks that a delivery is the shop's, records it, and answers."""

from bridge.receiver.notifier import Notifier
from bridge.receiver.views import make_blueprint

__all__ = ["Notifier", "make_blueprint"]
