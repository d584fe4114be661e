"""Indexes of what waits for an operator, so that counting it reads nothing else."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_deliveries_failed": ("deliveries", "state = 'failed'"),
    "ix_issuances_held": ("issuances", "state = 'held'"),
    "ix_issuances_failed": ("issuances", "state = 'failed'"),
}


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        for name, (table, condition) in INDEXES.items():
            op.create_index(name, table, ["id"], sqlite_where=sa.text(condition))
        return
    with op.get_context().autocommit_block():
        # They wait for every open transaction, such as a back-up's, and nothing waits for them.
        op.execute("SET lock_timeout = 0")
        try:
            for name, (table, condition) in INDEXES.items():
                # An interrupted build leaves an invalid index.
                op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
                op.create_index(
                    name, table, ["id"], postgresql_where=sa.text(condition), postgresql_concurrently=True
                )
        finally:
            op.execute("RESET lock_timeout")


def downgrade() -> None:
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table)
