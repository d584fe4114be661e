"""A client of a WooCommerce shop's REST API that survives how shops answer; usable without the bridge.

    keys = ShopKeys("ck_...", "cs_...")
    endpoint = find_endpoint("https://shop.example", keys)  # once; remember it
    with Shop(endpoint, keys) as shop:
        until = shop.clock - timedelta(minutes=1)
        for page in shop.modified_since(until - timedelta(hours=1), until):
            for listed in page:
                body = shop.order(listed.id)  # bytes as they came; None for an order that is gone
        shop.permissions().can_write
        shop.create_webhook(name="Mine", topic="order.updated", delivery_url=url, secret=secret)

A call that fails raises ShopError, whose kinds are in errors.py and whose text is for a person. Keys are sent
to the given host alone. Importing this package has urllib3 log addresses without their queries, where
signatures are.
"""

from bridge.shop.address import approval_url
from bridge.shop.client import Shop
from bridge.shop.errors import (
    AnswerError,
    BusyError,
    CertificateError,
    FirewallError,
    KeyRefusedError,
    MaintenanceError,
    NotAShopError,
    PermalinksError,
    RedirectedError,
    RightsError,
    ShopError,
    ShopUnreachableError,
)
from bridge.shop.finding import find_endpoint
from bridge.shop.models import (
    Endpoint,
    Listed,
    Login,
    Note,
    Permissions,
    Refund,
    ShopKeys,
    SystemStatus,
    Webhook,
)

__all__ = [
    "AnswerError",
    "BusyError",
    "CertificateError",
    "Endpoint",
    "FirewallError",
    "KeyRefusedError",
    "Listed",
    "Login",
    "MaintenanceError",
    "NotAShopError",
    "Note",
    "PermalinksError",
    "Permissions",
    "RedirectedError",
    "Refund",
    "RightsError",
    "Shop",
    "ShopError",
    "ShopKeys",
    "ShopUnreachableError",
    "SystemStatus",
    "Webhook",
    "approval_url",
    "find_endpoint",
]
