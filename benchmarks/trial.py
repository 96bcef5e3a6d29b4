"""One run of one client against the scripted model: times, memory, sizes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upstream import Upstream

from client import Client, Step, without

_LONGEST_S = 300.0
_SAMPLE_S = 0.02
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024  # getrusage(2) of each
_PROGRAM_FILES = (".py", ".pyc", ".so", ".json", ".toml", ".yaml")


@dataclass(frozen=True, slots=True)
class Trial:
    """What one run showed. Times count from just before the process is started."""

    first_request_s: float
    exit_s: float
    gaps_s: tuple[float, ...]
    peak_bytes: int
    """Most resident memory of the largest single process, as the kernel counted it."""
    tree_bytes: int
    """Most resident memory of all its processes together, sampled; 0: not asked for."""
    first_body: dict[str, Any]
    first_bytes: int
    streamed: bool


def run(
    client: Client,
    steps: Sequence[Step],
    cwd: Path,
    home: Path,
    *,
    no_bytecode: Path | None = None,
    sample: bool = False,
) -> Trial:
    """Lets `client` do `steps` in `cwd`. Raises RuntimeError when it does not come to the end of the script."""
    home.mkdir(parents=True, exist_ok=True)
    output = home / "output.txt"
    with Upstream([client.answer(step) for step in steps]) as upstream, output.open("wb") as sink:
        environment = client.environment(upstream.url, home)
        if no_bytecode is not None:
            environment = without(environment, no_bytecode)
        command = client.command(upstream.url, len(steps))
        started_s = time.monotonic()
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
        killer = threading.Timer(_LONGEST_S, process.kill)
        killer.start()
        with _tree_memory(process.pid, sample) as peak:
            _, status, usage = os.wait4(process.pid, 0)
            exit_s = time.monotonic() - started_s
        process.returncode = os.waitstatus_to_exitcode(status)
        killer.cancel()
        if process.returncode != 0 or len(upstream.exchanges) != len(steps):
            raise RuntimeError(
                f"{client.name} ended with {process.returncode} after {len(upstream.exchanges)} of {len(steps)} "
                f"requests:\n{output.read_text(errors='replace')[-2000:]}"
            )
        return Trial(
            first_request_s=upstream.exchanges[0].received_s - started_s,
            exit_s=exit_s,
            gaps_s=tuple(upstream.gaps_s()),
            peak_bytes=usage.ru_maxrss * _MAXRSS_BYTES,
            tree_bytes=peak[0],
            first_body=upstream.first_body,
            first_bytes=upstream.exchanges[0].size_bytes,
            streamed=upstream.exchanges[0].streamed,
        )


def forget(roots: Iterable[Path]) -> None:
    """Asks the kernel to drop the program files below `roots` from its cache.

    What a running process has mapped stays, the interpreter among it; so this is a cold start of the program, not
    of the machine.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                if name.endswith(_PROGRAM_FILES):
                    with contextlib.suppress(OSError):
                        descriptor = os.open(Path(folder, name), os.O_RDONLY | os.O_NOFOLLOW)
                        try:
                            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                        finally:
                            os.close(descriptor)


@contextlib.contextmanager
def _tree_memory(pid: int, wanted: bool) -> Iterator[list[int]]:
    """A list whose one number grows to the most memory that `pid` and its descendants held together."""
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(_SAMPLE_S):
            peak[0] = max(peak[0], _tree_bytes(pid))

    thread = threading.Thread(target=watch)
    if wanted:
        thread.start()
    try:
        yield peak
    finally:
        over.set()
        if wanted:
            thread.join()


def _tree_bytes(pid: int) -> int:
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="ascii").split()
        ]
    except (OSError, IndexError):  # it ended meanwhile
        return 0
    return resident + sum(_tree_bytes(child) for child in children)
