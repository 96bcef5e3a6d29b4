"""Whole deliveries that workers are killed under: repositories with a service, who uses it, and what was told of it.

In a lane one delivery follows the other, each on what the one before left: it raises the sum from which orders ship free.
Every third one is sick: its checks pass, its service fails now and then once it was asked a few times.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
from ground_room import git, repository

from mohist.app import deliver
from mohist.app.office import Office
from mohist.delivery.state import Delivery
from mohist.delivery.target.probe import ProbeSpec
from mohist.delivery.target.process import ProcessTarget

SICK_EACH = 3
SHOP = "def shipping(total):\n    return 5\n"
TEST = (
    "import unittest\n\nfrom shop import shipping\n\n\n"
    "class Shipping(unittest.TestCase):\n    def test_small(self):\n        self.assertEqual(shipping(10), 5)\n"
)
SERVICE = """\
import json
import os
import random
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import shop

ASKED = []


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def do_GET(self):
        ASKED.append(1)
        sick = len(ASKED) > getattr(shop, "WELL", 1e9) and random.random() < 0.5
        body = json.dumps({"version": os.environ["MOHIST_VERSION"]}).encode()
        self.send_response(500 if sick else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
"""
RULES = """
[[environments]]
name = "staging"
target = {{kind = "process", command = "python3 app.py", listen = "127.0.0.1:{port}", drain_s = 5}}
[environments.probe]
url = "http://127.0.0.1:{port}/"
version = "json:version"
successes = 2
interval_s = 0.1
within_s = 20
bake_s = 1.5
"""
HOOK = '[[notify]]\nname = "all"\nurl_env = "ALL_HOOK"\nkinds = ["merged", "deploy", "rollback", "alarm", "done", "failed"]\n'


def requirement(number: int) -> str:
    sick = ", and fall ill" if number % SICK_EACH == 0 else ""
    return f"Ship free from {100 + number}{sick}"


def change_of(asked: str) -> str:
    """What the implementer makes of a requirement."""
    text = f"def shipping(total):\n    return 0 if total >= {_sum(asked)} else 5\n"
    return text + "\n\nWELL = 3\n" if "ill" in asked else text


def _sum(asked: str) -> int:
    return int(asked.split("from ")[1].split(",")[0])


def _specified(asked: str) -> dict[str, Any]:
    check = (
        "import sys\nsys.path.insert(0, '.')\nfrom shop import shipping\n"
        f"assert (shipping({_sum(asked) - 1}), shipping({_sum(asked)})) == (5, 0)\n"
    )
    criterion = {
        "id": "AC-1",
        "text": "WHEN an order is that large THE SYSTEM SHALL ship it for nothing.",
        "check": "python3 $SPEC/checks/free.py",
        "kind": "behaviour",
    }
    return {
        "title": "Free shipping",
        "requirement": f"{asked}.",
        "design": "One condition.",
        "non_goals": [],
        "risks": [],
        "data_touched": [],
        "irreversible": [],
        "criteria": [criterion],
        "files": [{"path": "checks/free.py", "content": check}],
    }


def _planned(_: str) -> dict[str, Any]:
    task = {"id": "T1", "title": "Ship free", "text": "Change shipping().", "needs": []}
    return {"tasks": [{**task, "may_touch": ["shop.py", "test_shop.py"], "criteria": ["AC-1"]}]}


ANSWERS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "analyst": lambda _: {"size": "small", "contradictions": [], "questions": []},
    "architect": _specified,
    "planner": _planned,
    "reviewer": lambda _: {"findings": []},
    "mender": lambda _: {"findings": []},
}
"""What each role leaves, by the requirement."""


class Ear:
    """Hears messages of the outbox; counts how often each came."""

    def __init__(self) -> None:
        self.heard: Counter[tuple[str, str]] = Counter()
        """By `X-Mohist-Event` and what it is about."""
        guard, heard = threading.Lock(), self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with guard:
                    heard[self.headers["X-Mohist-Event"], str(body.get("kind"))] += 1
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class User:
    """Asks a service again and again: which versions answered, one after the other, and what failed."""

    def __init__(self, port: int) -> None:
        self.versions: list[str] = []
        """Each as often as it came after another."""
        self.failures: Counter[str] = Counter()
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        served = False
        while not self._stop.wait(0.05):
            connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
            try:
                connection.request("GET", "/", headers={"Connection": "close"})
                answer = connection.getresponse()
                version = str(json.loads(answer.read())["version"])
                if answer.status != 200:
                    self.failures[f"{answer.status} of {version}"] += 1
                if self.versions[-1:] != [version]:
                    self.versions.append(version)
                served = True
            except (OSError, HTTPException) as error:
                # Before the first release nobody answers.
                if served:
                    self.failures[repr(error)] += 1
            finally:
                connection.close()


@dataclass
class Lane:
    """A repository with a service, and its deliveries."""

    folder: Path
    ids: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        with socket.socket() as made:
            made.bind(("127.0.0.1", 0))
            self.port = int(made.getsockname()[1])
        files: dict[str, str | None] = {"shop.py": SHOP, "test_shop.py": TEST, "app.py": SERVICE}
        self.repository = repository(self.folder, files | {".mohist/deliver.toml": RULES.format(port=self.port)})
        git(self.repository, "checkout", "--quiet", "--detach")
        self.user = User(self.port)

    async def begin(self, office: Office) -> None:
        """The next delivery."""
        options = {"yes": True, "model": "replay:/nowhere"}
        asked = deliver.Asked(requirement(len(self.ids) + 1), folder=self.repository, base="main", options=options)
        delivery, _ = await deliver.begin(office, asked, deliver.account_name())
        self.ids.append(delivery.delivery_id)

    def wrong(self, office: Office) -> list[str]:
        """Everything that is not as it would be had nobody been killed."""
        found: list[str] = []
        commits = git(self.repository, "log", "--reverse", "--format=%(trailers:key=Mohist-Delivery,valueonly)", "main")
        merged = Counter(commits.split())
        for number, delivery_id in enumerate(self.ids, start=1):
            delivery = office.book.get(delivery_id)
            for what, is_so in self._ended(office, delivery, sick=number % SICK_EACH == 0).items():
                if not is_so:
                    found.append(f"{delivery_id} ({number}): {what}; it is {delivery.status}, {delivery.detail!r}")
            if merged[delivery_id] != 2:  # its spec and its change
                found.append(f"{delivery_id}: {merged[delivery_id]} commits on main")
        branches = git(self.repository, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
        if branches != ["main"]:
            found.append(f"branches {branches}")
        found += [f"{version[:12]} served twice" for version, count in self._runs().items() if count > 1]
        return found

    def _ended(self, office: Office, delivery: Delivery, *, sick: bool) -> dict[str, bool]:
        facts = office.book.facts(delivery.delivery_id)
        told = Counter(note.kind for note in office.book.notes(delivery.delivery_id))
        end, release, word = ("failed", "rolled-back", "rollback") if sick else ("done", "committed", "deploy")
        return {
            f"not {end}": delivery.status == end and not delivery.segment,
            "not its one release": [row.status for row in facts.releases] == [release],
            "merged not told once": told["merged"] == 1,
            f"{word} not told once": told[word] == 1 and told["deploy"] + told["rollback"] + told["alarm"] == 1,
            f"{end} not told once": told[end] == 1,
            "a run paid twice": delivery.spent_tokens == sum(row.tokens for row in facts.stages) == 100 * PAID,
            "no report": (office.desk(delivery.delivery_id) / "report.md").is_file(),
        }

    def _runs(self) -> Counter[str]:
        """How often each version came to serve; a sick one leaves to the one before."""
        seen = self.user.versions
        back = Counter(after for before, after in zip(seen, seen[2:], strict=False) if before == after)
        return Counter(seen) - back


def closed(office: Office, lanes: Sequence[Lane]) -> None:
    """Ends what serves, and its users."""
    for lane in lanes:
        lane.user.close()
    for home in office.paths.home.glob("targets/*/*"):
        anyio.run(ProcessTarget(home, "", "", ProbeSpec()).end)
    office.close()


PAID = 5
"""Runs of one delivery."""


def environment(home: Path, url: str, ear: Ear) -> dict[str, str]:
    """Of the workers; the state folder is made ready for them."""
    home.mkdir(parents=True)
    (home / "deliver.toml").write_text(f'engine = "dbos"\n{HOOK}', encoding="utf-8")
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV", "PYTHONPATH") if name in os.environ}
    database = {"MOHIST_DATABASE_URL": url} if url else {}
    return kept | {"HOME": str(home.parent), "MOHIST_HOME": str(home), "ALL_HOOK": ear.url} | database


def over(office: Office, ids: list[str]) -> list[str]:
    """Those that came to an end."""
    rows = map(office.book.get, ids)
    return [row.delivery_id for row in rows if row.status in ("done", "failed", "cancelled") and not row.segment]
