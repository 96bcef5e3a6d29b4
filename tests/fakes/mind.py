"""Runs whose outcomes were written before: by step, the part of a key after `delivery_id/attempt/`."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mohist.delivery.port import Job, Outcome

Act = Callable[[Job], Any]
"""Works in `Job.folder`; gives an `Outcome`, the text of the answer, what JSON can hold, or None for no answer."""


class ScriptedMind:
    """`mohist.delivery.port.Mind`. A step may be given a list: one entry an attempt."""

    def __init__(self, script: Mapping[str, Any]) -> None:
        self.script = dict(script)
        self.jobs: list[Job] = []
        """What was really run, in order."""
        self._known: dict[str, Outcome] = {}

    async def run(self, job: Job) -> Outcome:
        if job.key in self._known:
            return self._known[job.key]
        self.jobs.append(job)
        _, attempt, step = job.key.split("/", 2)
        # A digest at the end says only what the step is about.
        said = self.script[step if step in self.script else re.sub(r"/[0-9a-f]{12}(?=/|$)", "", step)]
        said = said[int(attempt) - 1] if isinstance(said, list) else said
        said = said(job) if callable(said) else said
        if isinstance(said, Outcome):
            outcome = dataclasses.replace(said, run_id=job.key)
        else:
            text = said if said is None or isinstance(said, str) else json.dumps(said)
            outcome = Outcome(job.key, "done", "It is all done and tested.", "scripted/one", 10, 100, text)
        self._known[job.key] = outcome
        return outcome

    @property
    def steps(self) -> list[str]:
        return [job.key.split("/", 2)[2] for job in self.jobs]

    def task(self, step: str) -> str:
        """What the run of a step was told."""
        return next(job.task for job in self.jobs if job.key.endswith(f"/{step}"))


def writes(files: Mapping[str, str | None], answer: Any = None) -> Act:
    """A run that writes files (None: removes one)."""

    def act(job: Job) -> Any:
        for name, text in files.items():
            path: Path = job.folder / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        return answer

    return act


def stops(status: Any, files: Mapping[str, str | None] | None = None) -> Act:
    """A run that ends before it is done."""

    def act(job: Job) -> Outcome:
        writes(files or {})(job)
        return Outcome("", status, "", "scripted/one", 10, 100, None)

    return act
