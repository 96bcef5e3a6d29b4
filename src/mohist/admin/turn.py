"""What every operation gets, and what is checked before one is run: the role, and that nothing unknown is asked."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from mohist.admin.desk import DESK, WHO, Desk
from mohist.admin.fault import FaultError
from mohist.gateway.call import Principal

ROLE: Final = "x-mohist-role"
READS: Final[Mapping[str, Any]] = {"openapi_extra": {ROLE: "auditor"}}
"""Of an operation that changes nothing."""
CHANGES: Final[Mapping[str, Any]] = {"openapi_extra": {ROLE: "admin"}}


@dataclass(frozen=True, slots=True)
class Turn:
    """One request of somebody who may make it."""

    desk: Desk
    who: Principal


def _turn(request: Request) -> Turn:
    return Turn(request.scope[DESK], request.scope[WHO])


Here = Annotated[Turn, Depends(_turn)]


class Operation(APIRoute):
    """A path and method that is run for those whose role it names; one that names none is for admins."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        needed = (self.openapi_extra or {}).get(ROLE, "admin")
        name_here = self.name

        async def checked(request: Request) -> Response:
            roles = request.scope[WHO].roles
            if "admin" not in roles and needed not in roles:
                raise FaultError(403, "This key may only read; a change needs one with the role admin.")
            known = request.app.state.queries[name_here]
            for name in request.query_params:
                if name not in known:
                    near = difflib.get_close_matches(name, known, n=1)
                    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known) or 'none'}."
                    raise FaultError(
                        422, f"The query has a parameter that this operation does not know. {hint}", "query"
                    )
            return await handle(request)

        return checked
