"""What Alembic runs: the steps, on the connection and in the transaction of `mohist.delivery.migration.upgrade`."""

from __future__ import annotations

from alembic import context

from mohist.delivery.migration import VERSION_TABLE
from mohist.delivery.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
