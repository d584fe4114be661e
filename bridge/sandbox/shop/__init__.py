"""A stand-in for a WooCommerce shop: its REST API, its webhooks and its approval of keys, all in memory."""

from bridge.sandbox.shop.app import create_shop
from bridge.sandbox.shop.book import Settings
from bridge.sandbox.shop.faults import Faults
from bridge.sandbox.shop.keys import Key
from bridge.sandbox.shop.life import fill, live
from bridge.sandbox.shop.orders import Order
from bridge.sandbox.shop.state import Shop
from bridge.sandbox.shop.webhooks import Delivery, Webhook

__all__ = ["Delivery", "Faults", "Key", "Order", "Settings", "Shop", "Webhook", "create_shop", "fill", "live"]
