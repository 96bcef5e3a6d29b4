"""Proof at first use that the sandbox holds on this machine, and the words for it.

One confined start runs all probes of `probe.py`. Success is remembered for a day per boot, kernel, bwrap and user in
Mohist's state folder, which no sandbox can write; failure is never remembered.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mohist.sandbox.binary import Binary
from mohist.sandbox.errors import NoSandboxError, SandboxError
from mohist.sandbox.fence import Attempt, Fence, Refuse
from mohist.sandbox.layout import environment
from mohist.sandbox.process import Completed, Profile

Holds = Literal["yes", "weak", "no"]
_VALID_S = 24 * 3600
_PROBE = Path(__file__).with_name("probe.py")
PROMISES = {
    "workspace": "the workspace can be written, and new files belong to its owner",
    "host_files": "the home, keys and files outside can't be read",
    "host_writes": "nothing outside can be written",
    "protected_files": "git hooks, git configuration and agent settings are read-only, existing or not",
    "setuid_files": "no setuid file can be left behind",
    "environment": "no variable of the host comes along",
    "descriptors": "no open file comes along, stdin is empty",
    "host_processes": "processes of the host are invisible",
    "network": "no network but an empty loopback",
    "privileges": "no capability, none to be gained, a system call filter is on",
    "namespaces": "no nested namespace",
    "kernel_calls": "bpf, io_uring, keyrings, ptrace, mounts, terminal injection and odd sockets are refused",
    "host_settings": "kernel settings can't be written",
    "devices": "no disks, memory or virtual machine devices",
    "limits": "processes, files, descriptors, data and processor time are bounded",
}


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One line of `mohist doctor`."""

    name: str
    holds: Holds
    detail: str


# The second address is one that nobody has (RFC 5737).
_WAYS_OUT = """
import socket
for host, port, said in (("127.0.0.1", 3128, b"CONNECT a.example:443 HTTP/1.1\\r\\n\\r\\n"), ("198.51.100.1", 80, b"GET"), ("198.51.100.1", 4444, b""), ("a.example", 80, b"")):
    try:
        with socket.create_connection((host, port), 5) as stream:
            stream.sendall(said)
            stream.recv(1)
    except OSError:
        pass
"""

Runner = Callable[[Sequence[str], Path, Profile], Awaitable[Completed]]


async def probe_sandbox(
    run_confined: Runner, promises: Mapping[str, str] = PROMISES, owner: tuple[int, int] | None = None
) -> list[Guarantee]:
    """Starts the probes in a throw-away workspace and says what held. Raises SandboxError when they can't be run.

    Args:
        promises: the probes to run, by the name of their function in `probe.py`, and what each one shows.
        owner: who the workspace is given to; None leaves it to the caller.
    """
    room = Path(tempfile.mkdtemp(prefix="mohist-probe-"))
    home, interpreter, prefix = Path.home(), Path(sys.executable).resolve(), Path(sys.base_prefix).resolve()  # noqa: ASYNC240
    try:
        workspace, secret = room / "workspace", room / "secret"
        (workspace / ".git" / "hooks").mkdir(parents=True)
        (workspace / ".git" / "config").write_text("", encoding="utf-8")
        secret.write_text(secrets.token_hex(), encoding="utf-8")
        (workspace / "probe.py").write_bytes(_PROBE.read_bytes())
        facts = {
            "secret": str(secret),
            "home": str(home),
            "home_shown": [path.relative_to(home).parts[0] for path in (prefix, room) if path.is_relative_to(home)],
            "variables": list(environment((), (), {})),
            "network": "none",
            "probes": list(promises),
            "host_pid": os.getpid(),
        }
        if owner is not None:
            for path in (room, *room.rglob("*")):  # noqa: ASYNC240
                os.chown(path, *owner)
        # A system interpreter is there anyway, and its prefix (/usr) is too wide to be asked for.
        profile = Profile(workspace, extra_readable=() if prefix.is_relative_to("/usr") else (prefix,))
        argv = [str(interpreter), "-I", "-S", "probe.py", json.dumps(facts)]
        done = await run_confined(argv, workspace, profile)
        found = _parse(done)
        made = workspace / "made-inside"
        if not found.get("workspace") and made.exists() and made.stat().st_uid != workspace.stat().st_uid:
            found["workspace"] = f"new files belong to user {made.stat().st_uid}"
        if secret.with_name("secret.new").exists():
            found["host_writes"] = "a file was made outside the workspace"
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return [
        Guarantee(name, "no" if found.get(name, "did not run") else "yes", found.get(name, "did not run") or promise)
        for name, promise in promises.items()
    ]


