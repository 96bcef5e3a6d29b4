"""Confines one command by Landlock, starts it, and keeps its tree until nothing of it is left. Standard library only.

Started as `python -I -S landlock_keeper.py SPEC_FD CONTROL_FD STATUS_FD`: a process of its own, because none of this
may be done after a fork of a program with threads.

There is no pid namespace here, so a tree is held by two things:
- The keeper is its subreaper: what leaves its session by setsid and a double fork becomes a child of the keeper,
  never of the system's first process.
- The keeper is in a Landlock domain of its own that lets signals reach itself and nested domains alone, and the
  command is in one nested in it. So `kill(-1)` by the keeper reaches the whole tree and nothing else. The kernel does
  it under the lock that every fork needs, so no process slips through by forking on and on.

The keeper ends the tree when its main process ends, when it is told to, and when its starter is gone.

Sources: include/uapi/linux/landlock.h, prctl.h, seccomp.h; Documentation/userspace-api/landlock.rst (Linux 6.18).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import signal
import stat
import struct
import sys
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

NEEDED_ABI: Final = 6
"""Scoped signals, which the end of a tree rests on: Linux 6.12."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _CLOSE_RANGE = 444, 445, 446, 436
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_CLOSE_RANGE_CLOEXEC = 4
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 4, 22, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 36, 38, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG, _MAKE_FIFO, _MAKE_SYM = 1 << 7, 1 << 8, 1 << 10, 1 << 12
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_ALL_FILES = (1 << 16) - 1
_ALL_TCP = 0b11  # bind, connect
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 0b01, 0b10
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

_READ = _READ_FILE | _READ_DIR
_MAKE = _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_FIFO | _MAKE_SYM | _REFER
# No sockets, no device files: neither works below.
_RIGHTS = {
    "look": _READ,
    "read": _READ | _EXECUTE,
    "write": _READ | _EXECUTE | _WRITE_FILE | _TRUNCATE | _MAKE,
    "device": _READ_FILE | _WRITE_FILE,
}
_PRELOADED = (warnings,)
"""os.execvpe imports it late, when the standard library may be out of reach."""
_LAST_CPU_S = 2
_NOT_STARTED = 127
_FIRST_VICTIM = 500
"""oom_score_adj of the tree: memory runs out on it, not on its keeper."""


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class _Failure(Exception):  # noqa: N818 - never leaves this file
    """The command was not started; the text says why."""


def landlock_abi() -> int:
    """The kernel's Landlock version, 0 where it has none or it is switched off."""
    return max(int(_libc().syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), _VERSION_FLAG)), 0)


def _check(result: int, what: str) -> int:
    if result < 0:
        raise _Failure(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _prctl(option: int, value: int, what: str) -> None:
    _check(_libc().prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)), what)


def _ruleset(files: int, tcp: int, scoped: int) -> int:
    attributes = struct.pack("=QQQ", files, tcp, scoped)
    made = _libc().syscall(ctypes.c_long(_CREATE_RULESET), attributes, ctypes.c_size_t(len(attributes)), 0)
    return _check(int(made), "landlock_create_ruleset")


def _restrict(ruleset: int) -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "no_new_privs")
    _check(int(_libc().syscall(ctypes.c_long(_RESTRICT_SELF), ruleset, 0)), "landlock_restrict_self")


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Grants `rights` below `path`, which must be where it says: a link on the way was planted since it was resolved."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISLNK(mode) or os.fsencode(Path(f"/proc/self/fd/{fd}").readlink()) != os.fsencode(path):
            raise _Failure(f"{path!r} is a link, or lies below one")
        if not stat.S_ISDIR(mode):
            rights &= _OF_A_FILE
        rule = struct.pack("=Qi", rights, fd)
        added = _libc().syscall(ctypes.c_long(_ADD_RULE), ruleset, _PATH_BENEATH, rule, 0)
        _check(int(added), f"landlock_add_rule {path!r}")
    finally:
        os.close(fd)


def _become(uid: int, gid: int) -> None:
    """Somebody else, for good, with nothing to gain back."""
    for capability in range(64):
        if _libc().prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _prctl(_PR_SET_DUMPABLE, 1, "dumpable")  # else /proc/self belongs to root


def _enter_own_domain() -> None:
    """Lets this process signal itself and nested domains alone, and proves it on a process that stays outside."""
    gate, key = os.pipe()
    witness = os.fork()
    if not witness:
        os.close(key)
        os.read(gate, 1)
        os._exit(0)
    try:
        # Moving files between folders is denied by every domain that does not grant it, even where it handles no other.
        ruleset = _ruleset(_REFER, 0, _SCOPE_SIGNALS)
        _allow(ruleset, "/", _REFER)
        _restrict(ruleset)
        os.close(ruleset)
        try:
            os.kill(witness, 0)
        except PermissionError:
            return
        raise _Failure("a process outside the sandbox can be signalled")
    finally:
        os.close(key)
        os.close(gate)
        os.waitpid(witness, 0)


