"""What a shop is asked with, and what it answers, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class ShopKeys:
    """A key of WooCommerce's REST API (`ck_...`) and its secret (`cs_...`)."""

    consumer_key: str = field(repr=False)
    consumer_secret: str = field(repr=False)


class Login(StrEnum):
    """How a request proves that it has the key."""

    BASIC = "basic"  # a header; WooCommerce accepts it where WordPress knows that it is served by https
    OAUTH = "oauth"  # OAuth 1.0a, signed for the address as it is
    OAUTH_HTTP = "oauth-http"  # signed for http://, since a proxy ends https and WordPress does not know
    QUERY = "query"  # key and secret in the address, which ends in the shop's logs: the last resort


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a shop's API is, and which login it accepts; found once, and remembered.

    `url`: the shop's address, without a slash at its end. `api`: ends in `/wp-json/wc/v3/`, or in
    `/index.php?rest_route=/wc/v3/` for a shop without permalinks.
    """

    url: str
    api: str
    login: Login


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of a listing of orders. What the row lacks, or has in another shape, is None or empty.

    `modified` and `created` are UTC. `refunded`: the sum of the refunds as a decimal number, "0" for none.
    """

    id: int
    modified: datetime | None
    created: datetime | None
    status: str
    total: str
    currency: str
    refunded: str
    number: str


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund of an order, `parent_id`. `amount` is positive; `created` is UTC."""

    id: int
    parent_id: int
    amount: str
    created: datetime | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as the API shows it: without its secret and its failures.

    `modified` (UTC) is None until a ping or a delivery was answered. `api_version` is empty where the shop
    does not tell it.
    """

    id: int
    name: str
    status: str
    topic: str
    delivery_url: str
    api_version: str
    modified: datetime | None
    created: datetime | None


@dataclass(frozen=True, slots=True)
class Note:
    """A note of an order. `is_for_customer`: the customer was sent it."""

    id: int
    text: str
    author: str
    is_for_customer: bool
    created: datetime | None


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a key may do beside reading orders. `why_not`: a sentence if it cannot write."""

    can_write: bool
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """The shop's versions. `is_hpos`: whether orders have tables of their own; None if it is not told."""

    woocommerce: str
    wordpress: str
    is_hpos: bool | None
    home_url: str
