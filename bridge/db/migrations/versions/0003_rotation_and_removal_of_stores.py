"""Webhook secrets that are being rotated, stores that were removed, and what operators did to stores."""

import sqlalchemy as sa
from alembic import op

from bridge.db.tables import UTCDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("stores", sa.Column("previous_webhook_secrets", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("stores", sa.Column("webhook_secret_seen_at", UTCDateTime(), nullable=True))
    op.add_column("stores", sa.Column("removed_at", UTCDateTime(), nullable=True))
    # SQLite cannot add a constraint to an existing table: it copies the table.
    with op.batch_alter_table("actions") as actions:
        actions.add_column(sa.Column("store_id", BIG_ID, nullable=True))
        actions.create_foreign_key(op.f("fk_actions_store_id"), "stores", ["store_id"], ["id"])
        actions.create_index(op.f("ix_actions_store_id"), ["store_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("actions") as actions:
        actions.drop_index(op.f("ix_actions_store_id"))
        actions.drop_constraint(op.f("fk_actions_store_id"), type_="foreignkey")
        actions.drop_column("store_id")
    for column in ("removed_at", "webhook_secret_seen_at", "previous_webhook_secrets"):
        op.drop_column("stores", column)
