"""The default backend on Linux: bubblewrap, a seccomp filter and resource limits."""

from __future__ import annotations

import errno
import os
import resource
import select
import subprocess
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from mohist.sandbox import kernel
from mohist.sandbox.binary import Binary, find_bubblewrap
from mohist.sandbox.errors import NoSandboxError, RefusedError, SandboxError
from mohist.sandbox.filter import build_filter, machines
from mohist.sandbox.gate import bound, filters, gated, open_gate, ready
from mohist.sandbox.layout import Arguments, build_arguments, resolve_profile
from mohist.sandbox.mask import Mask
from mohist.sandbox.process import Completed, Limits, Profile
from mohist.sandbox.run import run
from mohist.sandbox.selftest import Guarantee, Memory, probe_fence, probe_sandbox, refuse_unless_held, weak_points
from mohist.sandbox.stage import Identity, Stage, identity_for
from mohist.sandbox.tree import BubblewrapProcess

_T = TypeVar("_T")
_SETUP_S = 30.0
_LAST_CPU_S = 2


@dataclass(slots=True)
class _Started:
    """bwrap, waiting at its gate."""

    monitor: subprocess.Popen[bytes]
    output_fd: int
    info_fd: int
    status_fd: int
    gate_fd: int
    start_fd: int
    """The gate inside: a line lets the command start."""
    identity: Identity
    mask: Mask | None
    placed: dict[Path, Path]


