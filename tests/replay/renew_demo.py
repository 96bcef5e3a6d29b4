"""Records the runs of the demo's two deliveries anew, with the answers below: every run is a real one of the real agent.

For when prompts, tools or the sample service say something in other words. Look at what changed before you commit it.

    python tests/replay/renew_demo.py
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import anyio

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from developer import Endpoint, call, says

from fakes.upstream import Received, Reply
from mohist.app import office as offices
from mohist.app import tour
from mohist.app.deliver import account_name
from mohist.app.mind import AgentMind
from mohist.app.office import Office, name_of_step
from mohist.app.work import go_on
from mohist.delivery.port import Job

ANSWERS = Path(__file__).with_name("demo_answers.json")
"""By chapter and role: the turns of a run, each what the model says and the calls that it makes."""
PORT = 8097
"""The recordings name it as where they come from."""
_MARKS = {
    "You prepare a change": "analyst",
    "You write the spec": "architect",
    "You plan the work": "planner",
    "You work on one task": "implementer",
    "You review a change": "reviewer",
}


class Cast:
    """Plays all roles of a chapter."""

    def __init__(self, answers: dict[str, list[dict[str, Any]]]) -> None:
        self._answers = answers

    def __call__(self, request: Received) -> Reply:
        messages = request.json["messages"]
        words = "\n".join(str(message.get("content")) for message in messages if message["role"] == "user")
        role = next((role for mark, role in _MARKS.items() if mark in words), None)
        turn = sum(message["role"] == "assistant" for message in messages)
        turns = self._answers.get(role or "", [])
        if turn >= len(turns):
            for message in messages[-3:]:
                print("unanswered:", role, turn, str(message.get("content"))[:3000], file=sys.stderr)
            return says("I don't know.")
        one = turns[turn]
        calls = [call(name, **_given(arguments)) for name, arguments in one.get("calls", [])]
        return says(one.get("text", ""), *calls, usage={"prompt_tokens": 1000 + 500 * turn, "completion_tokens": 100})


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    """What is JSON or many lines is written as such, to be read."""
    given = {}
    for name, value in arguments.items():
        lines = isinstance(value, list) and all(isinstance(line, str) for line in value)
        if isinstance(value, dict):
            given[name] = json.dumps(value, indent=1) + "\n"
        else:
            given[name] = "\n".join(value) + "\n" if lines else value
    return given


async def record(room: Path) -> None:
    answers = json.loads(ANSWERS.read_text("utf-8"))
    os.environ["MOHIST_HOME"] = str(room / "state")
    new = room

    def record_of(job: Job) -> Path:
        return new / f"{name_of_step(job.key)}.jsonl"

    offices.AgentMind = partial(AgentMind, record_of=record_of)  # type: ignore[misc, assignment]
    office = Office(os.environ)
    site = await tour.prepare(office, "replay:of nothing yet")
    try:
        for chapter in tour.CHAPTERS:
            new = room / chapter.name
            new.mkdir()
            with Endpoint(itertools.repeat(Cast(answers[chapter.name]), 200), PORT) as endpoint:
                there = tour.Site(site.room, f"{endpoint.upstream.url}/v1#engineer", site.line, site.port)
                delivery = await tour.open_chapter(office, there, chapter, account_name(), yes=True)
                delivery, _ = await go_on(office, delivery.delivery_id, _told)
            print(f"{chapter.name}: {delivery.status} {delivery.detail}")
            folder = tour.RECORDINGS / chapter.name
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(new, folder)
    finally:
        await tour.close(office, site)
        office.close()
        shutil.rmtree(site.room)


def _told(_: object, notes: Any) -> None:
    for note in notes:
        print(note.text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        anyio.run(record, Path(name))
