"""Adds when a delivery looks again at something outside, and the indexes by which a worker finds what it must look at."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DELIVERIES = sa.table(
    "deliveries",
    sa.column("delivery_id", sa.Text),
    sa.column("status", sa.Text),
    sa.column("options", sa.Text),
    sa.column("look_at_ms", _WHOLE),
)


def upgrade() -> None:
    """Adds the column, fills it from the options of those that wait, and makes the indexes."""
    op.add_column("deliveries", sa.Column("look_at_ms", _WHOLE))
    db = op.get_bind()
    waiting = sa.select(_DELIVERIES.c.delivery_id, _DELIVERIES.c.options).where(_DELIVERIES.c.status == "waiting")
    for delivery_id, options in db.execute(waiting).all():
        look = json.loads(options).get("look")
        if look:
            mine = sa.update(_DELIVERIES).where(_DELIVERIES.c.delivery_id == delivery_id)
            db.execute(mine.values(look_at_ms=int(look["at_ms"])))
    op.create_index("deliveries_by_look", "deliveries", ["look_at_ms"])
    op.create_index("deliveries_by_change", "deliveries", ["status", "updated_at_ms"])
