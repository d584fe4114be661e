"""No two stores whose orders go to one Woocommerce object, since each order would be issued twice."""

import sqlalchemy as sa
from alembic import op

from bridge.db.errors import LedgerNotMigratableError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAME = "uq_stores_woocommerce_id"
IN_USE = sa.text("removed_at IS NULL")


def upgrade() -> None:
    _require_one_each()
    op.create_index(
        NAME, "stores", ["woocommerce_id"], unique=True, sqlite_where=IN_USE, postgresql_where=IN_USE
    )


def downgrade() -> None:
    op.drop_index(NAME, "stores")


def _require_one_each() -> None:
    stores = sa.table("stores", sa.column("name"), sa.column("woocommerce_id"))
    rows = op.get_bind().execute(sa.select(stores.c.woocommerce_id, stores.c.name).where(IN_USE)).all()
    names: dict[str, list[str]] = {}
    for woocommerce_id, name in rows:
        names.setdefault(woocommerce_id, []).append(name)
    for woocommerce_id, several in sorted(names.items()):
        if len(several) > 1:
            raise LedgerNotMigratableError(
                f"The stores {' and '.join(sorted(several))} have their orders go to one Woocommerce object, "
                f"{woocommerce_id}, so that an order delivered to both is issued twice. Nothing is migrated. "
                "With the version that ran until now, and that goes on, remove all but one of them "
                "(spacebridge stores remove NAME), then type `spacebridge db upgrade` again."
            )
