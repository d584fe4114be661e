"""The ledger's tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from bridge.db.errors import LedgerFaultError
from bridge.issuance import OPTIONS, StoreOptions


class UTCDateTime(TypeDecorator[datetime]):
    """A time in UTC: `timestamptz` in PostgreSQL, text that sorts by time in SQLite.

    A time without a time zone is refused: the two databases would read it as different times.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise LedgerFaultError("the ledger refused a moment without a time zone")
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite numbers rows by itself only where the primary key is an INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of only those rows that meet a condition."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


def _option_columns() -> Iterator[Column[Any]]:
    """A column for each option of a store, of the type that the option's default has in JSON."""
    defaults = StoreOptions()
    for name, option in OPTIONS.items():
        default = option.dump(getattr(defaults, name))
        kind: TypeEngine[Any]
        match default:
            case bool():
                kind, default = Boolean(), text(str(default).lower())
            case str():
                kind = Text()
            case _:
                kind, default = JSON(none_as_null=option.nullable), None
        yield Column(
            name, kind, nullable=option.nullable, server_default=None if option.nullable else default
        )


stores = Table(
    "stores",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("organization_id", Text, nullable=False),
    Column("woocommerce_id", Text, nullable=False),
    Column("api_token", Text, nullable=False),  # encrypted
    Column("webhook_secret", Text, nullable=False),  # encrypted
    # The secrets it replaced, encrypted, newest first: valid until a day after the new one was first seen.
    Column("previous_webhook_secrets", JSON(none_as_null=True)),
    Column("webhook_secret_seen_at", UTCDateTime),
    *_option_columns(),
    # The Woocommerce object in Space Invoices, as last fetched.
    Column("config", JSON(none_as_null=True)),
    Column("config_fetched_at", UTCDateTime),
    Column("config_tried_at", UTCDateTime),
    Column("config_error", Text),
    # When Space Invoices first no longer listed the object: believed when it is confirmed minutes later.
    Column("config_missing_since", UTCDateTime),
    # Since when the config is inactive, so that nothing is issued, and the newest delivery of any store then.
    Column("inactive_since", UTCDateTime),
    Column("inactive_after_delivery", BigInteger),
    # Counts up when anything changes that decisions depend on: orders with an older number are redecided.
    Column("decision_version", Integer, nullable=False, server_default=text("1")),
    Column("deciding_anew_since", UTCDateTime),
    # Paused by an operator (no next_probe_at), or since Space Invoices takes no order of the account.
    Column("paused_at", UTCDateTime),
    Column("pause_reason", Text),
    Column("next_probe_at", UTCDateTime),
    # Attempts and probes that failed in a row, of any order.
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("resumed_at", UTCDateTime),  # an order's time for retries begins no earlier
    Column("last_ping_at", UTCDateTime),
    # Requests without a valid signature (401), from the shop or from a stranger.
    Column("refused_deliveries", BigInteger, nullable=False, server_default=text("0")),
    Column("last_refused_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
    # Removed by an operator: its secrets are erased, its name is changed, its documents stay known.
    Column("removed_at", UTCDateTime),
    # In all organizations: the object alone decides where the API puts an order.
    _partial_index("uq_stores_woocommerce_id", "woocommerce_id", unique=True, where="removed_at IS NULL"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("store_id", BigId, ForeignKey("stores.id"), nullable=False),
    Column("topic", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("body", LargeBinary, nullable=False),  # zlib; the bytes as received
    Column("resource_id", BigInteger),
    Column("is_deletion", Boolean, nullable=False),
    # The place in the sequence of ids that a repeated deletion took; null: the delivery's id.
    Column("arrival", BigInteger),
    Column("shop_url", Text),  # the address of the site that the delivery names
    # How it came: webhook | reconcile | backfill
    Column("source", Text, nullable=False, server_default="webhook"),
    # received | processed | ignored | quarantined | unreadable | failed
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("duplicates", Integer, nullable=False, server_default=text("0")),
    Column("received_at", UTCDateTime, nullable=False),
    Column("last_received_at", UTCDateTime, nullable=False),
    UniqueConstraint("store_id", "digest"),
    Index("ix_deliveries_resource", "store_id", "resource_id"),
    _partial_index("ix_deliveries_unprocessed", "id", where="state = 'received'"),
    _partial_index("ix_deliveries_failed", "id", where="state = 'failed'"),
    _partial_index("ix_deliveries_unreadable", "id", where="state = 'unreadable'"),
    _partial_index("ix_deliveries_quarantined", "id", where="state = 'quarantined'"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("store_id", BigId, ForeignKey("stores.id"), nullable=False),
    # A shop that is installed again starts its ids again: the key tells the orders apart.
    Column("resource_id", BigInteger, nullable=False),
    Column("order_key", Text, nullable=False),
    # The newest snapshot. These are all null only inside the transaction that inserts the row.
    Column("delivery_id", BigId, ForeignKey("deliveries.id")),
    Column("number", Text),
    Column("status", Text),
    Column("payment_method", Text),
    Column("total", Text),
    Column("currency", Text),
    Column("modified", UTCDateTime),
    Column("has_date_paid", Boolean),
    Column("has_refunds", Boolean),
    Column("details", Text),  # JSON; null for an order that an older version saved last
    Column("deleted_at", UTCDateTime),
    Column("deleted_arrival", BigInteger),  # the arrival of the deletion
    # Whether it was known before there were rules on old orders; the default is for older versions.
    Column("is_from_before", Boolean, nullable=False, server_default=text("true")),
    Column("issue_anyway_by", Text),  # the operator who ordered its document although a rule keeps it back
    Column("former_key", Text),  # its key before the shop changed it
    Column("decision", Text),
    Column("reason", Text),
    Column("rule", Text),  # the word of the rule that decided; null if it decided before this column existed
    Column("rule_since", UTCDateTime),  # the first of the last decisions in a row by this rule
    Column("decided_version", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("store_id", "resource_id", "order_key"),
    Index("ix_orders_decision", "store_id", "decision", "decided_version"),
    # Orders that may wait for a person, by rules that few orders are under at a time.
    _partial_index(
        "ix_orders_waiting", "store_id", "rule", "rule_since", where="rule IN ('pending', 'unknown_status')"
    ),
    _partial_index("ix_orders_attention", "store_id", "rule_since", where="decision = 'attention'"),
    _partial_index("ix_orders_inactive", "store_id", "delivery_id", where="rule = 'inactive'"),
)

issuances = Table(
    "issuances",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("store_id", BigId, ForeignKey("stores.id"), nullable=False),
    Column("order_id", BigId, ForeignKey("orders.id"), nullable=False),
    Column("kind", Text, nullable=False),  # a Kind
    Column("state", Text, nullable=False),  # due | sending | issued | failed | held | withdrawn
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("attempt_id", BigId),  # the last attempt; an outcome counts only for the attempt it belongs to
    Column("first_attempt_at", UTCDateTime),
    Column("next_attempt_at", UTCDateTime),
    # When it fell due; retries and deferrals keep it. Null if it fell due before this column existed.
    Column("due_since", UTCDateTime),
    Column("deferrals", Integer, nullable=False, server_default=text("0")),  # by faults of the bridge
    Column("lease_ends_at", UTCDateTime),  # while sending
    Column("total", Text),  # as sent
    Column("currency", Text),
    Column("content", Text),  # digests of the lines and the customer, as sent
    Column("last_error", Text),
    Column("withdrawn_by", Text),  # the operator who withdrew it, whatever is decided later
    Column("created_at", UTCDateTime, nullable=False),
    Column("settled_at", UTCDateTime),
    UniqueConstraint("order_id", "kind"),  # the promise: one invoice, one estimate
    _partial_index("ix_issuances_due", "store_id", "next_attempt_at", "id", where="state = 'due'"),
    _partial_index("ix_issuances_sending", "lease_ends_at", where="state = 'sending'"),
    _partial_index("ix_issuances_held", "id", where="state = 'held'"),
    _partial_index("ix_issuances_failed", "id", where="state = 'failed'"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("issuance_id", BigId, ForeignKey("issuances.id"), nullable=False, index=True),
    Column("delivery_id", BigId, ForeignKey("deliveries.id"), nullable=False),  # the snapshot sent
    Column("started_at", UTCDateTime, nullable=False),
    Column("duration_ms", Integer),
    Column("outcome", Text),  # null while the request is under way, or if its worker died
    Column("status", Integer),  # HTTP status
    Column("excerpt", Text),  # of the response
)

# What operators did: it says later why something was sent or not, and who changed a store.
actions = Table(
    "actions",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("at", UTCDateTime, nullable=False),
    Column("who", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("delivery_id", BigId, ForeignKey("deliveries.id"), index=True),
    Column("issuance_id", BigId, ForeignKey("issuances.id"), index=True),
    Column("store_id", BigId, ForeignKey("stores.id"), index=True),
    Column("order_id", BigId, index=True),
)

# The REST API of a store's shop, once it is connected.
shops = Table(
    "shops",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("store_id", BigId, ForeignKey("stores.id"), nullable=False, unique=True),
    Column("url", Text, nullable=False),  # the shop's address, as it was given
    Column("api", Text, nullable=False),  # the address of its API
    Column("login", Text, nullable=False),  # a Login
    Column("consumer_key", Text, nullable=False),  # encrypted
    Column("consumer_secret", Text, nullable=False),  # encrypted
    Column("can_write", Boolean, nullable=False),
    Column("page_size", Integer, nullable=False, server_default=text("100")),
    Column("connected_at", UTCDateTime, nullable=False),
    Column("highest_order_id", BigInteger, nullable=False),  # when it was connected
    # The watermark, by the shop's own clock: all that was modified before it has been compared.
    Column("compared_until", UTCDateTime),
    # What was modified since then is compared again, whatever the watermark: deliveries may have been lost.
    Column("compare_from", UTCDateTime),
    # When each kind of comparison ended last.
    Column("compared_at", UTCDateTime),
    Column("compared_recent_at", UTCDateTime),
    Column("compared_content_at", UTCDateTime),
    Column("compared_trash_at", UTCDateTime),
    # One process at a time asks the shop.
    Column("lease_ends_at", UTCDateTime),
    Column("next_round_at", UTCDateTime),
    # Why the shop cannot be asked, since when, and the kind of error; the key was refused so often in a row.
    Column("error", Text),
    Column("error_kind", Text),
    Column("failing_since", UTCDateTime),
    Column("refusals", Integer, nullable=False, server_default=text("0")),
)

# Approvals of a connection that were begun: each is good for one store, once, and for a while.
shop_approvals = Table(
    "shop_approvals",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("store_id", BigId, ForeignKey("stores.id"), nullable=False, index=True),
    Column("state_digest", LargeBinary(32), nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("used_at", UTCDateTime),
    Column("result", Text),
)

# The webhooks of a shop that deliver to its store, a row for each topic, as the shop showed them last.
shop_webhooks = Table(
    "shop_webhooks",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("store_id", BigId, ForeignKey("stores.id"), nullable=False),
    Column("topic", Text, nullable=False),
    Column("webhook_id", BigInteger),  # null: the shop has none
    Column("status", Text, nullable=False),  # active | paused | disabled | deleted
    Column("since", UTCDateTime, nullable=False),  # when this status was first seen
    Column("modified", UTCDateTime),  # by the shop: when it last tried a delivery, or somebody saved it
    Column("seen_at", UTCDateTime, nullable=False),
    Column("secret_set_at", UTCDateTime),  # when the store's present secret was written to it
    Column("remade", JSON(none_as_null=True)),  # when it was made anew, ISO 8601, the last few
    Column("problem", Text),  # why it was not made anew
    UniqueConstraint("store_id", "topic"),
)

# Orders that the shop had, and the ledger had not, or had in an older state.
finds = Table(
    "finds",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("store_id", BigId, ForeignKey("stores.id"), nullable=False),
    Column("resource_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),  # missing | stale | trashed | restored | gone
    Column("reason", Text, nullable=False),  # why no webhook told
    Column("delivery_id", BigId, ForeignKey("deliveries.id"), index=True),
    Column("changed_at", UTCDateTime),  # in the shop
    Column("found_at", UTCDateTime, nullable=False),
    Index("ix_finds_resource", "store_id", "resource_id"),
    Index("ix_finds_found_at", "found_at"),
)

# When some receiver last had the ledger: a row for each thing that beats.
heartbeats = Table(
    "heartbeats",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("at", UTCDateTime, nullable=False),
)

# Times in which no receiver could take a store's deliveries, until it is known that nothing is missing.
absences = Table(
    "absences",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("store_id", BigId, ForeignKey("stores.id"), nullable=False),
    Column("began_at", UTCDateTime, nullable=False),
    Column("ended_at", UTCDateTime, nullable=False),
    Column("settled_at", UTCDateTime),
    Column("settled_by", Text),
    _partial_index("ix_absences_open", "store_id", where="settled_at IS NULL"),
)
