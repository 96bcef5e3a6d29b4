"""Examples in the API's description, made from the shapes themselves so that they can't go stale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_PLAIN: Final[Mapping[str, Any]] = {
    "key_id": "key-01jd0000000000000a",
    "call_id": "call-01jd0000000000000b",
    "user": "ann",
    "project": "shop",
    "team": "core",
    "name": "ann",
    "subject": "user",
    "period": "month",
    "roles": ["caller"],
    "models": ["qwen*"],
    "clients": [],
    "dialects": [],
    "created_at": "2026-11-01T09:00:00Z",
    "started_at": "2026-11-01T09:00:00.000Z",
    "renews_at": "2026-12-01T00:00:00Z",
    "at": "2026-11-01T09:00:00Z",
    "since": "2026-11-01T09:00:00Z",
    "secret": "mhk-…",
    "next": None,
    "limit_microusd": 50_000_000,
    "spent_microusd": 1_250_000,
    "cost_microusd": 1_250,
    "number": 7,
    "door": "api",
    "model": "qwen3-coder",
    "model_asked": "qwen3-coder",
    "model_served": "qwen3-coder",
    "status": 200,
    "verdict": "allowed",
    "upstream": "our-own",
    "address": "https://models.example.com/v1",
    "label": "vendor 2026-11-01",
    "in_force": "vendor 2026-11-01",
    "basis": "vendor",
    "peak_windows_utc": [],
    "peak_tiers": [],
    "contracts": [],
    "origin": "gateway-policy.toml",
    "timezone": "UTC",
    "id": "no-search",
    "effect": "forbid",
    "reason": "Searches leave the house.",
    "reads": ["tools"],
    "rules": ["no-search"],
    "upstreams_away": [],
    "version": "1.0.0",
    "code": "not_found",
    "message": "There is no such thing.",
}
"""By the name of a field; used where it fits the field's type."""


def illustrate(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Puts an example beside the body that an operation takes and the one that it answers."""
    answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    for part, sparse in [(operation.get("requestBody", {}), True), *((answer, False) for answer in answers)]:
        media = part.get("content", {}).get("application/json")
        if media is not None and "$ref" in media.get("schema", {}):
            media["example"] = _example("", media["schema"], schemas, sparse=sparse)


def _example(name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any], *, sparse: bool) -> Any:
    """A value that fits.

    Args:
        name: of the field.
        schema: of the value.
        schemas: those that it refers to.
        sparse: leave out what need not be said and has no example of its own.
    """
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return _example(name, schemas[schema["$ref"].rpartition("/")[2]], schemas, sparse=sparse)
    kinds = schema.get("anyOf", [schema])
    plain = _PLAIN.get(name)
    if name in _PLAIN and any(_fits(plain, kind) for kind in kinds):
        return plain
    if {"type": "null"} in kinds:
        return None
    kind = kinds[0]
    if "enum" in kind:
        return kind["enum"][0]
    if kind.get("type") == "object":
        needed = kind.get("required", ())
        fields = kind.get("properties", {}).items()
        said = [(key, field) for key, field in fields if not sparse or key in needed or "examples" in field]
        return {key: _example(key, field, schemas, sparse=sparse) for key, field in said}
    if kind.get("type") == "array":
        return [_example("", kind["items"], schemas, sparse=sparse)]
    return {"string": "", "integer": 0, "number": 0, "boolean": False}[kind["type"]]


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    kinds = {str: "string", int: "integer", list: "array", type(None): "null"}
    same = schema.get("type") == kinds[type(value)]
    return same and not (value and schema.get("items", {}).get("$ref"))