class Bubblewrap:
    """Fills `Sandbox`. Built once by the composition root, closed at its end; safe to use from many tasks.

    Args:
        state: Mohist's state folder; no agent may write it.
        binary: a bwrap of one's own; None finds one.
        debuggers: lets ptrace through the filter.
        grace_s: time between TERM and KILL.
    """

    def __init__(
        self,
        *,
        state: Path | None = None,
        binary: Path | None = None,
        debuggers: bool = False,
        grace_s: float = 2.0,
    ) -> None:
        self._state = state.resolve() if state else None
        self._override = binary
        self._debuggers = debuggers
        self._grace_s = grace_s
        self._binary: Binary | None = None
        # bwrap dies with the thread that started it (PR_SET_PDEATHSIG), so one thread of ours starts them all.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox")
        self._stage: Stage | None = None
        self._lock = threading.Lock()
        self._held = False
        self._testing = anyio.Lock()

    @property
    def name(self) -> str:
        return "bubblewrap"

    @property
    def binary(self) -> Binary:
        """The program in use. Raises NoSandboxError."""
        with self._lock:
            if self._binary is None:
                if os.uname().machine not in machines():
                    raise NoSandboxError(
                        f"There is no system call filter for {os.uname().machine}.", f"Use one of {machines()}."
                    )
                self._binary = find_bubblewrap(self._override)
            return self._binary

    def close(self) -> None:
        """Ends the starter thread; trees that still run die with it."""
        if self._stage is not None:
            self._stage.close()
            self._stage = None
        self._starter.shutdown(wait=True)

    async def launch(self, argv: Sequence[str], *, cwd: Path, profile: Profile) -> BubblewrapProcess:
        """Starts `argv` confined. Raises SandboxError or a subclass; then nothing was started.

        The first launch runs the self-test, unless it held lately; where it fails, nothing is ever started.
        """
        await self._prove()
        return await self._launch(argv, cwd=cwd, profile=profile)

    async def report(self) -> list[Guarantee]:
        """What holds on this machine, tried now. Never raises for a sandbox that does not work."""
        try:
            version = self.binary.version_text
            found = await probe_sandbox(self._run_untested)
        except SandboxError as error:
            return [Guarantee("sandbox", "no", str(error))]
        working = all(item.holds == "yes" for item in found)
        first = Guarantee("sandbox", "yes" if working else "no", f"bubblewrap {version}")
        return [first, *found, *weak_points()]

    async def report_fence(self) -> Guarantee:
        """Whether a fence can be put up here and every way out ends at it, tried now. Never raises for one that does not."""
        return await probe_fence(self._run_untested)

    async def _prove(self) -> None:
        if not self._held:
            async with self._testing:
                await self._prove_once()

    async def _prove_once(self) -> None:
        if not self._held:
            memory = Memory(self._state, self.binary)
            if not memory.fresh():
                refuse_unless_held(await probe_sandbox(self._run_untested))
                memory.keep()
            self._held = True

    async def _run_untested(self, argv: Sequence[str], cwd: Path, profile: Profile) -> Completed:
        return await run(_Untested(self._launch), argv, cwd=cwd, profile=profile, timeout_s=_SETUP_S)

    async def _launch(self, argv: Sequence[str], *, cwd: Path, profile: Profile) -> BubblewrapProcess:
        if not argv or any("\0" in part for part in argv):
            raise RefusedError("A command is a non-empty list of strings without NUL.")
        if profile.fence is not None:
            profile.fence.check_open()
        if profile.terminal is not None:
            _refuse_unless_terminal(profile.terminal)
        with anyio.CancelScope(shield=True):
            started = await self._on_starter(lambda: self._start(list(argv), cwd, profile))
            process = await self._admit(started, profile)
        return process  # noqa: RET504 - a return inside the scope reads as one that may not happen

    async def _on_starter(self, work: Callable[[], _T]) -> _T:
        return await anyio.to_thread.run_sync(lambda: self._starter.submit(work).result())

    def _start(self, argv: list[str], cwd: Path, profile: Profile) -> _Started:
        mask: Mask | None = None
        placed: dict[Path, Path] = {}
        try:
            kernel.adopt_orphans()
            trees, folder = resolve_profile(profile, cwd, self._state)
            workspace = profile.workspace.resolve()
            identity = identity_for(workspace)
            program = self.binary.path
            mask = Mask(workspace, profile.hidden, git_writable=profile.git_writable) if profile.writable else None
            if identity.dropped:
                if self._stage is None:
                    self._stage = Stage(program)
                program = self._stage.binary
                placed = self._stage.place(trees, identity)
            held = mask.held if mask else ()
            made = build_arguments(trees, held, profile, folder, lambda path: str(placed.get(path, path)))
            gate = gated(profile.env, terminal=profile.terminal is not None)
            return self._spawn(program, [*gate, *argv], made, identity, mask, placed, profile.terminal)
        except OSError as error:
            self._abandon(mask, placed)
            if error.errno == errno.ENOSYS:
                raise NoSandboxError(
                    f"The kernel does not offer what the sandbox needs ({error}).",
                    "Use Linux 5.6 or newer; inside another sandbox, Mohist can't make namespaces of its own.",
                ) from None
            raise SandboxError(
                f"The sandbox could not be prepared: {error}.", "`mohist doctor` says what this machine lacks."
            ) from None
        except BaseException:
            self._abandon(mask, placed)
            raise

    def _abandon(self, mask: Mask | None, placed: dict[Path, Path]) -> None:
        if mask is not None:
            mask.release()
        if self._stage is not None:
            self._stage.remove(placed)

    def _spawn(
        self,
        program: Path,
        argv: list[str],
        made: Arguments,
        identity: Identity,
        mask: Mask | None,
        placed: dict[Path, Path],
        terminal: int | None,
    ) -> _Started:
        ours: list[int] = []
        theirs: list[int] = []
        try:
            for content, path in made.files:
                theirs.append(_memory_file("file", content))
                made.options += ["--perms", "0444", "--file", str(theirs[-1]), path]
            for content, path in made.covers:
                theirs.append(_memory_file("cover", content))
                made.options += ["--perms", "0444", "--ro-bind-data", str(theirs[-1]), path]
            made.options += made.last
            program_filter = build_filter(os.uname().machine, debuggers=self._debuggers)
            theirs.append(_memory_file("filter", program_filter))
            made.options += ["--seccomp", str(theirs[-1])]
            for option in ("--info-fd", "--json-status-fd"):
                read, write = os.pipe()
                ours.append(read)
                theirs.append(write)
                made.options += [option, str(write)]
            gate_read, gate_write = os.pipe()
            theirs.append(gate_read)
            ours.append(gate_write)
            start_read, start_write = os.pipe()
            theirs.append(start_read)
            ours.append(start_write)
            made.options += ["--block-fd", str(gate_read)]
            options = "\0".join(made.options).encode("utf-8", "surrogateescape") + b"\0"
            theirs.append(_memory_file("options", options))
            output_read, output_write = os.pipe()
            ours.append(output_read)
            # A user makes Popen fork: after vfork, a signal could kill the child before it has its own session.
            account: dict[str, object] = {"user": identity.uid}
            if identity.dropped:
                account = {"user": identity.uid, "group": identity.gid, "extra_groups": []}
            try:
                monitor = subprocess.Popen(
                    [program, "--args", str(theirs[-1]), "--", *argv],
                    stdin=start_read,
                    stdout=output_write if terminal is None else terminal,
                    stderr=output_write,
                    pass_fds=[fd for fd in theirs if fd != start_read],
                    close_fds=True,
                    start_new_session=True,  # a signal to the terminal's processes is Mohist's to answer
                    cwd="/",
                    env={},
                    **account,  # type: ignore[call-overload]
                )
            finally:
                os.close(output_write)
        except BaseException:
            for fd in ours:
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        info_fd, status_fd, gate_fd, start_fd, output_fd = ours
        return _Started(monitor, output_fd, info_fd, status_fd, gate_fd, start_fd, identity, mask, placed)

    async def _admit(self, started: _Started, profile: Profile) -> BubblewrapProcess:
        """Sets limits on the waiting tree, opens its gates, and sees that it went through.

        The gates are closed last: bwrap takes its own gate's end for the sign to go on.
        """
        process: BubblewrapProcess | None = None
        monitor_fd = os.pidfd_open(started.monitor.pid)
        try:
            with anyio.fail_after(_SETUP_S):
                init_pid = await _read_pid(started.info_fd, monitor_fd)
                process = self._process(started, init_pid)
                if init_pid:
                    await self._on_starter(lambda: _limit(init_pid, profile.limits, started.identity))
                    before = filters(init_pid)
                    if await open_gate(started.gate_fd, monitor_fd) and await bound(
                        init_pid, before, monitor_fd, proven=self._held
                    ):
                        if profile.fence is not None:
                            process.lift = await profile.fence.enclose(init_pid)
                        os.write(started.start_fd, b"\n")
                        process.admitted = True
                if not process.admitted:
                    await process.kill()  # what is left of bwrap holds the output open
                    raise await _explain(process)
        except (OSError, TimeoutError) as error:
            reason = "not in time" if isinstance(error, TimeoutError) else str(error)
            raise SandboxError(
                f"The sandbox could not be set up ({reason}).", "Try again; see `mohist doctor`."
            ) from None
        finally:
            process = process or self._process(started, 0)
            if not process.admitted:
                await process.kill()
                process.close_output()
            for fd in (started.info_fd, started.gate_fd, started.start_fd, monitor_fd):
                os.close(fd)
            if started.placed:
                self._starter.submit(self._take_down, started.placed)
        return process

    def _process(self, started: _Started, init_pid: int) -> BubblewrapProcess:
        mask = started.mask
        return BubblewrapProcess(
            started.monitor,
            init_pid,
            started.output_fd,
            started.status_fd,
            mask.release if mask else list,
            grace_s=self._grace_s,
        )

    def _take_down(self, placed: dict[Path, Path]) -> None:
        if self._stage is not None:
            self._stage.remove(placed)


