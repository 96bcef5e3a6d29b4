"""Landlock alone: an opt-in for machines that deny user namespaces, and weak.

Landlock takes file access, TCP, signals and abstract sockets away from a tree; it hides nothing and mounts nothing.
What it can't hold is in `_WEAK`, which `mohist doctor` shows. Nothing in Mohist chooses this backend by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from mohist.sandbox import kernel, landlock_keeper
from mohist.sandbox.binary import Binary
from mohist.sandbox.errors import NoSandboxError, RefusedError, SandboxError
from mohist.sandbox.filter import build_filter, machines
from mohist.sandbox.landlock_keeper import NEEDED_ABI, landlock_abi
from mohist.sandbox.landlock_tree import LandlockProcess
from mohist.sandbox.landlock_watch import Watch
from mohist.sandbox.layout import Tree, environment, resolve_profile, system_paths
from mohist.sandbox.process import Completed, Profile
from mohist.sandbox.run import run
from mohist.sandbox.selftest import PROMISES, Guarantee, Memory, probe_sandbox, refuse_unless_held

_SETUP_S = 30.0
_TMP = Path("/tmp")  # noqa: S108 - where a sandbox with mounts has its own
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_NOBODY = 65534
_SAME = (
    "workspace", "host_files", "host_writes", "setuid_files", "environment", "descriptors", "namespaces",
    "kernel_calls", "host_settings", "limits",
)  # fmt: skip
_PROMISES = {name: PROMISES[name] for name in _SAME} | {
    "sockets": "no socket can be made: no network, no service on this machine, no session bus",
    "foreign_processes": "no process outside can be signalled, traced, read or changed",
    "shared_memory": "no memory or queue is shared with the host",
    "device_files": "no device but null, zero, full and random can be opened",
    "no_new_rights": "no capability is in effect, none to be gained, a system call filter is on",
}
_WEAK = {
    "git_hooks": "git hooks, git configuration and agent settings in the workspace CAN be changed; a change is told",
    "processes_seen": "processes of the host and their command lines are visible in /proc",
    "names_seen": "names, sizes and times of files anywhere can be asked for, their content can't",
    "modes": "mode, group and times of your files anywhere can be changed, their content can't",
    "kernel": "more of the kernel can be reached: no namespace stands between",
    "sockets_inside": "no socket works inside either, but with the network on; then services on this machine are open",
    "shared_folders": "/tmp and /dev/shm are closed; HOME and TMPDIR are its own, of unbounded size",  # noqa: S108
    "priority": "processors and scheduling of your other processes can be changed",
    "memory": "bounded for each process, not for the tree as a whole",
    "process_count": "bounded together with your other processes",
    "disk": "each file is bounded, the workspace as a whole is not",
}


@dataclass(frozen=True, slots=True)
class _Started:
    keeper: subprocess.Popen[bytes]
    output_fd: int
    status_fd: int
    control_fd: int
    watch: Watch | None


class Landlock:
    """Fills `Sandbox`; safe to use from many tasks, owns nothing that must be closed.

    Args:
        accepted: the user's own word, `"landlock"`; anything else is refused, so that no default can lead here.
        state: Mohist's state folder; no agent may write it.
        grace_s: time between TERM and KILL.
    """

    def __init__(self, *, accepted: str, state: Path | None = None, grace_s: float = 2.0) -> None:
        if accepted != "landlock":
            raise RefusedError("Landlock alone is weak and was not asked for.", "Pass `--sandbox landlock`.")
        self._state = state.resolve() if state else None
        self._grace_s = grace_s
        self._held = False
        self._testing = anyio.Lock()

    @property
    def name(self) -> str:
        return "landlock only: weak"

    async def launch(self, argv: Sequence[str], *, cwd: Path, profile: Profile) -> LandlockProcess:
        """Starts `argv` confined. Raises SandboxError or a subclass; then nothing was started.

        The first launch runs the self-test, unless it held lately; where it fails, nothing is ever started.
        """
        if not self._held:
            async with self._testing:
                await self._prove(profile.workspace)
        return await self._launch(argv, cwd, profile)

    async def report(self) -> list[Guarantee]:
        """What holds on this machine, tried now, and what never does. Never raises."""
        try:
            found = await probe_sandbox(self._run_untested, _PROMISES, _tester())
        except SandboxError as error:
            return [Guarantee("sandbox", "no", str(error))]
        working = all(item.holds == "yes" for item in found)
        text = f"{self.name} (ABI {landlock_abi()}); for repositories you trust, without secrets"
        weak = [Guarantee(name, "weak", detail) for name, detail in _WEAK.items()]
        return [Guarantee("sandbox", "weak" if working else "no", text), *found, *weak]

    async def _prove(self, workspace: Path) -> None:
        if self._held:
            return
        _identity(workspace)  # what can't work at all is said before it is tried on something else
        memory = Memory(self._state, Binary(_interpreter(), (landlock_abi(),)), name="landlock-selftest")
        if not memory.fresh():
            refuse_unless_held(await probe_sandbox(self._run_untested, _PROMISES, _tester()))
            memory.keep()
        self._held = True

    async def _run_untested(self, argv: Sequence[str], cwd: Path, profile: Profile) -> Completed:
        return await run(_Untested(self), argv, cwd=cwd, profile=profile, timeout_s=_SETUP_S)

    async def _launch(self, argv: Sequence[str], cwd: Path, profile: Profile) -> LandlockProcess:
        if not argv or any("\0" in part for part in argv):
            raise RefusedError("A command is a non-empty list of strings without NUL.")
        _refuse_unless_able()
        if profile.network == "fenced" or profile.terminal is not None:
            raise RefusedError(
                "Landlock alone has no fence and no terminals: it has no namespace that either could be put into.",
                "Use bubblewrap, or the network `none` or `full`.",
            )
        if profile.hidden:
            raise RefusedError(
                "Landlock alone hides nothing: it takes rights away from whole folders.", "Use bubblewrap."
            )
        with anyio.CancelScope(shield=True):
            try:
                started = await anyio.to_thread.run_sync(self._start, list(argv), cwd, profile)
            except OSError as error:
                raise SandboxError(f"The sandbox could not be prepared: {error}.", _MEND) from None
            process = await self._admit(started)
        return process  # noqa: RET504 - a return inside the scope reads as one that may not happen

    def _start(self, argv: list[str], cwd: Path, profile: Profile) -> _Started:
        kernel.adopt_orphans()  # should a keeper be killed, its tree hangs below us and not below the system
        trees, folder = resolve_profile(profile, cwd, self._state)
        identity = _identity(profile.workspace)
        room = Path(tempfile.mkdtemp(prefix="mohist-room-")).resolve()
        try:
            home, tmp = room / "home", room / "tmp"
            for path in (home, tmp):
                path.mkdir(mode=0o700)
            if identity is not None:
                for path in (home, tmp, room):
                    os.chown(path, *identity)
            shown = home if profile.home is None else profile.home.resolve()
            own = {**environment(trees, profile.extra_readable, {}), "HOME": str(shown), "TMPDIR": str(tmp)}
            uid, gid = identity if identity is not None else (None, None)
            spec = {
                "argv": argv,
                "cwd": str(tmp if folder == _TMP else folder),
                "env": {**own, **profile.env},
                "rules": _rules(trees, profile, (home, tmp)),
                "offline": profile.network == "none",
                "filter": build_filter(os.uname().machine, namespaces=False, network=profile.network == "full").hex(),
                "limits": asdict(profile.limits),
                "uid": uid,
                "gid": gid,
                "room": str(room),
            }
            watch = Watch(profile.workspace.resolve()) if profile.writable else None
            return _spawn(json.dumps(spec).encode(), watch)
        except BaseException:
            shutil.rmtree(room, ignore_errors=True)
            raise

    async def _admit(self, started: _Started) -> LandlockProcess:
        """Waits for the keeper's word; without one, or with a bad one, nothing runs when this raises."""
        word: dict[str, object] = {}
        said = b""
        try:
            with anyio.fail_after(_SETUP_S):
                first, said = await _first_line(started.status_fd)
            word = json.loads(first) if first else {"error": "its keeper ended without a word"}
        except TimeoutError:
            word = {"error": "not in time"}
        if "pid" not in word:
            for fd in (started.control_fd, started.status_fd, started.output_fd):
                os.close(fd)  # the keeper takes that for the order to end everything
            await anyio.to_thread.run_sync(started.keeper.wait)
            raise SandboxError(f"The sandbox could not be set up ({word['error']}).", _MEND)
        return LandlockProcess(
            started.keeper,
            int(str(word["pid"])),
            started.output_fd,
            started.status_fd,
            started.control_fd,
            said,
            started.watch.changed if started.watch else list,
            grace_s=self._grace_s,
        )


