"""GitHub, GitLab or Gitea over HTTP on loopback, in front of a real bare repository; held to what the vendor publishes.

`tests/data/forge/<kind>.json` says which routes, queries, bodies, statuses and fields there are. A call or an answer that it
does not know is a fault, of the code or of this fake; a test ends with `faults` empty.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["github", "gitlab", "gitea"]
KINDS: Final[tuple[Kind, ...]] = ("github", "gitlab", "gitea")
TOKEN: Final = "tok" + "en-of-the-forge"
PROJECT: Final = "acme/shop"
_DATA: Final = Path(__file__).parent.parent / "data" / "forge"
_TYPES: Final = {"string": str, "integer": int, "boolean": bool, "object": dict, "null": type(None)}
_EVERYWHERE: Final = frozenset({401, 403, 404, 429, 500, 502, 503})


@dataclass
class Pull:
    """A request as the fake keeps it."""

    number: int
    head: str
    base: str
    title: str
    body: str
    state: Literal["open", "closed", "merged"] = "open"
    merged: str = ""
    last: str = ""
    """The head's commit when it was merged."""
    checks: dict[str, str] = field(default_factory=dict)
    """Name to passed, pending, failed."""
    objecting: str = ""
    blocked: bool = False
    comments: list[str] = field(default_factory=list)
    stays: str = ""
    """Why it can't be closed."""


