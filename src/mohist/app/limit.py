"""`[limits]` of `routes.toml`: the bounds of the gateway's data plane that an operator may change."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mohist.gateway.limit import ConnectionLimits, DoorSettings

_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0)]


class LimitTable(BaseModel):
    """What is left out stays as it is built in; what each means stands with the fields of the same names."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_body_bytes: _Count | None = None
    body_timeout_s: _Seconds | None = None
    body_total_s: _Seconds | None = None
    ping_after_s: _Seconds | None = None
    early_ping_after_s: Annotated[float, Field(ge=0)] | None = None
    max_calls: _Count | None = None
    max_calls_per_key: _Count | None = None
    max_buffered_bytes: _Count | None = None
    on_account_change: Literal["strip", "refuse"] | None = None
    header_timeout_s: _Seconds | None = None
    max_header_bytes: _Count | None = None
    keep_alive_s: _Count | None = None
    max_connections: _Count | None = None
    max_connections_per_peer: _Count | None = None

    def door(self) -> DoorSettings:
        """Those of the door."""
        said = self.model_dump(exclude_none=True, include={field.name for field in fields(DoorSettings)})
        return DoorSettings(**said)

    def connections(self) -> ConnectionLimits:
        """Those of the connections from clients."""
        said = self.model_dump(exclude_none=True, include={field.name for field in fields(ConnectionLimits)})
        return ConnectionLimits(**said)
