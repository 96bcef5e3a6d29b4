"""A shop with a requirement, and a model that plays every role of its delivery by what it is told."""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from developer import Developer, Endpoint, call, says

from fakes.upstream import Received, Reply

REQUIREMENT = "Orders of 100 or more ship free"
SHOP = {
    "shop.py": "def shipping(total):\n    return 5\n",
    "test_shop.py": (
        "import unittest\n\nfrom shop import shipping\n\n\n"
        "class Shipping(unittest.TestCase):\n    def test_small(self):\n        self.assertEqual(shipping(10), 5)\n"
    ),
}
SERVICE = """\
import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from shop import shipping


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"version": os.environ["MOHIST_VERSION"], "shipping": shipping(100)}).encode()
        self.send_response(HEALTH)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
"""
_MARKS = {
    "You prepare a change": "analyst",
    "You write the spec": "architect",
    "You plan the work": "planner",
    "You work on one task": "implementer",
    "You review a change": "reviewer",
    "You mend a change": "fixer",
}
_CHECK = "import sys\nsys.path.insert(0, '.')\nfrom shop import shipping\nassert shipping(100) == 0\n"


def shop(health: int = 200) -> dict[str, str]:
    """The files of a shop that can be deployed, and is as healthy as that."""
    return SHOP | {"app.py": SERVICE.replace("HEALTH", str(health))}


def environment(port: int, name: str = "staging", more: str = "") -> str:
    """A place on this machine."""
    return f"""
[[environments]]
name = "{name}"
{more}
target = {{kind = "process", command = "python3 app.py", listen = "127.0.0.1:{port}", drain_s = 0}}
[environments.probe]
url = "http://127.0.0.1:{port}/"
version = "json:version"
successes = 2
interval_s = 0.05
within_s = 10
bake_s = 0.2
"""


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


@dataclass
class Cast:
    """What each role answers; a test changes what it wants otherwise."""

    questions: list[dict[str, Any]] = field(default_factory=list)
    change: str = "def shipping(total):\n    return 0 if total >= 100 else 5\n"
    before: str = ""
    """A command that the implementer runs first."""
    findings: list[dict[str, Any]] = field(default_factory=list)
    heard: list[tuple[str, str]] = field(default_factory=list)
    """Role and words of each run."""

    def __call__(self, request: Received) -> Reply:
        messages = request.json["messages"]
        words = "\n".join(str(message.get("content")) for message in messages if message["role"] == "user")
        role = next((role for mark, role in _MARKS.items() if mark in words), "nobody")
        told = {"prompt_tokens": 100, "completion_tokens": 10}
        if any(message["role"] == "tool" for message in messages):
            return says("Done.", usage=told)
        self.heard.append((role, words))
        if role in ("implementer", "fixer"):
            write = f"printf %s {shlex.quote(self.change)} > shop.py"
            command = f"{self.before}\n{write}" if self.before else write
        else:
            command = f"cat > mohist-answer.json <<'END'\n{json.dumps(self.answer(role))}\nEND"
        return says("", call("shell", command=command), usage=told)

    def answer(self, role: str) -> dict[str, Any]:
        match role:
            case "analyst":
                return {"size": "small", "contradictions": [], "questions": self.questions}
            case "architect":
                return {
                    "title": "Free shipping",
                    "requirement": f"{REQUIREMENT}.",
                    "design": "One condition.",
                    "non_goals": [],
                    "risks": [],
                    "data_touched": [],
                    "irreversible": [],
                    "criteria": [
                        {
                            "id": "AC-1",
                            "text": "WHEN an order is 100 or more THE SYSTEM SHALL ship it for nothing.",
                            "check": "python3 $SPEC/checks/free.py",
                            "kind": "behaviour",
                        }
                    ],
                    "files": [{"path": "checks/free.py", "content": _CHECK}],
                }
            case "planner":
                task = {
                    "id": "T1",
                    "title": "Ship free",
                    "text": "Change shipping().",
                    "needs": [],
                    "may_touch": ["shop.py", "test_shop.py"],
                    "criteria": ["AC-1"],
                }
                return {"tasks": [task]}
            case _:
                return {"findings": self.findings}

    def roles(self) -> list[str]:
        return [role for role, _ in self.heard]


@dataclass
class Shop:
    """A developer of the shop with a model."""

    dev: Developer
    endpoint: Endpoint
    cast: Cast

    def deliver(self, *words: str) -> list[str]:
        """The words of a command that begins a delivery into branch `release`."""
        return ["deliver", "--model", self.endpoint.model, "--base", "release", *words, REQUIREMENT]

    def show(self) -> dict[str, Any]:
        told: dict[str, Any] = self.dev.mohist("deliver", "show", "last", "--json").json
        return told

    def stage(self, name: str) -> dict[str, Any]:
        rows: list[dict[str, Any]] = [row for row in self.show()["stages"] if row["stage"] == name]
        return max(rows, key=lambda row: row["attempt"])

    def leftovers(self) -> list[str]:
        """Work folders of deliveries."""
        return [str(path) for path in self.dev.home.glob("deliveries/*/ground/*/*")]

    def branches(self) -> list[str]:
        return self.dev.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()


Open = Callable[..., Shop]
