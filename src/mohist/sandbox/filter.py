"""The seccomp filter: a deny list as classic BPF, built by hand for x86_64 and aarch64.

A filter sees 64-bit argument registers while the kernel uses the low 32 bits of most of them, so every
comparison loads the low word alone (the class of CVE-2019-10063, https://github.com/containers/bubblewrap/pull/309).
Calls through the x32 table or another architecture's end the process: their numbers mean something else.

Sources: include/uapi/linux/{seccomp,bpf_common,audit}.h; syscall numbers from arch/x86/entry/syscalls/syscall_64.tbl
and include/uapi/asm-generic/unistd.h (Linux 6.18).
"""

from __future__ import annotations

import errno
import struct
from typing import Final

_LD_WORD, _JEQ, _JGE, _JGT, _JSET, _RET = 0x20, 0x15, 0x35, 0x25, 0x45, 0x06
ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000
_NR, _ARCH, _ARGS = 0, 4, 16

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT: Final = 0x40000000
_LAST_REVIEWED: Final = 470
"""Newer calls were not judged yet; they answer ENOSYS, which programs fall back from."""

# name: (x86_64, aarch64); None where the architecture lacks the call.
_DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "get_kernel_syms": (177, None),
    "init_module": (175, 105),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "listmount": (458, 458),
    "lookup_dcookie": (212, 18),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "query_module": (178, None),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "statmount": (457, 457),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "sysctl": (156, None),
    "sysfs": (139, None),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "ustat": (136, None),
    "vhangup": (153, 58),
}
_PTRACE: Final = (101, 117)
# Programs probe for these and fall back when told that the kernel lacks them. openat2 and clone3 pass their
# arguments in memory, where a filter can't look; glibc and all known users fall back to openat and clone.
_ABSENT: Final[dict[str, tuple[int | None, int | None]]] = {
    "clone3": (435, 435),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "memfd_secret": (447, 447),
    "openat2": (437, 437),
}

# name: numbers, index of the mode argument. A file made in the workspace belongs to its owner on the host, so a
# setuid bit on it would be a door for others (as systemd's RestrictSUIDSGID= does).
_MODE_CALLS: Final[dict[str, tuple[tuple[int | None, int | None], int]]] = {
    "chmod": ((90, None), 1),
    "creat": ((85, None), 1),
    "fchmod": ((91, 52), 1),
    "fchmodat": ((268, 53), 2),
    "fchmodat2": ((452, 452), 2),
}
# The same, and no device files: without a capability a program can only make the one that is an overlay's whiteout, which
# would hide a file from whoever lays the workspace over something.
_NODE_CALLS: Final[dict[str, tuple[tuple[int | None, int | None], int]]] = {
    "mknod": ((133, None), 1),
    "mknodat": ((259, 33), 2),
}
_DEVICE: Final = 0o020000  # of S_IFCHR and S_IFBLK, and of no other kind that mknod makes
# name: numbers, index of the flags argument; the mode follows it and means something only when a file is made.
_OPEN_CALLS: Final[dict[str, tuple[tuple[int | None, int | None], int]]] = {
    "open": ((2, None), 1),
    "openat": ((257, 56), 2),
}
_CREATING: Final = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE
_SETUID_OR_SETGID: Final = 0o6000
_CLONE: Final = (56, 220)
_NEW_NAMESPACE: Final = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_IOCTL: Final = (16, 29)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
# Without namespaces of its own a tree shares these with the host: queues, segments and semaphores.
_SHARED: Final[dict[str, tuple[int | None, int | None]]] = {
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "msgctl": (71, 187),
    "msgget": (68, 186),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "semctl": (66, 191),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmget": (29, 194),
}
# Calls that also change other processes of the same user: the arguments with which they mean the caller alone.
_OF_OTHERS: Final[dict[str, tuple[tuple[int | None, int | None], tuple[int, ...]]]] = {
    "ioprio_set": ((251, 30), (1, 0)),  # IOPRIO_WHO_PROCESS, itself
    "prlimit64": ((302, 261), (0,)),
    "setpriority": ((141, 140), (0, 0)),  # PRIO_PROCESS, itself
}
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK, _NETLINK_ROUTE = 1, 2, 10, 16, 0

_Instruction = tuple[int, int, int, int]


def machines() -> tuple[str, ...]:
    """Machine names (as `os.uname().machine` says them) that a filter exists for."""
    return tuple(_AUDIT_ARCH)


