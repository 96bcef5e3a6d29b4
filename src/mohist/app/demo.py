"""The demo: a sample repository with a bug, and a recorded run for machines without a model."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mohist.agent.execute import Approve
from mohist.agent.tool.ask import Reply
from mohist.app import machine as machines
from mohist.app.errors import ConfigError
from mohist.app.launch import Launch, launch, settings
from mohist.app.result import RunResult
from mohist.app.server import find_model
from mohist.event import EventSink
from mohist.provider.errors import NoModelError
from mohist.sandbox import Profile, run

SAMPLE = Path(__file__).with_name("sample")
RECORDING = SAMPLE / "recording"
REPLAYED = "model: replay of a recorded run; commands, edits and tests are real"

TASK = (
    "Three people who share a bill of 100.00 are asked for 33.33 each: a cent is lost. "
    "Find out why the shares don't add up and fix it. Refunds (negative amounts) must add up too."
)

_COMMIT = (
    "git init -q -b main tally && cd tally && git add -A && "
    "git -c user.name=tally -c user.email=tally@localhost commit -q -m 'Start tally'"
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo plays, and with which model."""

    folder: Path
    model: str
    line: str
    """First line of the demo: which model it is."""


async def prepare(model: str | None) -> Stage:
    """Makes the sample repository in a new temporary folder and picks the model: the one named, the configured
    one, else the recording.

    Raises MohistError: the sandbox does not hold here, or the model's name means nothing.
    """
    machine = machines.build(os.environ, lambda _event: None, None, None)
    try:
        room = Path(tempfile.mkdtemp(prefix="mohist-demo-")).resolve()  # noqa: ASYNC240
        folder = room / "tally"
        shutil.copytree(SAMPLE / "repository", folder)
        config, _ = settings(machine, folder, {})
        machine = machines.confined_by(machine, config.sandbox, config.readable)
        done = await run(
            machine.sandbox,
            [machine.shell, "-c", _COMMIT],
            cwd=room,
            profile=Profile(workspace=room, extra_readable=machine.readable),
            timeout_s=60,
        )
        if done.exit.code != 0:
            raise ConfigError(
                f"The sample repository could not be made: {done.output.decode(errors='replace').strip()}"
            )
        try:
            chosen = await find_model(model, config, machine.env)
        except NoModelError:
            if model:
                raise
            return Stage(folder, f"replay:{RECORDING}", REPLAYED)
        line = REPLAYED if chosen.dialect == "replay" else f"model: {chosen.name}"
        return Stage(folder, model or chosen.name, line)
    finally:
        machine.close()


async def play(
    stage: Stage, record: Path | None, emit: EventSink, approve: Approve | None, reply: Reply | None
) -> RunResult:
    """Runs the task of the demo in its repository."""
    flags = {"mode": "auto", "checks": ["python3 -m unittest -q"]}
    return await launch(Launch(TASK, stage.folder, stage.model, flags, record=record), emit, approve, reply)
