"""Pipelines of three forges: started once, found again by the release's id, followed to their end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from mohist.delivery.errors import TargetError, UnreachableError
from mohist.delivery.target import ReleaseFacts
from mohist.delivery.target.ci import CiTarget
from mohist.delivery.target.probe import ProbeSpec

pytestmark = pytest.mark.enable_socket

Forge = Literal["github", "gitlab", "gitea"]
FORGES: tuple[Forge, ...] = ("github", "gitlab", "gitea")
TOKEN = "tok" + "en-1"


class FakeForge:
    """The endpoints that a pipeline needs, with the fields that the vendors' references name; a run ends after two looks."""

    def __init__(self, kind: Forge) -> None:
        self.kind = kind
        self.runs: list[dict[str, Any]] = []
        self.result = "success"
        self.down = 0
        self.lose_answer = False
        forge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(None)

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def _answer(self, body: Any) -> None:
                named = self.headers.get("private-token") or self.headers.get("authorization", "").removeprefix(
                    "Bearer "
                )
                if named != TOKEN:
                    status, answer = 401, {"message": "Bad credentials"}
                elif forge.down:
                    forge.down -= 1
                    status, answer = 503, {}
                else:
                    status, answer = forge.answer(self.command, urlsplit(self.path), body)
                if body is not None and forge.lose_answer:
                    forge.lose_answer = False
                    self.close_connection = True
                    return
                text = json.dumps(answer).encode() if answer is not None else b""
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(60)

    def answer(self, method: str, address: Any, body: Any) -> tuple[int, Any]:
        path = unquote(address.path)
        query = parse_qs(address.query)
        if self.kind == "gitlab":
            return self._gitlab(method, path, body)
        base = "/repos/acme/shop/actions"
        if method == "POST" and path == f"{base}/workflows/deploy.yml/dispatches":
            assert set(body) == {"ref", "inputs"}
            title = f"{body['inputs']['action']} {body['inputs']['release']}"
            self.runs.insert(0, {"title": title, "looks": 0, "inputs": body["inputs"]})
            return 204, None
        listing = f"{base}/workflows/deploy.yml/runs" if self.kind == "github" else f"{base}/runs"
        if method == "GET" and path == listing:
            assert query.get("event") in (None, ["workflow_dispatch"])
            return 200, {"total_count": len(self.runs), "workflow_runs": [self._run(run) for run in self.runs]}
        return 404, {"message": "Not Found"}

    def _run(self, run: dict[str, Any]) -> dict[str, Any]:
        run["looks"] += 1
        over = run["looks"] > 2
        return {
            "id": 1,
            "display_title": run["title"],
            "status": "completed" if over else "in_progress",
            "conclusion": self.result if over else None,
            "html_url": f"{self.address}/runs/1",
        }

    def _gitlab(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        base = "/projects/acme/shop"
        if method == "POST" and path == f"{base}/pipeline":
            assert set(body) == {"ref", "variables"}
            self.runs.insert(0, {"variables": body["variables"], "looks": 0})
            return 201, {"id": len(self.runs)}
        if path == f"{base}/pipelines":
            listed = []
            for number, run in enumerate(self.runs):
                run["looks"] += 1
                status = "running" if run["looks"] <= 2 else {"success": "success", "failure": "failed"}[self.result]
                listed.append({"id": number, "status": status, "web_url": f"{self.address}/p/{number}"})
            return 200, listed
        if path.startswith(f"{base}/pipelines/"):
            return 200, self.runs[int(path.split("/")[-2])]["variables"]
        return 404, {"message": "404 Not found"}


@pytest.fixture(params=FORGES)
def forge(request: pytest.FixtureRequest) -> Iterator[FakeForge]:
    made = FakeForge(request.param)
    yield made
    made.close()


@pytest.fixture
def target(forge: FakeForge, tmp_path: Path) -> CiTarget:
    probing = ProbeSpec(url=f"{forge.address}/health")
    memory = tmp_path / "ci"
    return CiTarget(
        forge.kind, forge.address, "acme/shop", "deploy.yml", "main", TOKEN, probing, memory, timeout_s=10, poll_s=0.01
    )


FACTS = ReleaseFacts("rel-1", "b" * 40, Path("/nonexistent"), "v1", "staging")


async def test_a_release_is_started_once_and_followed(forge: FakeForge, target: CiTarget) -> None:
    await target.prepare(FACTS)
    await target.activate(FACTS)
    await target.activate(FACTS)
    await target.commit(FACTS)
    assert len(forge.runs) == 1
    assert (await target.status()).active == "rel-1"


async def test_a_start_whose_answer_is_lost_is_found_and_not_repeated(forge: FakeForge, target: CiTarget) -> None:
    forge.lose_answer = True
    with pytest.raises(UnreachableError):
        await target.activate(FACTS)
    await target.activate(FACTS)
    assert len(forge.runs) == 1


async def test_a_pipeline_that_fails_says_where_to_look_and_rolls_back_by_another(
    forge: FakeForge, target: CiTarget
) -> None:
    forge.result = "failure"
    with pytest.raises(TargetError, match="deploy failed"):
        await target.activate(FACTS)
    forge.result = "success"
    await target.rollback(FACTS, "rel-0")
    await target.rollback(FACTS, "rel-0")
    assert len(forge.runs) == 2
    assert "rel-0" in json.dumps(forge.runs[0])
    assert (await target.status()).active == "rel-0"


async def test_a_forge_that_is_down_is_worth_another_try_and_a_wrong_token_is_not(
    forge: FakeForge, target: CiTarget
) -> None:
    forge.down = 1
    with pytest.raises(UnreachableError):
        await target.prepare(FACTS)
    wrong = CiTarget(
        forge.kind, forge.address, "acme/shop", "deploy.yml", "main", "stolen", target.probing, target.memory
    )
    with pytest.raises(TargetError, match="401") as caught:
        await wrong.prepare(FACTS)
    assert not isinstance(caught.value, UnreachableError)
    assert "stolen" not in f"{caught.value}{wrong!r}"