class FakeForge:
    """One project."""

    def __init__(self, kind: Kind, bare: Path) -> None:
        self.kind, self.bare = kind, bare
        self.pulls: list[Pull] = []
        self.issues: dict[int, tuple[str, str | None]] = {}
        self.faults: list[str] = []
        self.calls: list[str] = []
        self.new_checks: dict[str, str] = {"build": "passed"}
        self.down: list[tuple[int, dict[str, str], bytes]] = []
        """Answers that are given instead of its own: status, headers, body."""
        self.lose: set[str] = set()
        """Calls whose answer is lost once, such as `POST`; they are carried out."""
        self.slow_to_see = False
        """It says nothing of whether a request merges."""
        self._contract = json.loads((_DATA / f"{kind}.json").read_text(encoding="utf-8"))["operations"]
        forge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                forge._serve(self)

            do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 - the names that the server looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)

    def git(self, *args: str) -> str:
        who = ("-c", "user.name=forge", "-c", "user.email=forge@example.invalid")
        done = subprocess.run(["git", *who, "-C", str(self.bare), *args], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("content-length") or 0)
        body = json.loads(handler.rfile.read(size)) if size else None
        method, address = str(handler.command), urlsplit(handler.path)
        self.calls.append(f"{method} {address.path}")
        headers: dict[str, str] = {}
        named = handler.headers.get("private-token") or handler.headers.get("authorization", "").rpartition(" ")[2]
        if self.down:
            status, headers, data = self.down.pop(0)
        elif named != TOKEN:
            status, data = 401, b'{"message": "Bad credentials"}'
        else:
            # Other clients of GitLab's put this before; ours has it in the address that it is given.
            path = address.path.removeprefix("/api/v4")
            status, said = self._checked(method, path, parse_qs(address.query), body)
            data = b"" if said is None else json.dumps(said).encode()
            if method in self.lose:
                self.lose.discard(method)
                handler.close_connection = True
                return
        handler.send_response(status)
        for name, value in {"content-length": str(len(data)), "content-type": "application/json", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    def _checked(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        for name, operation in self._contract.items():
            verb, _, template = name.partition(" ")
            # Before the segments are unquoted: a project's slash is quoted in GitLab's addresses.
            pattern = re.sub(r"\\\{\w+\\\}", "([^/]+)", re.escape(template))
            found = re.fullmatch(pattern, path)
            if verb != method or not found:
                continue
            self._hold(name, f"query {sorted(query)}", set(query) <= set(operation["query"]))
            known = operation.get("body", {})
            for key, value in (body or {}).items():
                self._hold(name, f"body field {key}", key in known)
                if key in known:
                    self._hold(name, f"body field {key} = {value!r}", _fits(known[key], value))
            self._hold(name, "required fields", set(operation.get("required", ())) <= set(body or {}))
            parts = [unquote(part) for part in found.groups()]
            status, said = self._answer(name, parts, {key: values[0] for key, values in query.items()}, body)
            self._hold(name, f"status {status}", status in operation["statuses"] or status in _EVERYWHERE)
            if status == operation["ok"]:
                for place, form in operation["answer"].items():
                    for value in _values(said, place.split(".")):
                        self._hold(name, f"answer {place} = {value!r}", _fits(form, value))
            return status, said
        self.faults.append(f"no such route: {method} {path}")
        return 404, {"message": "Not Found"}

    def _hold(self, name: str, what: str, holds: bool) -> None:
        if not holds:
            self.faults.append(f"{name}: {what}")

    def _answer(self, name: str, parts: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        project = parts.pop(0) if self.kind == "gitlab" else f"{parts.pop(0)}/{parts.pop(0)}"
        if project != PROJECT:
            return 404, {"message": "Not Found"}
        verb, tail = name.partition(" ")[0], name.rpartition("/")[2]
        if tail in ("comments", "notes") and parts[0].isdecimal() and int(parts[0]) <= len(self.pulls):
            return self._comments(self.pulls[int(parts[0]) - 1], verb, query, body)
        if "/issues/" in name:
            return self._issue(int(parts[0]))
        if "/commits/" in name:
            return 200, self._of_commit(parts[0], tail)
        if verb == "GET" and not parts:
            return 200, [self._said(pull) for pull in reversed(self.pulls) if self._listed(pull, query)]
        if verb == "POST" and not parts:
            return self._create(body)
        if not parts[0].isdecimal() or int(parts[0]) > len(self.pulls):
            return 404, {"message": "Not Found"}
        pull = self.pulls[int(parts[0]) - 1]
        if tail == "reviews":
            asks = "CHANGES_REQUESTED" if self.kind == "github" else "REQUEST_CHANGES"
            row = {"state": asks, "user": {"login": pull.objecting}, "dismissed": False, "stale": False}
            return 200, [row] if pull.objecting else []
        if tail == "merge":
            return self._merge(pull, str((body or {}).get("sha") or (body or {}).get("head_commit_id") or ""))
        if verb in ("PATCH", "PUT"):
            return self._close(pull, body)
        return 200, self._said(pull)

    def _issue(self, number: int) -> tuple[int, Any]:
        if number not in self.issues:
            return 404, {"message": "Not Found"}
        title, text = self.issues[number]
        url = f"{self.api}/{PROJECT}/issues/{number}"
        return 200, {"number": number, "iid": number, "title": title, "html_url": url, "web_url": url,
                     "body": text if self.kind != "gitea" else text or "", "description": text}  # fmt: skip

    def _listed(self, pull: Pull, query: dict[str, str]) -> bool:
        head = query.get("head", query.get("source_branch", pull.head)).rpartition(":")[2]
        base = query.get("base", query.get("base_branch", query.get("target_branch", pull.base)))
        return (head, base) == (pull.head, pull.base) and query.get("page", "1") == "1"

    def _create(self, body: Any) -> tuple[int, Any]:
        head, base = body.get("head") or body["source_branch"], body.get("base") or body["target_branch"]
        if any((pull.head, pull.base, pull.state) == (head, base, "open") for pull in self.pulls):
            return (422 if self.kind == "github" else 409), {"message": "a pull request already exists"}
        if not self._tip(head):
            return 422, {"message": "no such branch"}
        text = body.get("body") or body.get("description") or ""
        pull = Pull(len(self.pulls) + 1, head, base, body["title"], text, checks=dict(self.new_checks))
        self.pulls.append(pull)
        return 201, self._said(pull)

    def _comments(self, pull: Pull, verb: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if verb == "POST":
            pull.comments.append(body["body"])
            return 201, {"id": len(pull.comments), "body": body["body"]}
        rows = [{"id": n, "body": text, "system": False} for n, text in enumerate(pull.comments, 1)]
        if self.kind == "gitea":
            return 200, rows
        size, page = int(query.get("per_page", "20")), int(query.get("page", "1"))
        rows = rows if self.kind == "github" else rows[::-1]
        return 200, rows[size * (page - 1) : size * page]

    def _close(self, pull: Pull, body: Any) -> tuple[int, Any]:
        if pull.stays or pull.state == "merged":
            told = pull.stays or "cannot change state of this pull request, it was already merged"
            return {"github": 422, "gitea": 412, "gitlab": 422}[self.kind], {"message": told}
        if body in ({"state": "closed"}, {"state_event": "close"}):
            pull.state, pull.last = "closed", self._tip(pull.head)
        return (201 if self.kind == "gitea" else 200), self._said(pull)

    def _merge(self, pull: Pull, expected: str) -> tuple[int, Any]:
        head = self._tip(pull.head)
        if pull.state != "open":
            return 405, {"message": "Pull Request is not mergeable"}
        if expected and head != expected:
            return 409, {"message": "Head branch was modified. Review and try the merge again."}
        if pull.blocked:
            return 405, {"message": "At least 1 approving review is required"}
        tree = self.git("merge-tree", "--write-tree", self._tip(pull.base), head)
        if not tree:
            return 405, {"message": "conflict"}
        base = self._tip(pull.base)
        pull.merged = self.git("commit-tree", tree, "-p", base, "-p", head, "-m", f"Merge #{pull.number}")
        self.git("update-ref", f"refs/heads/{pull.base}", pull.merged, base)
        pull.state, pull.last = "merged", head
        if self.kind == "gitea":
            return 200, None
        if self.kind == "github":
            return 200, {"sha": pull.merged, "merged": True, "message": "Pull Request successfully merged"}
        return 200, self._said(pull)

    def _said(self, pull: Pull) -> dict[str, Any]:
        head = pull.last or self._tip(pull.head)
        merges = bool(self.git("merge-tree", "--write-tree", self._tip(pull.base), head)) if head else False
        is_open, is_merged = pull.state == "open", pull.state == "merged"
        url = f"{self.api}/{PROJECT}/pull/{pull.number}"
        if self.kind == "gitlab":
            status = (
                "checking" if self.slow_to_see
                else "conflict" if not merges
                else "not_approved" if pull.blocked
                else "requested_changes" if pull.objecting
                else "mergeable"
            )  # fmt: skip
            named = {"passed": "success", "pending": "running", "failed": "failed"}
            return {
                "iid": pull.number, "web_url": url, "state": "opened" if is_open else pull.state, "sha": head,
                "merge_commit_sha": pull.merged or None, "squash_commit_sha": None, "description": pull.body,
                "source_branch": pull.head, "detailed_merge_status": status,
                "head_pipeline": {"status": named[next(iter(pull.checks.values()))]} if pull.checks else None,
            }  # fmt: skip
        said = {
            "number": pull.number, "html_url": url, "state": "open" if is_open else "closed", "body": pull.body,
            "head": {"ref": pull.head, "sha": head}, "base": {"ref": pull.base}, "draft": False,
        }  # fmt: skip
        if self.kind == "gitea":
            return {**said, "merged": is_merged, "merge_commit_sha": pull.merged or "", "mergeable": merges and is_open}
        state = "unknown" if self.slow_to_see else "dirty" if not merges else "blocked" if pull.blocked else "clean"
        return {
            **said,
            "merged_at": "2026-01-01T00:00:00Z" if is_merged else None,
            "merge_commit_sha": pull.merged or None,
            "mergeable_state": state,
        }

    def _of_commit(self, commit: str, tail: str) -> Any:
        checks = next((pull.checks for pull in reversed(self.pulls) if self._tip(pull.head) == commit), {})
        if tail == "check-runs":
            ends = {"passed": "success", "failed": "failure", "pending": None}
            return {"check_runs": [
                {"name": name, "status": "in_progress" if state == "pending" else "completed", "conclusion": ends[state]}
                for name, state in checks.items()
            ]}  # fmt: skip
        named = {"passed": "success", "failed": "failure", "pending": "pending"}
        key = "status" if self.kind == "gitea" else "state"
        rows = [{"context": name, key: named[state]} for name, state in checks.items()] if self.kind == "gitea" else []
        return {"statuses": rows}

    def _tip(self, branch: str) -> str:
        return self.git("rev-parse", "--quiet", "--verify", f"refs/heads/{branch}")


def _fits(form: dict[str, Any], value: Any) -> bool:
    types = tuple(_TYPES[name] for name in form["type"].split("|"))
    return isinstance(value, types) and (value is None or "enum" not in form or value in form["enum"])


def _values(said: Any, path: list[str]) -> list[Any]:
    if not path:
        return [said]
    if path[0] == "[]":
        return [value for one in said for value in _values(one, path[1:])]
    # Missing is not null: a marker that fits no type.
    return _values(said[path[0]], path[1:]) if isinstance(said, dict) and path[0] in said else [b"missing"]
