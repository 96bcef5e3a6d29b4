"""Agent runs as a delivery needs them: begun once for each key, resumed after a kill, remembered when they are over.

jobs/<digest of the key>.run     the run that works on it; on disk before the run's first effect
jobs/<digest of the key>.json    its outcome; from then on nothing is run for this key again
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

import anyio

from mohist.agent.errors import RunError, UnpricedError
from mohist.app.errors import ConfigError
from mohist.app.launch import Launch, launch
from mohist.app.result import RunResult
from mohist.delivery.port import Job, Outcome
from mohist.event import Event, EventSink, RunStarted

MAX_OUTPUT_BYTES = 1024 * 1024
"""Of the file that a run leaves; a spec or a review is a few kilobytes."""


class AgentMind:
    """Fulfils `delivery.port.Mind` with Mohist's own agent.

    Nobody is asked while a run goes: what its mode does not allow is denied, and the result says so.

    Args:
        folder: where the outcomes are kept.
        emit: told what runs do.
        model_of: the model for a job; None takes the configured one.
        record_of: where the job's model calls are recorded; None: nowhere.
        unpriced: whether a job with a bound on money may run on a model whose price nobody knows.
    """

    def __init__(
        self,
        folder: Path,
        emit: EventSink,
        model_of: Callable[[Job], str | None] = lambda _job: None,
        record_of: Callable[[Job], Path | None] = lambda _job: None,
        unpriced: Literal["held", "free"] = "held",
    ) -> None:
        self._folder = folder
        self._emit = emit
        self._model_of = model_of
        self._record_of = record_of
        self._unpriced = unpriced

    async def run(self, job: Job) -> Outcome:
        """Runs, resumes, or gives the recorded outcome of `job.key`.

        Raises:
            MohistError: no run could be started: no model, no sandbox, a busy tree.
        """
        name = sha256(job.key.encode()).hexdigest()[:32]
        done, begun = self._folder / f"{name}.json", self._folder / f"{name}.run"
        if (known := await anyio.to_thread.run_sync(_outcome, done)) is not None:
            return known
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        result = await self._launch(job, begun)
        outcome = Outcome(
            run_id=result.run_id,
            status=result.status,
            summary=result.summary or result.detail,
            model=result.model,
            cost_microusd=result.cost_microusd,
            tokens=result.input_tokens + result.cache_read_tokens + result.cache_write_tokens + result.output_tokens,
            output=await anyio.to_thread.run_sync(_left, job),
        )
        if result.status not in ("cancelled", "no_model"):  # both may go on later, from where they stopped
            await anyio.to_thread.run_sync(_keep, done, job, outcome)
        return outcome

    async def _launch(self, job: Job, begun: Path) -> RunResult:
        def emit(event: Event) -> None:
            if isinstance(event, RunStarted) and not event.resumed:
                _write(begun, event.run_id)
            self._emit(event)

        flags: dict[str, object] = {"mode": "auto", "checks": list(job.checks) or None}
        if job.cost_microusd is not None:
            flags["max_cost_usd"] = job.cost_microusd / 1e6
        if job.seconds is not None:
            flags["timeout_s"] = float(job.seconds)
        request = Launch(
            job.task,
            job.folder,
            self._model_of(job),
            {k: v for k, v in flags.items() if v},
            record=self._record_of(job),
            delivery=job.key.partition("/")[0],
        )
        try:
            return await self._begin(request, begun, emit)
        except UnpricedError as error:
            if self._unpriced != "free":
                raise UnpricedError(error.what, f'{error.mend} Or let it count nothing: unpriced = "free".') from None
        flags.pop("max_cost_usd")
        return await self._begin(replace(request, flags={k: v for k, v in flags.items() if v}), begun, emit)

    async def _begin(self, request: Launch, begun: Path, emit: EventSink) -> RunResult:
        run_id = await anyio.to_thread.run_sync(_begun, begun)
        if not run_id:
            return await launch(request, emit, None, None)
        try:
            return await launch(
                Launch("", request.cwd, request.model, resume=run_id, delivery=request.delivery), emit, None, None
            )
        except UnpricedError:
            raise
        except (ConfigError, RunError):
            # Killed before its log began, or its log is lost: nothing of it had an effect, so it begins anew.
            return await launch(request, emit, None, None)


def _outcome(path: Path) -> Outcome | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Outcome(**kept["outcome"])


def _begun(path: Path) -> str:
    """The run that works on the job; empty when none does."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _keep(path: Path, job: Job, outcome: Outcome) -> None:
    kept = {"key": job.key, "role": job.role, "outcome": asdict(outcome)}
    _write(path, json.dumps(kept))
    if job.output:
        (job.folder / job.output).unlink(missing_ok=True)


def _left(job: Job) -> str | None:
    """The file that the run left; None when there is none that can be read as text."""
    if not job.output:
        return None
    path = job.folder / job.output
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_OUTPUT_BYTES:
        return None
    return path.read_text(encoding="utf-8", errors="replace")


def _write(path: Path, text: str) -> None:
    """The whole text or nothing, on disk when it returns."""
    fresh = path.with_suffix(".tmp")
    with open(fresh, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