def _domain(spec: dict[str, Any]) -> int:
    tcp = _ALL_TCP if spec["offline"] else 0
    ruleset = _ruleset(_ALL_FILES, tcp, _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
    for path, kind in spec["rules"]:
        _allow(ruleset, path, _RIGHTS[kind])
    return ruleset


def _threads_of(uid: int) -> int:
    """What already counts against RLIMIT_NPROC, which is one for all of a user's processes."""
    total = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if folder.stat().st_uid == uid:
                    total += sum(1 for _ in (folder / "task").iterdir())
            except OSError:
                continue
    return total


def _limit(limits: dict[str, int]) -> None:
    wanted = {
        resource.RLIMIT_DATA: limits["memory_bytes"],
        resource.RLIMIT_NPROC: limits["processes"] and limits["processes"] + _threads_of(os.getuid()),
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_CPU: limits["cpu_s"],
    }
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, value in wanted.items():
        if value:
            _, ceiling = resource.getrlimit(kind)
            hard = value + _LAST_CPU_S if kind == resource.RLIMIT_CPU else value
            hard = hard if ceiling == resource.RLIM_INFINITY else min(hard, ceiling)
            resource.setrlimit(kind, (min(value, hard), hard))


def _filter(program: bytes) -> None:
    held = ctypes.create_string_buffer(program, len(program))
    descriptor = struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
    _check(_libc().prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), descriptor, 0, 0), "seccomp")


def _run(spec: dict[str, Any], ruleset: int, keeper: int, told: int) -> NoReturn:
    """The child: takes everything away from itself, then becomes the command."""
    said = b""
    try:
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and that would be inherited
            signal.signal(number, signal.SIG_DFL)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, "pdeathsig")
        if os.getppid() != keeper:
            raise _Failure("the keeper has gone")
        score = Path("/proc/self/oom_score_adj")
        if int(score.read_text(encoding="utf-8")) < _FIRST_VICTIM:
            score.write_text(str(_FIRST_VICTIM), encoding="utf-8")
        os.chdir(spec["cwd"])
        _limit(spec["limits"])
        _restrict(ruleset)
        closed = _libc().syscall(ctypes.c_long(_CLOSE_RANGE), 3, ctypes.c_uint(0xFFFFFFFF), _CLOSE_RANGE_CLOEXEC)
        _check(int(closed), "close_range")
        _filter(bytes.fromhex(spec["filter"]))
        try:
            os.execvpe(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 - the door itself
        except OSError as error:
            os.write(2, f"{spec['argv'][0]}: {error.strerror}\n".encode(errors="replace"))
            os._exit(_NOT_STARTED)
    except _Failure as error:
        said = str(error).encode(errors="replace")
    except OSError as error:
        said = f"{error.strerror}: {error.filename or ''}".encode(errors="replace")
    except Exception as error:  # noqa: BLE001 - nothing may go on in this process
        said = f"{type(error).__name__}: {error}".encode(errors="replace")
    finally:
        os.write(told, said or b"ended early")
        os._exit(1)


def _start(spec: dict[str, Any]) -> int:
    """The command's pid; returns once it is confined and was started, or could not be found."""
    ruleset = _domain(spec)
    heard, told = os.pipe()
    keeper = os.getpid()
    main = os.fork()
    if not main:
        _run(spec, ruleset, keeper, told)
    os.close(told)
    os.close(ruleset)
    with os.fdopen(heard, "rb") as stream:
        said = stream.read()
    if said:
        os.waitpid(main, 0)
        raise _Failure(said.decode(errors="replace"))
    return main


def _signal_tree(number: int) -> None:
    try:
        os.kill(-1, number)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left in there


def _keep(main: int, control: int, wake: int) -> int:
    """The main process's wait status; the whole tree is gone when this returns."""
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake, select.POLLIN)
    ended: int | None = None
    while ended is None:
        ready = {fd for fd, _ in poller.poll()}
        if control in ready:
            words = os.read(control, 64)
            if b"T" in words:
                _signal_tree(signal.SIGTERM)
            if not words or b"K" in words:
                _signal_tree(signal.SIGKILL)
            if not words:
                poller.unregister(control)
        if wake in ready:
            os.read(wake, 4096)
        ended = _reap(main)
    while True:
        _signal_tree(signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.001)
        except ChildProcessError:
            return ended


def _reap(main: int) -> int | None:
    """Takes all that have ended; the main process's status if it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == main:
            return status
        if pid == 0:
            return None


def _remove(folder: str) -> None:
    """Deletes the command's own home and temporary files, read-only folders too. What resists stays."""
    try:
        os.chmod(folder, 0o700)  # noqa: PTH101 - pathlib is slower, and there may be many
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    _remove(entry.path)
                else:
                    os.unlink(entry.path)  # noqa: PTH108
        os.rmdir(folder)  # noqa: PTH106
    except (OSError, RecursionError):
        return


def _tell(fd: int, **words: Any) -> None:
    try:
        os.write(fd, json.dumps(words).encode() + b"\n")
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise


def main() -> None:
    """Reads the spec, starts, keeps, tells."""
    spec_fd, control, status_fd = (int(text) for text in sys.argv[1:4])
    for fd in (control, status_fd):
        os.set_inheritable(fd, False)
    with os.fdopen(spec_fd, "rb") as stream:
        spec = json.load(stream)
    try:
        _serve(spec, control, status_fd)
    finally:
        _remove(spec["room"])


def _serve(spec: dict[str, Any], control: int, status_fd: int) -> None:
    wake, noise = os.pipe()
    for fd in (wake, noise):
        os.set_blocking(fd, False)
    try:
        if landlock_abi() < NEEDED_ABI:
            raise _Failure("the kernel's Landlock is too old")
        if spec["uid"] is not None:
            _become(spec["uid"], spec["gid"])
        if os.geteuid() == 0:
            raise _Failure("root can't be confined by Landlock")
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, "subreaper")
        _enter_own_domain()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(noise, warn_on_full_buffer=False)
        pid = _start(spec)
    except (_Failure, OSError) as error:
        _tell(status_fd, error=str(error))
        return
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (1, 2):
        os.dup2(null, fd)  # the tree alone holds its output
    _tell(status_fd, pid=pid)
    code = os.waitstatus_to_exitcode(_keep(pid, control, wake))
    _tell(status_fd, code=code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
