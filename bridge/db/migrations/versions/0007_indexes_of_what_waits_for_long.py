"""Indexes of what waits for long, or for an operator, so that counting it reads nothing else."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_deliveries_unreadable": ("deliveries", ["id"], "state = 'unreadable'"),
    "ix_deliveries_quarantined": ("deliveries", ["id"], "state = 'quarantined'"),
    "ix_orders_waiting": (
        "orders",
        ["store_id", "rule", "rule_since"],
        "rule IN ('pending', 'unknown_status')",
    ),
    "ix_orders_attention": ("orders", ["store_id", "rule_since"], "decision = 'attention'"),
    "ix_orders_inactive": ("orders", ["store_id", "delivery_id"], "rule = 'inactive'"),
}


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        for name, (table, columns, condition) in INDEXES.items():
            op.create_index(name, table, columns, sqlite_where=sa.text(condition))
        return
    with op.get_context().autocommit_block():
        # They wait for every open transaction, such as a back-up's, and nothing waits for them.
        op.execute("SET lock_timeout = 0")
        try:
            for name, (table, columns, condition) in INDEXES.items():
                # An interrupted build leaves an invalid index.
                op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
                op.create_index(
                    name, table, columns, postgresql_where=sa.text(condition), postgresql_concurrently=True
                )
        finally:
            op.execute("RESET lock_timeout")


def downgrade() -> None:
    for name, (table, _, _) in INDEXES.items():
        op.drop_index(name, table)
