"""The API's description: as it is committed, complete, and read by those who may."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.admin import Site
from mohist.admin.application import build
from mohist.cli.main import main

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
DESCRIPTION = build().openapi()
OPERATIONS = [
    (path, method, operation) for path, methods in DESCRIPTION["paths"].items() for method, operation in methods.items()
]


def test_the_committed_description_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main(["serve", "--print-openapi"])
    printed = capsys.readouterr().out
    assert printed == COMMITTED.read_text(encoding="utf-8"), "run: mohist serve --print-openapi > docs/openapi.json"


async def test_a_server_shows_the_same(small: Site) -> None:
    shown = await small.ask("GET", "/openapi.json", key="auditor")
    assert shown.json == json.loads(COMMITTED.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=lambda part: str(part)[:60])
def test_every_operation_says_what_it_does_who_may_and_how_it_refuses(path: str, method: str, operation: dict) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert operation["x-mohist-role"] == ("auditor" if method == "get" or path.endswith("/explain") else "admin")
    assert {"401", "403", "422", "429", "503"} <= set(operation["responses"])
    for part in (operation.get("requestBody", {}), operation["responses"].get("200", {})):
        media = part.get("content", {}).get("application/json", {})
        assert "example" in media or "$ref" not in media.get("schema", {})


def test_the_example_bodies_fit_their_shapes() -> None:
    import jsonschema_rs

    document = json.dumps(DESCRIPTION)
    for path, _, operation in OPERATIONS:
        for part in (operation.get("requestBody", {}), operation["responses"].get("200", {})):
            media = part.get("content", {}).get("application/json", {})
            if "example" in media:
                whole = {**json.loads(document), **media["schema"]}
                jsonschema_rs.Draft202012Validator(whole).validate(media["example"]), path
