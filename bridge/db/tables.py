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
    """A moment in UTC: `timestamptz` in PostgreSQL, text that sorts by time in SQLite.

    One without a time zone is refused: each database would take it for another moment.
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
    # Those it replaced, encrypted, the youngest first: good until a day after the new one was first seen.
    Column("previous_webhook_secrets", JSON(none_as_null=True)),
    Column("webhook_secret_seen_at", UTCDateTime),
    *_option_columns(),
    # The Woocommerce object in Space Invoices, as last fetched.
    Column("config", JSON(none_as_null=True)),
    Column("config_fetched_at", UTCDateTime),
    Column("config_tried_at", UTCDateTime),
    Column("config_error", Text),
    # When Space Invoices first did not list the object any more: believed when it is so again, minutes later.
    Column("config_missing_since", UTCDateTime),
    # Since when the config has let nothing be issued, and the newest delivery of any store at that time.
    Column("inactive_since", UTCDateTime),
    Column("inactive_after_delivery", BigInteger),
    # Counts up when anything changes that decisions depend on; orders decided before are decided anew.
    Column("decision_version", Integer, nullable=False, server_default=text("1")),
    Column("deciding_anew_since", UTCDateTime),
    # Paused: by an operator (no next_probe_at), or since Space Invoices takes no order of the account.
    Column("paused_at", UTCDateTime),
    Column("pause_reason", Text),
    Column("next_probe_at", UTCDateTime),
    # Attempts and probes that failed one after the other, whichever order they were for.
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("resumed_at", UTCDateTime),  # no order's time to be retried in begins before that
    Column("last_ping_at", UTCDateTime),
    # Requests without a good signature (401), from the shop or from anybody.
    Column("refused_deliveries", BigInteger, nullable=False, server_default=text("0")),
    Column("last_refused_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
    # Removed by an operator: its secrets are erased, its name is another, its documents stay known.
    Column("removed_at", UTCDateTime),
    # Whatever its organization: the API takes an order for the object, and asks for nothing else.
    Index(
        "uq_stores_woocommerce_id",
        "woocommerce_id",
        unique=True,
        sqlite_where=text("removed_at IS NULL"),
        postgresql_where=text("removed_at IS NULL"),
    ),
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
    # The place in the sequence of the ids that a repeated deletion has taken; null: that of its id.
    Column("arrival", BigInteger),
    Column("shop_url", Text),  # the address of the site that it names
    # received | processed | ignored | quarantined | unreadable | failed
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("duplicates", Integer, nullable=False, server_default=text("0")),
    Column("received_at", UTCDateTime, nullable=False),
    Column("last_received_at", UTCDateTime, nullable=False),
    UniqueConstraint("store_id", "digest"),
    Index("ix_deliveries_resource", "store_id", "resource_id"),
    Index(
        "ix_deliveries_unprocessed",
        "id",
        sqlite_where=text("state = 'received'"),
        postgresql_where=text("state = 'received'"),
    ),
    Index(
        "ix_deliveries_failed",
        "id",
        sqlite_where=text("state = 'failed'"),
        postgresql_where=text("state = 'failed'"),
    ),
    Index(
        "ix_deliveries_unreadable",
        "id",
        sqlite_where=text("state = 'unreadable'"),
        postgresql_where=text("state = 'unreadable'"),
    ),
    Index(
        "ix_deliveries_quarantined",
        "id",
        sqlite_where=text("state = 'quarantined'"),
        postgresql_where=text("state = 'quarantined'"),
    ),
)

orders = Table(
    "orders",
    metadata,
    Column("id", BigId, Identity(), primary_key=True),
    Column("store_id", BigId, ForeignKey("stores.id"), nullable=False),
    # A shop that is installed anew starts its ids again: the key tells the orders apart.
    Column("resource_id", BigInteger, nullable=False),
    Column("order_key", Text, nullable=False),
    # The newest snapshot. All of it is null for an instant only, inside the transaction that adds the row.
    Column("delivery_id", BigId, ForeignKey("deliveries.id")),
    Column("number", Text),
    Column("status", Text),
    Column("payment_method", Text),
    Column("total", Text),
    Column("currency", Text),
    Column("modified", UTCDateTime),
    Column("has_date_paid", Boolean),
    Column("has_refunds", Boolean),
    Column("details", Text),  # JSON; null for an order that an older version has saved last
    Column("deleted_at", UTCDateTime),
    Column("deleted_arrival", BigInteger),  # that of the deletion
    # Known before there were rules on old orders. What this version adds is not.
    Column("is_from_before", Boolean, nullable=False, server_default=text("true")),
    Column("issue_anyway_by", Text),  # the operator who wants its document whatever keeps it back
    Column("former_key", Text),  # which the shop has changed
    Column("decision", Text),
    Column("reason", Text),
    Column("rule", Text),  # the word for what decided; null for what was decided before there was this column
    Column("rule_since", UTCDateTime),  # when this rule first decided, of those in a row
    Column("decided_version", Integer, nullable=False, server_default=text("0")),
    UniqueConstraint("store_id", "resource_id", "order_key"),
    Index("ix_orders_decision", "store_id", "decision", "decided_version"),
    # What may wait for a person, by rules of which few orders are at a time.
    Index(
        "ix_orders_waiting",
        "store_id",
        "rule",
        "rule_since",
        sqlite_where=text("rule IN ('pending', 'unknown_status')"),
        postgresql_where=text("rule IN ('pending', 'unknown_status')"),
    ),
    Index(
        "ix_orders_attention",
        "store_id",
        "rule_since",
        sqlite_where=text("decision = 'attention'"),
        postgresql_where=text("decision = 'attention'"),
    ),
    Index(
        "ix_orders_inactive",
        "store_id",
        "delivery_id",
        sqlite_where=text("rule = 'inactive'"),
        postgresql_where=text("rule = 'inactive'"),
    ),
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
    Column("attempt_id", BigId),  # the last one; an outcome counts only for the attempt it belongs to
    Column("first_attempt_at", UTCDateTime),
    Column("next_attempt_at", UTCDateTime),
    # When it fell due, which neither a retry nor a deferral moves; null for what fell due before this column.
    Column("due_since", UTCDateTime),
    Column("deferrals", Integer, nullable=False, server_default=text("0")),  # by faults on this side
    Column("lease_ends_at", UTCDateTime),  # while sending
    Column("total", Text),  # as sent
    Column("currency", Text),
    Column("content", Text),  # digests of the lines and the customer, as sent
    Column("last_error", Text),
    Column("withdrawn_by", Text),  # the operator who wants it issued no more, whatever is decided
    Column("created_at", UTCDateTime, nullable=False),
    Column("settled_at", UTCDateTime),
    UniqueConstraint("order_id", "kind"),  # the promise: one invoice, one estimate
    Index(
        "ix_issuances_due",
        "store_id",
        "next_attempt_at",
        "id",
        sqlite_where=text("state = 'due'"),
        postgresql_where=text("state = 'due'"),
    ),
    Index(
        "ix_issuances_sending",
        "lease_ends_at",
        sqlite_where=text("state = 'sending'"),
        postgresql_where=text("state = 'sending'"),
    ),
    Index(
        "ix_issuances_held",
        "id",
        sqlite_where=text("state = 'held'"),
        postgresql_where=text("state = 'held'"),
    ),
    Index(
        "ix_issuances_failed",
        "id",
        sqlite_where=text("state = 'failed'"),
        postgresql_where=text("state = 'failed'"),
    ),
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
    Column("status", Integer),  # of HTTP
    Column("excerpt", Text),  # of the answer
)

# What operators did, for whoever asks later why something was sent, or was not, or who changed a store.
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