async def probe_fence(run_confined: Runner) -> Guarantee:
    """Puts a fence up that refuses all, and looks whether each way out ends at it. Never raises for one that does not work."""
    seen: list[Attempt] = []
    room = Path(tempfile.mkdtemp(prefix="mohist-probe-"))
    prefix = Path(sys.base_prefix).resolve()  # noqa: ASYNC240
    try:
        async with Fence(lambda asked: Refuse("probe", f"{asked.host} is probed."), seen.append) as fence:
            shown = () if prefix.is_relative_to("/usr") else (prefix,)
            profile = Profile(room, extra_readable=shown, network="fenced", fence=fence)
            await run_confined([str(Path(sys.executable).resolve()), "-I", "-S", "-c", _WAYS_OUT], room, profile)  # noqa: ASYNC240
    except SandboxError as error:
        return Guarantee("fence", "weak", f"can't be put up here, so nothing that needs it is started: {error}")
    finally:
        shutil.rmtree(room, ignore_errors=True)
    missing = sorted({"connect", "direct", "name", "other"} - {attempt.asked.carrier for attempt in seen})
    if missing or any(attempt.outcome != "refused" for attempt in seen):
        return Guarantee("fence", "no", f"not every way out was seen: {', '.join(missing) or 'one was let through'}")
    return Guarantee(
        "fence", "yes", "by the proxy, by a bare address, by a name, by any port: each way out is judged outside"
    )


def weak_points() -> list[Guarantee]:
    """What this backend does not fully hold anywhere, said on the same screen."""
    return [
        Guarantee("memory", "weak", "bounded for each process, not for the tree as a whole"),
        Guarantee("disk", "weak", "each file is bounded, the workspace as a whole is not"),
        Guarantee("names", "weak", "settings in folders below the workspace's top are not protected"),
    ]


def refuse_unless_held(guarantees: list[Guarantee]) -> None:
    """Raises NoSandboxError naming each probe that failed."""
    failed = [f"{item.name} ({item.detail})" for item in guarantees if item.holds == "no"]
    if failed:
        raise NoSandboxError(
            f"The sandbox failed its self-test, so nothing is run: {'; '.join(failed)}.",
            "`mohist doctor` shows all probes; an update of the kernel or of bubblewrap may help.",
        )


class Memory:
    """Remembers that the probes held, for `_VALID_S`."""

    def __init__(self, state: Path | None, binary: Binary, name: str = "sandbox-selftest") -> None:
        self._path = state / "cache" / f"{name}.json" if state else None
        self._binary = binary

    def fresh(self) -> bool:
        """Whether the probes held here lately."""
        if self._path is None:
            return False
        try:
            kept = json.loads(self._path.read_bytes())
            return bool(kept["key"] == self._key() and 0 <= time.time() - kept["at_s"] < _VALID_S)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def keep(self) -> None:
        """Writes it down; a state folder that can't be written costs a self-test per start and nothing else."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps({"key": self._key(), "at_s": int(time.time())}), encoding="utf-8")
            draft.replace(self._path)
        except OSError:
            return

    def _key(self) -> str:
        program = self._binary.path.stat()
        parts = [
            Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip(),
            os.uname().release,
            f"{self._binary.path} {self._binary.version_text} {program.st_size} {program.st_mtime_ns}",
            str(os.geteuid()),
            *(str(path.stat().st_mtime_ns) for path in sorted(_PROBE.parent.glob("*.py"))),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _parse(done: Completed) -> dict[str, str]:
    try:
        found = json.loads(done.output.decode())
        return {str(name): str(text) for name, text in found.items()}
    except (ValueError, AttributeError):
        text = done.output.decode(errors="replace").strip()[-300:]
        raise SandboxError(
            f"The sandbox's self-test could not run (exit {done.exit.code}): {text!r}.",
            "`mohist doctor` says what this machine lacks.",
        ) from None
