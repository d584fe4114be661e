"""Failures in a row of a store, what is due store by store, and what operators did."""

import sqlalchemy as sa
from alembic import op

from bridge.db.tables import UTCDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("stores", sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("stores", sa.Column("resumed_at", UTCDateTime(), nullable=True))
    op.add_column("issuances", sa.Column("withdrawn_by", sa.Text(), nullable=True))
    _index_due(["store_id", "next_attempt_at", "id"])
    op.create_table(
        "actions",
        sa.Column("id", BIG_ID, sa.Identity(always=False), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("delivery_id", BIG_ID, nullable=True),
        sa.Column("issuance_id", BIG_ID, nullable=True),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name=op.f("fk_actions_delivery_id")),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"], name=op.f("fk_actions_issuance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_actions")),
    )
    for column in ("delivery_id", "issuance_id"):
        op.create_index(op.f(f"ix_actions_{column}"), "actions", [column], unique=False)


def downgrade() -> None:
    op.drop_table("actions")
    _index_due(["next_attempt_at", "id"])
    op.drop_column("issuances", "withdrawn_by")
    op.drop_column("stores", "resumed_at")
    op.drop_column("stores", "failures")


def _index_due(columns: list[str]) -> None:
    op.drop_index("ix_issuances_due", "issuances")
    op.create_index(
        "ix_issuances_due",
        "issuances",
        columns,
        unique=False,
        sqlite_where=sa.text("state = 'due'"),
        postgresql_where=sa.text("state = 'due'"),
    )