class _Untested:
    """The sandbox as its own self-test sees it."""

    name = "bubblewrap, untested"

    def __init__(self, launch: Callable[..., Awaitable[BubblewrapProcess]]) -> None:
        self._start = launch

    async def launch(self, argv: Sequence[str], *, cwd: Path, profile: Profile) -> BubblewrapProcess:
        return await self._start(argv, cwd=cwd, profile=profile)


def _refuse_unless_terminal(fd: int) -> None:
    if not os.isatty(fd):
        raise RefusedError("What was given as a terminal is none.", "Pass the slave descriptor of a pty.")
    if not any(Path(folder, "setsid").exists() for folder in ("/usr/bin", "/bin")):
        raise RefusedError("A terminal needs the program `setsid`, which is not here.", "Install util-linux.")


def _memory_file(name: str, content: bytes) -> int:
    fd = os.memfd_create(name)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


async def _read_pid(fd: int, monitor_fd: int) -> int:
    """The pid that bwrap reports, 0 when it ended first."""
    os.set_blocking(fd, False)
    text = b""
    while True:
        try:
            part = os.read(fd, 4096)
        except BlockingIOError:
            if not await ready(fd, select.EPOLLIN, monitor_fd):
                break
            continue
        if not part:
            break
        text += part
    return int(text.split(b":", 1)[1].split(b",")[0].split(b"\n")[0]) if b":" in text else 0


def _limit(pid: int, limits: Limits, identity: Identity) -> None:
    """Resource limits on the tree's first process, which all others inherit.

    RLIMIT_DATA and not RLIMIT_AS bounds memory: runtimes reserve far more addresses than they use.
    """
    wanted = {
        resource.RLIMIT_DATA: limits.memory_bytes,
        resource.RLIMIT_NPROC: limits.processes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CPU: limits.cpu_s,
    }
    caller = kernel.real_ids(identity.uid, identity.gid) if identity.dropped else nullcontext()
    with suppress(ProcessLookupError), caller:
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        for kind, value in wanted.items():
            if value:
                _, ceiling = resource.prlimit(pid, kind)
                # Past the soft limit on time comes a signal that tells why; past the hard one only the end.
                hard = value + _LAST_CPU_S if kind == resource.RLIMIT_CPU else value
                hard = hard if ceiling == resource.RLIM_INFINITY else min(hard, ceiling)
                resource.prlimit(pid, kind, (min(value, hard), hard))


async def _explain(process: BubblewrapProcess) -> SandboxError:
    with anyio.move_on_after(5):
        text = b"".join([chunk async for chunk in process.output()]).decode(errors="replace").strip()
        return _error_for(text)
    return SandboxError("The sandbox could not be set up.", "`mohist doctor` says what this machine lacks.")


def _error_for(text: str) -> SandboxError:
    line = (text.splitlines() or ["bwrap ended without a word"])[-1][:300]
    if "namespace" in line or os.strerror(errno.EPERM) in line:
        return NoSandboxError(
            f"This machine does not let an ordinary user make namespaces ({line}).",
            "Ubuntu: allow bwrap in AppArmor (kernel.apparmor_restrict_unprivileged_userns). "
            "Docker: a security profile that allows user namespaces and mounts. "
            "Else, weak, for a repository you trust: `--sandbox landlock`.",
        )
    return SandboxError(f"The sandbox could not be set up ({line}).", "`mohist doctor` says what this machine lacks.")
