"""Since when something waits: orders by their rule, documents, configs that are gone; refused requests."""

import sqlalchemy as sa
from alembic import op

from bridge.db.tables import UTCDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ADDED = {
    "stores": (
        ("config_missing_since", UTCDateTime()),
        ("inactive_since", UTCDateTime()),
        ("inactive_after_delivery", sa.BigInteger()),
        ("last_refused_at", UTCDateTime()),
    ),
    "orders": (("rule", sa.Text()), ("rule_since", UTCDateTime())),
    "issuances": (("due_since", UTCDateTime()),),
}
COUNTS = {"stores": ("refused_deliveries", sa.BigInteger()), "issuances": ("deferrals", sa.Integer())}


def upgrade() -> None:
    for table, columns in ADDED.items():
        for name, kind in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True))
    for table, (name, number) in COUNTS.items():
        op.add_column(table, sa.Column(name, number, nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    for table, (name, _) in COUNTS.items():
        op.drop_column(table, name)
    for table, columns in ADDED.items():
        for name, _ in columns:
            op.drop_column(table, name)
