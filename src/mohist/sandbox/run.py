"""The common case: start, wait with a time limit, keep a bounded output."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from mohist.sandbox.capture import Capture
from mohist.sandbox.process import Completed, Profile, Sandbox

_FLOOD_BYTES = 256 * 1024**2


async def run(
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    cwd: Path,
    profile: Profile,
    timeout_s: float = 600.0,
    output_limit_bytes: int = 1024**2,
    spill: Path | None = None,
    flood_bytes: int = _FLOOD_BYTES,
) -> Completed:
    """Runs `argv` to its end; the whole tree is gone when this returns, raises or is cancelled.

    Args:
        timeout_s: then the tree is killed and `timed_out` is True.
        output_limit_bytes: kept in the result, head and tail.
        spill: a new file for all of the output.
        flood_bytes: a tree that writes more is killed, and `exit.denied` says so.
    """
    started_s = time.monotonic()
    capture = Capture(output_limit_bytes, spill)
    timed_out = flooded = False
    try:
        process = await sandbox.launch(argv, cwd=cwd, profile=profile)
        try:
            with anyio.move_on_after(timeout_s) as scope:
                async for chunk in process.output():
                    capture.add(chunk)
                    if capture.total_bytes > flood_bytes:
                        flooded = True
                        break
                if not flooded:
                    await process.wait()
            timed_out = scope.cancelled_caught
        finally:
            await process.kill()
        exited = await process.wait()
    finally:
        capture.close()
    if flooded:
        exited = replace(exited, denied=f"output of more than {flood_bytes} bytes")
    return Completed(
        exit=exited,
        output=capture.content(),
        truncated=capture.truncated,
        timed_out=timed_out,
        duration_ms=int((time.monotonic() - started_s) * 1000),
    )
