"""The time in which a governed client runs: its streams, the signals that reach Mohist meanwhile, and its end."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio

from mohist.app.govern.descriptor import give
from mohist.app.govern.pause import Pause, asks_to_pause
from mohist.app.govern.pipe import Pipes
from mohist.app.govern.terminal import Terminal
from mohist.sandbox import Bubblewrap, Exit, Profile
from mohist.sandbox.tree import BubblewrapProcess

_DRAIN_S: Final = 2.0
"""How long output is passed on after the end; only a descriptor that was passed out of the sandbox keeps it open."""
# The sandbox's own commands run for a machine; a person's client does not.
_FOR_MACHINES: Final = ("CI", "NO_COLOR")
_TERMINAL: Final = ("TERM", "COLORTERM")
"""What of the person's environment a client in a terminal gets."""


async def in_terminal(
    sandbox: Bubblewrap,
    argv: Sequence[str],
    cwd: Path,
    profile: Profile,
    terminal: Terminal,
    variables: Mapping[str, str],
) -> tuple[Exit, bool]:
    """Runs a client in a person's terminal.

    Args:
        terminal: entered already.
        variables: the person's environment.

    Returns:
        How it ended, and whether a signal to Mohist ended it.

    Raises:
        SandboxError: it can't be started confined.
    """
    env = {**profile.env, **{name: variables[name] for name in _TERMINAL if name in variables}}
    profile = replace(profile, env=env, terminal=terminal.slave)
    async with await sandbox.launch(argv, cwd=cwd, profile=profile) as process:
        terminal.lent()
        terminal.raw()
        pause = Pause(terminal, process.pid)

        async def carry() -> None:
            async with anyio.create_task_group() as group:

                def typed(keys: bytes) -> None:
                    if asks_to_pause(keys):
                        group.start_soon(pause.follow)

                await terminal.carry(typed)
                group.cancel_scope.cancel()

        return await _to_the_end(process, carry, (signal.SIGTERM, signal.SIGHUP), -1)


async def in_pipes(
    sandbox: Bubblewrap, argv: Sequence[str], cwd: Path, profile: Profile, pipes: Pipes, errors: int
) -> tuple[Exit, bool]:
    """Runs a client without a terminal; see `in_terminal`.

    Args:
        pipes: entered already.
        errors: where the sandbox's own words go.
    """
    command = pipes.wrapped([*without(_FOR_MACHINES), *argv])
    async with await sandbox.launch(command, cwd=cwd, profile=profile) as process:
        return await _to_the_end(process, pipes.carry, (signal.SIGTERM, signal.SIGHUP, signal.SIGINT), errors)


async def _to_the_end(
    process: BubblewrapProcess, carry: Callable[[], Awaitable[None]], heard: Sequence[signal.Signals], errors: int
) -> tuple[Exit, bool]:
    stopped = False
    carried = anyio.Event()

    async def pass_on() -> None:
        await carry()
        carried.set()

    async def say() -> None:
        async for chunk in process.output():
            if errors >= 0:
                await give(errors, chunk)

    async def stop() -> None:
        nonlocal stopped
        with anyio.open_signal_receiver(*heard) as signals:
            async for _ in signals:
                stopped = True
                # By itself it would get no signal: its tree has a session of its own.
                await process.kill()
                return

    async with anyio.create_task_group() as group:
        for work in (pass_on, say, stop):
            group.start_soon(work)
        ended = await process.wait()
        with anyio.move_on_after(_DRAIN_S):
            await carried.wait()
        group.cancel_scope.cancel()
    return ended, stopped


def without(names: Sequence[str]) -> list[str]:
    """What stands before a command to take variables of the sandbox's away from it."""
    return ["/usr/bin/env", *(word for name in names for word in ("-u", name))]
