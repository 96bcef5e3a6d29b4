"""The admin API as one application, and its description in OpenAPI."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from mohist.admin.example import illustrate
from mohist.admin.fault import CODES, FaultError, body
from mohist.admin.operation import budget, event, finding, health, key, policy, register, route, usage
from mohist.admin.shape import ErrorBody
from mohist.gateway.errors import ConflictError, NotThereError, StoreError
from mohist.ledger import LedgerError
from mohist.policy import RuleError

_log = logging.getLogger(__name__)

BASE: Final = "/admin/v1"
VERSION: Final = "1.2"
"""Of the API, not of the program: the second number goes up when something is added, the first with the path."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_ABOUT: Final = """\
Looks after a running gateway: keys, budgets, the software register, usage, routes, rules, prices. Every request shows a key with the role
`admin` or `auditor` as a bearer token; `mohist keys create --user NAME --role admin` makes the first one. Each operation
says by `x-mohist-role` which it needs. Errors are all of one shape and never repeat what was sent."""
_SAID: Final = {
    401: "No key, or one that is unknown, revoked or expired.",
    403: "The key's role does not allow it.",
    404: "There is no such thing.",
    409: "What is there does not allow it.",
    412: "It was changed since it was read.",
    413: "The request is too large.",
    422: "The request says what it may not; nothing was done.",
    429: "Too many requests without a right key.",
    503: "The gateway can't do it at present; try again.",
}
_COMMON: Final = (401, 403, 413, 422, 429, 503)


def build() -> FastAPI:
    """The application; what it works with comes in each request's scope."""
    app = FastAPI(
        title="Mohist admin API",
        version=VERSION,
        description=_ABOUT,
        license_info={"name": "Apache-2.0"},
        openapi_url=None,  # an operation like any other, for those who may
        docs_url=None,  # these would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_id,
        responses={status: {"model": ErrorBody, "description": _SAID[status]} for status in _COMMON},
    )
    for part in (key, budget, usage, event, finding, register, route, policy, health):
        app.include_router(part.router, prefix=BASE)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(FaultError, _fault)
    app.add_exception_handler(StoreError, _store)
    app.add_exception_handler(RuleError, _rule)
    app.add_exception_handler(LedgerError, _ledger)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    made = describe(app)
    app.openapi = lambda: made  # type: ignore[method-assign]
    app.state.queries = {
        operation["operationId"]: sorted(one["name"] for one in operation.get("parameters", ()) if one["in"] == "query")
        for methods in made["paths"].values()
        for operation in methods.values()
    }
    return app


def describe(app: FastAPI) -> dict[str, Any]:
    """The description, with what FastAPI can't know: how a key is shown, and which refusals an operation has."""
    made = FastAPI.openapi(app)
    made["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key with the role `admin` or `auditor`."}
    }
    made["security"] = [{"key": []}]
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            names = {one["name"] for one in operation.get("parameters", ())}
            refusals = [404] if "{" in path or path.endswith("/prices") else []
            refusals += [412] if "If-Match" in names else []
            refusals += [409] if ("/keys" in path or "/register" in path) and method != "get" else []
            for status in refusals:
                operation["responses"][str(status)] = _response(status)
            illustrate(operation, made["components"]["schemas"])
            operation["responses"] = dict(sorted(operation["responses"].items()))
    made["components"]["schemas"].pop("HTTPValidationError", None)
    made["components"]["schemas"].pop("ValidationError", None)
    return made


def _response(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ErrorBody"}
    return {"description": _SAID[status], "content": {"application/json": {"schema": schema}}}


def _id(operation: APIRoute) -> str:
    return operation.name


def _told(status: int, message: str, field: str = "", headers: dict[str, str] | None = None) -> Response:
    return Response(body(CODES[status], message, field), status, headers, "application/json")


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    # A name that the client chose could be anything, a secret too; it is repeated only where it looks like a field's.
    where = [str(part) for part in first["loc"]]
    field = ".".join(part if _NAME.fullmatch(part) or part.isdigit() else "…" for part in where[:8])
    message = str(first["msg"])
    if first["type"] == "json_invalid":
        field, message = "body", "The body is no JSON."
    return _told(422, f"{message.removeprefix('Value error, ').rstrip('.')}.", field)


async def _fault(_request: Request, error: Exception) -> Response:
    assert isinstance(error, FaultError)
    return _told(error.status, error.message, error.field)


async def _store(_request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)
    if isinstance(error, NotThereError):
        return _told(404, "There is no such thing.")
    if isinstance(error, ConflictError):
        return _told(409, str(error))
    # It says where the database is, which is for the operator's log.
    _log.error("admin request failed: %s", error)
    return _told(503, "The gateway's database can't be used at present.", headers={"retry-after": "5"})


async def _ledger(_request: Request, error: Exception) -> Response:
    _log.error("admin request is not entered and was not done: %s", error)
    why = "The gateway's ledger can't take entries, and nothing is changed without one."
    return _told(503, why, headers={"retry-after": "5"})


async def _rule(_request: Request, _error: Exception) -> Response:
    return _told(422, "The call can't be described so.", "body")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _told(404, f"There is nothing at this path. See {BASE}/openapi.json.")
    if error.status_code == 405:
        allowed = sorted(
            method.upper()
            for path, methods in request.app.openapi()["paths"].items()
            if _template(path).fullmatch(request.url.path)
            for method in methods
        )
        return _told(405, "This path does not take this method.", headers={"allow": ", ".join(allowed)})
    return _told(422 if error.status_code == 400 else error.status_code, "The request can't be read.", "body")


def _template(path: str) -> re.Pattern[str]:
    """A path as the description has it; a name may hold slashes, as it is the last part."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", lambda part: ".+" if part[1] == "name" else "[^/]+", re.escape(path)))


async def _unexpected(_request: Request, _error: Exception) -> Response:
    return _told(500, "The gateway failed to do this.")
