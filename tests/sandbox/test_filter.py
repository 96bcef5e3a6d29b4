"""What the filter program answers, interpreted here, so that the other architecture is judged too."""

from __future__ import annotations

import errno
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.sandbox.filter import ALLOW, KILL, build_filter, machines

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
REFUSED = 0x00050000


def answer(machine: str, number: int, *args: int, arch: int | None = None, **options: bool) -> int:
    """Runs the program on a struct seccomp_data."""
    padded = [*args, *([0] * (6 - len(args)))]
    data = struct.pack("<IIQ6Q", number, arch if arch is not None else ARCH[machine], 0, *(a % 2**64 for a in padded))
    program = list(struct.iter_unpack("=HBBI", build_filter(machine, **options)))
    at, value = 0, 0
    while True:
        code, yes, no, operand = program[at]
        at += 1
        match code:
            case 0x20:
                value = struct.unpack_from("<I", data, operand)[0]
            case 0x06:
                return operand
            case 0x15:
                at += yes if value == operand else no
            case 0x25:
                at += yes if value > operand else no
            case 0x35:
                at += yes if value >= operand else no
            case 0x45:
                at += yes if value & operand else no
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def test_every_program_fits_the_kernel_and_every_jump_stays_inside() -> None:
    for machine in machines():
        program = list(struct.iter_unpack("=HBBI", build_filter(machine)))
        assert len(program) <= 4096
        assert all(at + 1 + max(yes, no) < len(program) for at, (_, yes, no, _) in enumerate(program[:-1]))
        assert program[-1][0] == 0x06


@pytest.mark.parametrize(
    ("machine", "number", "args", "expected"),
    [
        ("x86_64", 321, (), REFUSED | errno.EPERM),
        ("aarch64", 280, (), REFUSED | errno.EPERM),
        ("x86_64", 425, (), REFUSED | errno.ENOSYS),
        ("x86_64", 435, (), REFUSED | errno.ENOSYS),
        ("aarch64", 437, (), REFUSED | errno.ENOSYS),
        ("x86_64", 101, (), REFUSED | errno.EPERM),
        ("aarch64", 117, (), REFUSED | errno.EPERM),
        ("x86_64", 40000, (), REFUSED | errno.ENOSYS),
        ("x86_64", 0x40000000 + 39, (), KILL),
        ("x86_64", 0x40000000 + 1000, (), KILL),
        ("x86_64", 39, (), ALLOW),
        ("aarch64", 172, (), ALLOW),
        ("x86_64", 56, (0x11,), ALLOW),
        ("x86_64", 56, (0x3D0F00,), ALLOW),  # a thread, as glibc makes it
        ("x86_64", 56, (0x10000011,), REFUSED | errno.EPERM),
        ("aarch64", 220, (0x20000 | 0x11,), REFUSED | errno.EPERM),
        ("x86_64", 16, (0, 0x5401), ALLOW),
        ("x86_64", 16, (0, 0x5412), REFUSED | errno.EPERM),
        ("x86_64", 16, (0, 0x5412 | 1 << 40), REFUSED | errno.EPERM),
        ("aarch64", 29, (0, 0x541C), REFUSED | errno.EPERM),
        ("x86_64", 41, (1, 1), ALLOW),
        ("x86_64", 41, (2, 1), ALLOW),
        ("x86_64", 41, (10, 1), ALLOW),
        ("x86_64", 41, (16, 3, 0), ALLOW),
        ("x86_64", 41, (16, 3, 12), REFUSED | errno.EAFNOSUPPORT),
        ("x86_64", 41, (40, 1), REFUSED | errno.EAFNOSUPPORT),
        ("aarch64", 198, (17, 3), REFUSED | errno.EAFNOSUPPORT),
        ("x86_64", 53, (1, 1), ALLOW),
        ("x86_64", 53, (2, 1), REFUSED | errno.EAFNOSUPPORT),
        ("x86_64", 90, (0, 0o755), ALLOW),
        ("x86_64", 90, (0, 0o4755), REFUSED | errno.EPERM),
        ("aarch64", 53, (0, 0, 0o2755), REFUSED | errno.EPERM),
        ("x86_64", 2, (0, os.O_RDONLY, 0o7777), ALLOW),  # the mode means nothing here
        ("x86_64", 2, (0, os.O_CREAT, 0o4755), REFUSED | errno.EPERM),
        ("x86_64", 257, (0, 0, os.O_CREAT, 0o644), ALLOW),
        ("aarch64", 56, (0, 0, 0o20000000, 0o2000), REFUSED | errno.EPERM),
    ],
)  # fmt: skip
def test_a_call_gets_its_answer(machine: str, number: int, args: tuple[int, ...], expected: int) -> None:
    assert answer(machine, number, *args) == expected


@given(st.sampled_from(sorted(ARCH)), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_another_architecture_is_killed(machine: str, number: int, arch: int) -> None:
    assert answer(machine, number, arch=arch) == KILL or arch == ARCH[machine]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_no_high_bits_let_a_setuid_bit_or_a_namespace_through(high: int, mode: int) -> None:
    assert (answer("x86_64", 91, high, mode) != ALLOW) == bool(mode & 0o6000)
    assert (answer("x86_64", 56, mode) != ALLOW) == bool(mode & 0x7E020000)


def test_debuggers_can_be_let_through() -> None:
    assert answer("x86_64", 101, debuggers=True) == ALLOW


@pytest.mark.parametrize(
    ("machine", "number", "args", "network", "expected"),
    [
        ("x86_64", 41, (1, 1), True, REFUSED | errno.EAFNOSUPPORT),  # a unix socket
        ("x86_64", 41, (1 | 1 << 32, 1), True, REFUSED | errno.EAFNOSUPPORT),
        ("x86_64", 41, (2, 1), True, ALLOW),
        ("x86_64", 41, (10, 2), True, ALLOW),
        ("x86_64", 41, (16, 3, 0), True, ALLOW),
        ("x86_64", 41, (16, 3, 12), True, REFUSED | errno.EAFNOSUPPORT),
        ("aarch64", 198, (2, 1), False, REFUSED | errno.EAFNOSUPPORT),
        ("x86_64", 41, (10, 2), False, REFUSED | errno.EAFNOSUPPORT),
        ("x86_64", 41, (16, 3, 0), False, REFUSED | errno.EAFNOSUPPORT),
        ("x86_64", 53, (1, 1), False, ALLOW),  # a pair of them reaches nobody
        ("x86_64", 302, (0, 7), False, ALLOW),
        ("x86_64", 302, (1234, 7), False, REFUSED | errno.EPERM),
        ("aarch64", 140, (0, 0, 5), False, ALLOW),
        ("aarch64", 140, (0, 1234, 5), False, REFUSED | errno.EPERM),
        ("aarch64", 140, (2, 0, 5), False, REFUSED | errno.EPERM),  # all processes of the user
        ("x86_64", 251, (1, 0), False, ALLOW),
        ("x86_64", 251, (3, 0), False, REFUSED | errno.EPERM),
        ("x86_64", 30, (1,), False, REFUSED | errno.EPERM),
        ("aarch64", 194, (1,), True, REFUSED | errno.EPERM),
    ],
)  # fmt: skip
def test_without_namespaces_what_is_shared_with_the_host_is_refused(
    machine: str, number: int, args: tuple[int, ...], network: bool, expected: int
) -> None:
    assert answer(machine, number, *args, namespaces=False, network=network) == expected
