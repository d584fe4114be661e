"""A client of Space Invoices' Woocommerce API, and what its answers mean; usable without the bridge.

    with SpaceInvoices("https://api.spaceinvoices.com/v1", token) as api:
        shop = api.create(organization, NewWoocommerce(name="Shop", issue_invoice_on_complete=True))
        api.patch(shop.id, WoocommerceChanges(locale="sl"))
        api.find(organization, Filter(where={"name": {"like": "Shop"}}, order="createdAt DESC", limit=10))
        api.count(organization, {"active": True})
        api.order(shop.id, {**order, **properties_of_the_shop})
        api.start_import(shop.id, "orders")
        api.delete(shop.id)

A call that fails raises SpaceInvoicesError, which says whether trying again makes sense. The token goes into
a header and nowhere else. At level DEBUG, urllib3 logs addresses, which contain filters.

The bridge depends on the protocol `SpaceInvoicesApi` (api.py), which `SpaceInvoices` implements.
"""

from bridge.spaceinvoices.api import Answer, SpaceInvoicesApi
from bridge.spaceinvoices.client import SpaceInvoices
from bridge.spaceinvoices.errors import SpaceInvoicesError
from bridge.spaceinvoices.filters import Filter
from bridge.spaceinvoices.models import NewWoocommerce, Woocommerce, WoocommerceChanges
from bridge.spaceinvoices.outcome import Effect, Outcome
from bridge.spaceinvoices.transport import ApiConnection

__all__ = [
    "Answer",
    "ApiConnection",
    "Effect",
    "Filter",
    "NewWoocommerce",
    "Outcome",
    "SpaceInvoices",
    "SpaceInvoicesApi",
    "SpaceInvoicesError",
    "Woocommerce",
    "WoocommerceChanges",
]