def build_filter(machine: str, *, debuggers: bool = False, namespaces: bool = True, network: bool = True) -> bytes:
    """The program for `machine` as an array of struct sock_filter, ready for a descriptor.

    Args:
        machine: one of `machines()`; KeyError for any other.
        debuggers: lets ptrace through, so that gdb and strace work inside.
        namespaces: the tree has its own; without them no unix socket can be made (any of the host's could be reached,
            a session bus that starts programs among them), nothing of System V, and no other process be changed.
        network: without it, and without namespaces, no socket of any kind can be made but by socketpair.
    """
    audit_arch = _AUDIT_ARCH[machine]
    column = 0 if machine == "x86_64" else 1
    code: list[_Instruction] = [
        (_LD_WORD, 0, 0, _ARCH),
        (_JEQ, 1, 0, audit_arch),
        _return(KILL),
        (_LD_WORD, 0, 0, _NR),
    ]
    if machine == "x86_64":
        code += [(_JGE, 0, 1, _X32_BIT), _return(KILL)]
    code += [(_JGT, 0, 1, _LAST_REVIEWED), _refuse(errno.ENOSYS)]
    denied = dict(_DENIED) if debuggers else {**_DENIED, "ptrace": _PTRACE}
    if not namespaces:
        denied |= _SHARED
        for numbers, wanted in _OF_OTHERS.values():
            code += _on(numbers[column], _only_with(wanted))
    for numbers in denied.values():
        code += _on(numbers[column], [_refuse(errno.EPERM)])
    for numbers in _ABSENT.values():
        code += _on(numbers[column], [_refuse(errno.ENOSYS)])
    for numbers, index in _MODE_CALLS.values():
        code += _on(numbers[column], _refuse_bits(index, _SETUID_OR_SETGID))
    for numbers, index in _NODE_CALLS.values():
        code += _on(numbers[column], _refuse_bits(index, _SETUID_OR_SETGID | _DEVICE))
    for numbers, index in _OPEN_CALLS.values():
        mode_rule = _refuse_bits(index + 1, _SETUID_OR_SETGID)
        code += _on(numbers[column], [_load(index), (_JSET, 1, 0, _CREATING), _return(ALLOW), *mode_rule])
    code += _on(_CLONE[column], _refuse_bits(0, _NEW_NAMESPACE))
    code += _on(
        _IOCTL[column],
        [_load(1), (_JEQ, 1, 0, _TIOCSTI), (_JEQ, 0, 1, _TIOCLINUX), _refuse(errno.EPERM), _return(ALLOW)],
    )
    code += _on(_SOCKETPAIR[column], [_load(0), (_JEQ, 0, 1, _AF_UNIX), _return(ALLOW), _refuse(errno.EAFNOSUPPORT)])
    code += _on(_SOCKET[column], _socket_rule(namespaces=namespaces, network=network))
    code.append(_return(ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _socket_rule(*, namespaces: bool, network: bool) -> list[_Instruction]:
    if not (namespaces or network):
        return [_refuse(errno.EAFNOSUPPORT)]
    return [
        _load(0),
        *([(_JEQ, 5, 0, _AF_UNIX)] if namespaces else []),
        (_JEQ, 4, 0, _AF_INET),
        (_JEQ, 3, 0, _AF_INET6),
        (_JEQ, 0, 3, _AF_NETLINK),
        _load(2),
        (_JEQ, 0, 1, _NETLINK_ROUTE),
        _return(ALLOW),
        _refuse(errno.EAFNOSUPPORT),
    ]


def _on(number: int | None, body: list[_Instruction]) -> list[_Instruction]:
    """`body`, which returns on every path, for one system call; nothing where the call does not exist."""
    return [] if number is None else [(_JEQ, 0, len(body), number), *body]


def _load(argument: int) -> _Instruction:
    return (_LD_WORD, 0, 0, _ARGS + 8 * argument)  # both machines are little-endian: the low word comes first


def _refuse_bits(argument: int, mask: int) -> list[_Instruction]:
    return [_load(argument), (_JSET, 0, 1, mask), _refuse(errno.EPERM), _return(ALLOW)]


def _only_with(values: tuple[int, ...]) -> list[_Instruction]:
    """Allows the call when its first arguments are these."""
    checks: list[_Instruction] = []
    for index, value in enumerate(values):
        checks += [_load(index), (_JEQ, 1, 0, value), _refuse(errno.EPERM)]
    return [*checks, _return(ALLOW)]


def _return(value: int) -> _Instruction:
    return (_RET, 0, 0, value)


def _refuse(number: int) -> _Instruction:
    return _return(_ERRNO | number)
