"""The few Linux system calls that Python's standard library lacks, by number.

Numbers from 424 on are the same on every architecture (linux/arch/*/…/syscall*.tbl); the wrappers
come from the C library. Nothing here runs at import on another system than Linux.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

AT_FDCWD = -100
_OPEN_TREE, _MOVE_MOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 437, 442

# include/uapi/linux/openat2.h
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08
# include/uapi/linux/mount.h, fcntl.h
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC, _AT_EMPTY_PATH = 1, os.O_CLOEXEC, 0x1000
_MOVE_MOUNT_F_EMPTY_PATH = 0x04
_MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV, _MOUNT_ATTR_IDMAP = 0x02, 0x04, 0x00100000
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_SLAVE = 0x02, 0x04, 0x4000, 0x80000
_MNT_DETACH, _CLONE_NEWNS = 2, 0x00020000


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(number: int, what: str, *args: object) -> int:
    return _checked(_libc().syscall(ctypes.c_long(number), *args), what)


def open_beneath(folder_fd: int, relative: str) -> int:
    """An O_PATH descriptor of `relative` below `folder_fd`, following no link on the way (openat2, Linux 5.6).

    Raises OSError: ELOOP where a component is a link, EXDEV where the path leaves the folder.
    """
    how = _OpenHow(
        flags=os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW,
        mode=0,
        resolve=_RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS | _RESOLVE_BENEATH,
    )
    path = os.fsencode(relative)
    return _syscall(_OPENAT2, f"openat2 {relative!r}", folder_fd, path, ctypes.byref(how), ctypes.sizeof(how))


def clone_mount(path: Path) -> int:
    """A detached copy of the mount that `path` lies in, rooted at `path`; needs CAP_SYS_ADMIN."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC
    return _syscall(_OPEN_TREE, f"open_tree {str(path)!r}", AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags))


def restrict_mount(mount_fd: int, user_namespace_fd: int | None = None) -> None:
    """No setuid, no devices on a detached mount; owners shifted by the namespace's id map when one is given."""
    attributes = _MountAttr(attr_set=_MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV)
    if user_namespace_fd is not None:
        attributes.attr_set |= _MOUNT_ATTR_IDMAP
        attributes.userns_fd = user_namespace_fd
    size = ctypes.sizeof(attributes)
    _syscall(
        _MOUNT_SETATTR, "mount_setattr", mount_fd, b"", ctypes.c_uint(_AT_EMPTY_PATH), ctypes.byref(attributes), size
    )


def attach_mount(mount_fd: int, target: Path) -> None:
    """Attaches a detached mount at `target`, which exists."""
    flags = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    _syscall(_MOVE_MOUNT, f"move_mount to {str(target)!r}", mount_fd, b"", AT_FDCWD, os.fsencode(target), flags)


def detach_mount(target: Path) -> None:
    """Lazy unmount."""
    _checked(_libc().umount2(os.fsencode(target), _MNT_DETACH), f"umount {str(target)!r}")


def enter_private_mounts() -> None:
    """Gives the calling thread a mount namespace of its own that passes nothing back to the host's."""
    _checked(_libc().unshare(_CLONE_NEWNS), "unshare")
    _checked(_libc().mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None), "make / a slave")


def mount_tmpfs(target: Path, options: str) -> None:
    """A fresh tmpfs at `target`."""
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV)
    _checked(_libc().mount(b"tmpfs", os.fsencode(target), b"tmpfs", flags, options.encode()), f"tmpfs {target}")


def adopt_orphans() -> None:
    """Makes this process the parent of its descendants' orphans (PR_SET_CHILD_SUBREAPER), so that it can reap them.

    bwrap leaves its inner half to the system's first process, and in a container that is often none that reaps.
    """
    _checked(_libc().prctl(36, ctypes.c_ulong(1), 0, 0, 0), "prctl")


@contextmanager
def real_ids(uid: int, gid: int) -> Iterator[None]:
    """Gives the calling thread, and it alone, other real ids; root's effective and saved ones stay.

    prlimit(2) compares real ids and wants CAP_SYS_RESOURCE otherwise, which root in a container often lacks. The raw
    calls change one thread, where the C library's wrappers change all.
    """
    set_uid, set_gid = (117, 119) if os.uname().machine == "x86_64" else (147, 149)
    old_uid, old_gid = os.getuid(), os.getgid()
    keep = ctypes.c_uint(0xFFFFFFFF)
    _syscall(set_gid, "setresgid", ctypes.c_uint(gid), keep, keep)
    try:
        _syscall(set_uid, "setresuid", ctypes.c_uint(uid), keep, keep)
        try:
            yield
        finally:
            _syscall(set_uid, "setresuid", ctypes.c_uint(old_uid), keep, keep)
    finally:
        _syscall(set_gid, "setresgid", ctypes.c_uint(old_gid), keep, keep)
