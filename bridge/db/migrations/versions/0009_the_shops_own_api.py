"""The shops' own APIs: connections, webhooks, what was found there, and when no receiver was up."""

import sqlalchemy as sa
from alembic import op

from bridge.db.tables import UTCDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("source", sa.Text(), server_default="webhook", nullable=False))
    _create_shops()
    _create_webhooks()
    _create_finds()
    _create_absences()


def downgrade() -> None:
    for table in ("absences", "heartbeats", "finds", "shop_webhooks", "shop_approvals", "shops"):
        op.drop_table(table)
    op.drop_column("deliveries", "source")


def _id(table: str) -> list[sa.Column[int] | sa.PrimaryKeyConstraint]:
    column = sa.Column("id", BIG_ID, sa.Identity(), nullable=False)
    return [column, sa.PrimaryKeyConstraint("id", name=f"pk_{table}")]


def _store(table: str) -> list[sa.Column[int] | sa.ForeignKeyConstraint]:
    key = sa.ForeignKeyConstraint(["store_id"], ["stores.id"], name=f"fk_{table}_store_id")
    return [sa.Column("store_id", BIG_ID, nullable=False), key]


def _create_shops() -> None:
    op.create_table(
        "shops",
        *_id("shops"),
        *_store("shops"),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("api", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("consumer_key", sa.Text(), nullable=False),
        sa.Column("consumer_secret", sa.Text(), nullable=False),
        sa.Column("can_write", sa.Boolean(), nullable=False),
        sa.Column("page_size", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("connected_at", UTCDateTime(), nullable=False),
        sa.Column("highest_order_id", sa.BigInteger(), nullable=False),
        sa.Column("compared_until", UTCDateTime()),
        sa.Column("compare_from", UTCDateTime()),
        sa.Column("compared_at", UTCDateTime()),
        sa.Column("compared_recent_at", UTCDateTime()),
        sa.Column("compared_content_at", UTCDateTime()),
        sa.Column("compared_trash_at", UTCDateTime()),
        sa.Column("lease_ends_at", UTCDateTime()),
        sa.Column("next_round_at", UTCDateTime()),
        sa.Column("error", sa.Text()),
        sa.Column("error_kind", sa.Text()),
        sa.Column("failing_since", UTCDateTime()),
        sa.Column("refusals", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.UniqueConstraint("store_id", name="uq_shops_store_id"),
    )
    op.create_table(
        "shop_approvals",
        *_id("shop_approvals"),
        *_store("shop_approvals"),
        sa.Column("state_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.Column("used_at", UTCDateTime()),
        sa.Column("result", sa.Text()),
        sa.UniqueConstraint("state_digest", name="uq_shop_approvals_state_digest"),
    )
    op.create_index("ix_shop_approvals_store_id", "shop_approvals", ["store_id"])


def _create_webhooks() -> None:
    op.create_table(
        "shop_webhooks",
        *_id("shop_webhooks"),
        *_store("shop_webhooks"),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("webhook_id", sa.BigInteger()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("since", UTCDateTime(), nullable=False),
        sa.Column("modified", UTCDateTime()),
        sa.Column("seen_at", UTCDateTime(), nullable=False),
        sa.Column("secret_set_at", UTCDateTime()),
        sa.Column("remade", sa.JSON(none_as_null=True)),
        sa.Column("problem", sa.Text()),
        sa.UniqueConstraint("store_id", "topic", name="uq_shop_webhooks_store_id_topic"),
    )


def _create_finds() -> None:
    op.create_table(
        "finds",
        *_id("finds"),
        *_store("finds"),
        sa.Column("resource_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("delivery_id", BIG_ID),
        sa.Column("changed_at", UTCDateTime()),
        sa.Column("found_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name="fk_finds_delivery_id"),
    )
    op.create_index("ix_finds_delivery_id", "finds", ["delivery_id"])
    op.create_index("ix_finds_resource", "finds", ["store_id", "resource_id"])
    op.create_index("ix_finds_found_at", "finds", ["found_at"])


def _create_absences() -> None:
    op.create_table(
        "heartbeats",
        *_id("heartbeats"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.UniqueConstraint("name", name="uq_heartbeats_name"),
    )
    op.create_table(
        "absences",
        *_id("absences"),
        *_store("absences"),
        sa.Column("began_at", UTCDateTime(), nullable=False),
        sa.Column("ended_at", UTCDateTime(), nullable=False),
        sa.Column("settled_at", UTCDateTime()),
        sa.Column("settled_by", sa.Text()),
    )
    where = sa.text("settled_at IS NULL")
    op.create_index("ix_absences_open", "absences", ["store_id"], sqlite_where=where, postgresql_where=where)