class _Untested:
    """The sandbox as its own self-test sees it."""

    name = "landlock, untested"

    def __init__(self, sandbox: Landlock) -> None:
        self._sandbox = sandbox

    async def launch(self, argv: Sequence[str], *, cwd: Path, profile: Profile) -> LandlockProcess:
        return await self._sandbox._launch(argv, cwd, profile)


_MEND = "`mohist doctor` with MOHIST_SANDBOX=landlock says what this machine lacks."


def _refuse_unless_able() -> None:
    if sys.platform != "linux" or os.uname().machine not in machines():
        raise NoSandboxError(f"There is no Landlock for {sys.platform} on {os.uname().machine}.", "Use Linux.")
    if (abi := landlock_abi()) < NEEDED_ABI:
        raise NoSandboxError(
            f"Landlock here has version {abi}, and {NEEDED_ABI} is needed: signals would reach processes outside.",
            "Use Linux 6.12 or newer with `landlock` among its security modules (lsm=…), or bubblewrap.",
        )


def _identity(workspace: Path) -> tuple[int, int] | None:
    """Whom root becomes: the workspace's owner. None: Mohist is not root. Raises RefusedError where that is root too."""
    if os.geteuid() != 0:
        return None
    try:
        owner = workspace.stat()
    except OSError as error:
        raise RefusedError(f"The workspace {str(workspace)!r} can't be used: {error.strerror}.") from None
    if owner.st_uid == 0:
        raise RefusedError(
            f"Landlock can't confine root, and the workspace {str(workspace)!r} belongs to root.",
            "Run Mohist as an ordinary user (docker run --user), or give the workspace to one (chown -R).",
        )
    return owner.st_uid, owner.st_gid or owner.st_uid


