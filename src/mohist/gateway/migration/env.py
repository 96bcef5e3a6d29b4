"""What Alembic runs: the steps, on the connection and in the transaction of `mohist.gateway.migration.upgrade`."""

from __future__ import annotations

from alembic import context
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from mohist.gateway.schema import METADATA

_connection = context.config.attributes["connection"]
_at = context.config.attributes["at"]
context.configure(connection=_connection, target_metadata=METADATA)
if _at and not inspect(_connection).has_table("alembic_version"):
    context.get_context().stamp(ScriptDirectory.from_config(context.config), _at)
with context.begin_transaction():
    context.run_migrations()
