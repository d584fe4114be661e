"""Whose order it is, what a store chooses of its documents, and a place of arrival that no clock decides."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=default is None)


def _columns() -> dict[str, list[sa.Column[Any]]]:
    return {
        "stores": [
            _text("issue_from"),
            sa.Column("shop_urls", sa.JSON(none_as_null=True), nullable=True),
            _text("sub_orders", "ask"),
            _text("unpaid_on_hold", "issue"),
            _text("zero_total", "issue"),
            _text("test_orders", "skip"),
            sa.Column("invoiced_meta", sa.JSON(none_as_null=True), nullable=True),
        ],
        "deliveries": [sa.Column("arrival", sa.BigInteger(), nullable=True), _text("shop_url")],
        "orders": [
            _text("details"),
            sa.Column("deleted_arrival", sa.BigInteger(), nullable=True),
            sa.Column("is_from_before", sa.Boolean(), server_default=sa.text("true"), nullable=False),
            _text("issue_anyway_by"),
            _text("former_key"),
        ],
        "issuances": [_text("content")],
        # No constraint: the table would be locked while it is added.
        "actions": [sa.Column("order_id", BIG_ID, nullable=True)],
    }


def upgrade() -> None:
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.create_index(op.f("ix_actions_order_id"), "actions", ["order_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_actions_order_id"), "actions")
    for table, columns in _columns().items():
        for column in columns:
            op.drop_column(table, column.name)