def _tester() -> tuple[int, int] | None:
    """Whom the self-test runs as."""
    return (_NOBODY, _NOBODY) if os.geteuid() == 0 else None


def _interpreter() -> Path:
    return Path(sys.executable).resolve()


def _rules(trees: Sequence[Tree], profile: Profile, own: Sequence[Path]) -> list[tuple[str, str]]:
    """What may be done below which path; all else is denied."""
    rules = [(str(path), "read") for path in system_paths(profile)]
    rules += [(name, "device") for name in _DEVICES if Path(name).exists()]
    rules.append(("/proc", "look"))
    rules += [(str(tree.path), "write" if tree.writable else "read") for tree in trees]
    rules += [(str(path), "write") for path in own]
    return rules


def _spawn(spec: bytes, watch: Watch | None) -> _Started:
    ours: list[int] = []
    theirs: list[int] = []
    try:
        theirs.append(os.memfd_create("spec"))
        os.write(theirs[0], spec)
        os.lseek(theirs[0], 0, os.SEEK_SET)
        control_read, control_write = os.pipe()
        theirs.append(control_read)
        ours.append(control_write)
        for _ in ("status", "output"):
            read, write = os.pipe()
            ours.append(read)
            theirs.append(write)
        spec_fd, control_fd, status_fd, output_fd = theirs
        keeper = subprocess.Popen(
            [
                _interpreter(),
                "-I",
                "-S",
                "-X",
                "utf8",
                landlock_keeper.__file__,
                *map(str, (spec_fd, control_fd, status_fd)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output_fd,
            stderr=output_fd,
            pass_fds=(spec_fd, control_fd, status_fd),
            cwd="/",
            env={},
            start_new_session=True,
        )
    except BaseException:
        for fd in ours:
            os.close(fd)
        raise
    finally:
        for fd in theirs:
            os.close(fd)
    control, status, output = ours
    return _Started(keeper, output, status, control, watch)


async def _first_line(fd: int) -> tuple[bytes, bytes]:
    """The first line and what came after it; an empty one when the writer has gone."""
    os.set_blocking(fd, False)
    text = b""
    while b"\n" not in text:
        try:
            part = os.read(fd, 4096)
        except BlockingIOError:
            await anyio.wait_readable(fd)
            continue
        if not part:
            break
        text += part
    first, _, rest = text.partition(b"\n")
    return first, rest
