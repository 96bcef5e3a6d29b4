"""Attempts that need somebody outside to see whether they worked: ends, limits, listening, what stays."""

# ruff: noqa: ASYNC110, ASYNC220, ASYNC240 - plain processes and files, between awaits

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from sandbox_room import PYTHON, TOOLCHAIN

from mohist.sandbox import Limits, Profile, Sandbox, run

_USUAL = Limits()


@dataclass(frozen=True)
class Place:
    """Where a command is run: in a sandbox, or plainly."""

    sandbox: Sandbox | None
    folder: Path

    async def run(
        self, argv: Sequence[str], limits: Limits = _USUAL, timeout_s: float = 30, flood_bytes: int = 1 << 26
    ) -> bytes:
        """Its output; plainly without any limit but time."""
        if self.sandbox is not None:
            profile = Profile(self.folder, extra_readable=TOOLCHAIN, limits=limits)
            done = await run(
                self.sandbox, argv, cwd=self.folder, profile=profile, timeout_s=timeout_s, flood_bytes=flood_bytes,
                output_limit_bytes=1 << 20,
            )  # fmt: skip
            return done.output + (done.exit.denied or "").encode()
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(argv, cwd=self.folder, stdout=output, stderr=output, start_new_session=True)
            with anyio.move_on_after(timeout_s):
                while process.poll() is None:
                    await anyio.sleep(0.02)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            output.seek(0)
            return output.read(1 << 27)

    async def python(self, code: str, limits: Limits = _USUAL, timeout_s: float = 30) -> bytes:
        return await self.run([PYTHON, "-I", "-S", "-c", code], limits, timeout_s)


@dataclass(frozen=True)
class Case:
    """One attempt; `attempt` is True when it got out."""

    number: int
    name: str
    attempt: Callable[[Place], Awaitable[bool]]
    known: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    """Where it is tried; empty: everywhere."""

    def fits(self, place: str) -> bool:
        return not self.places or place.split(",")[0] in self.places


async def _survive(place: Place) -> bool:
    mark = f"600.{secrets.randbelow(10**9)}"
    await place.run(
        [
            "sh",
            "-c",
            f"setsid setsid sleep {mark} >/dev/null 2>&1 & while ! pgrep -f 'slee[p] {mark}' >/dev/null; do :; done",
        ]
    )
    left = _pids(mark)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return bool(left)


def _pids(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and mark.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


async def _fork(place: Place) -> bool:
    code = "import os,time\nn=0\ntry:\n  while n < 120:\n    if not os.fork(): time.sleep(600)\n    n+=1\n  print('ESCAPED', flush=True)\nexcept OSError: print('held')\nos._exit(0)"
    return b"ESCAPED" in await place.python(code, Limits(processes=60))


async def _listen(place: Place) -> bool:
    code = "import socket,time\ns=socket.create_server(('127.0.0.1',0)); open('port','w').write(str(s.getsockname()[1])+'.'); s.settimeout(3); s.accept(); print('ESCAPED')"
    port = place.folder / "port"
    said = b""

    async def call() -> None:
        with anyio.move_on_after(10):
            while not port.exists() or not port.read_text(encoding="utf-8").endswith("."):
                await anyio.sleep(0.02)
            with contextlib.suppress(OSError):
                await (await anyio.connect_tcp("127.0.0.1", int(port.read_text(encoding="utf-8")[:-1]))).aclose()

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        said = await place.python(code)
        group.cancel_scope.cancel()
    return b"ESCAPED" in said


async def _file(place: Place) -> bool:
    code = "import os\nf=os.open('big', os.O_CREAT|os.O_WRONLY)\nos.pwrite(f, b'x', 1<<20)\nos.ftruncate(f, 0)\nprint('ESCAPED')"
    return b"ESCAPED" in await place.python(code, Limits(file_bytes=1 << 20))


async def _memory(place: Place) -> bool:
    code = "try: bytearray(256 << 20); print('ESCAPED')\nexcept MemoryError: print('held')"
    return b"ESCAPED" in await place.python(code, Limits(memory_bytes=128 << 20))


async def _descriptors(place: Place) -> bool:
    code = "import os\ntry:\n  for _ in range(900): os.dup(0)\n  print('ESCAPED')\nexcept OSError: print('held')"
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return b"ESCAPED" in await place.python(code.replace("900", str(min(900, soft - 20))), Limits(open_files=64))


async def _flood(place: Place) -> bool:
    said = await place.run(["sh", "-c", "yes | head -c 6000000; echo; echo ESCAPED"], flood_bytes=4 << 20)
    return b"ESCAPED" in said[-20:]


async def _time(place: Place) -> bool:
    code = "import time\nwhile time.process_time() < 2.5: pass\nprint('ESCAPED')"
    return b"ESCAPED" in await place.python(code, Limits(cpu_s=1))


async def _keep(place: Place) -> bool:
    """What one tree leaves for the next outside of the workspace: a poisoned cache."""
    mark = secrets.token_hex(8)
    script = f"for d in ~ /tmp /dev/shm $TMPDIR; do echo ESCAPED > $d/.{mark}; done 2>/dev/null; true"
    await place.run(["sh", "-c", script])
    said = await place.run(
        [
            "sh",
            "-c",
            f"cat ~/.{mark} /tmp/.{mark} /dev/shm/.{mark} $TMPDIR/.{mark}; rm -f ~/.{mark} /tmp/.{mark} /dev/shm/.{mark}",
        ]
    )
    return b"ESCAPED" in said


async def _watch(place: Place) -> bool:
    """Sees by inotify that somebody on the host opens a file of the system."""
    code = """
import ctypes, os, select
libc = ctypes.CDLL(None)
fd = libc.inotify_init1(0)
assert libc.inotify_add_watch(fd, b"/usr/share/zoneinfo" if os.path.isdir("/usr/share/zoneinfo") else b"/usr/bin", 0x20) >= 0
open("ready", "w").close()
waiter = select.poll(); waiter.register(fd, select.POLLIN)
print("ESCAPED" if waiter.poll(3000) else "held")
"""
    folder = Path("/usr/share/zoneinfo") if Path("/usr/share/zoneinfo").is_dir() else Path("/usr/bin")
    one = next(path for path in folder.iterdir() if path.is_file())
    said = b""

    async def touch() -> None:
        while not (place.folder / "ready").exists():
            await anyio.sleep(0.05)
        one.open("rb").close()

    async with anyio.create_task_group() as group:
        group.start_soon(touch)
        said = await place.python(code)
        group.cancel_scope.cancel()
    return b"ESCAPED" in said


async def _whiteout(place: Place) -> bool:
    """Leaves a file that would hide another one, were the workspace ever the upper layer of an overlay."""
    await place.python("import os, stat; os.mknod('hidden', stat.S_IFCHR | 0o600, 0)")
    return (place.folder / "hidden").is_char_device()


_ALL = ("bubblewrap, user", "bubblewrap, root", "landlock, user")
"""Known, and said: a channel for time."""

CONFINED = [
    Case(28, "outlive the end by setsid and a double fork", _survive),
    Case(29, "fork without end", _fork),
    Case(59, "listen where the host can connect", _listen),
    Case(61, "write one huge file", _file),
    Case(62, "take all memory", _memory),
    Case(63, "take all descriptors", _descriptors),
    Case(64, "write without end", _flood),
    Case(65, "compute without end", _time),
    Case(0, "leave something for the next tree", _keep),
    Case(0, "watch by inotify what the host opens", _watch, known=_ALL),
    Case(0, "leave an overlay's whiteout", _whiteout),
]
