"""Runs inside a sandbox and tries to break out; prints what held as JSON. Standard library only, never imported.

Started as `python -I -S probe.py` by the self-test with a JSON object on its command line. Each probe returns
normally when the sandbox held and raises when it did not.
"""

# It stands alone and starts fast, so it imports little and has no types.
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201, PERF401, PTH101, PTH104, PTH115, PTH116, PTH118, PTH208, S103, S108, SIM105, SIM115

import ctypes
import errno
import json
import os
import platform
import resource
import stat
import sys

FACTS = json.loads(sys.argv[1]) if __name__ == "__main__" else {}
LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"


def refused(action, *allowed):
    """`action` must fail, with one of the given error numbers if any are given."""
    try:
        action()
    except OSError as error:
        if allowed and error.errno not in allowed:
            raise AssertionError(f"failed for another reason: {error}") from None
        return
    raise AssertionError("it worked")


def call_refused(x86, arm, number, *args):
    """The raw system call must be answered by the filter with this error number."""
    result = LIBC.syscall(ctypes.c_long(x86 if X86 else arm), *args)
    if result != -1 or ctypes.get_errno() != number:
        raise AssertionError(f"call {x86} gave {result}, error {ctypes.get_errno()}")


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def status(name):
    with open("/proc/self/status", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith(name + ":"):
                return line.split(":", 1)[1].strip()
    return ""


def host_files():
    refused(lambda: open(FACTS["secret"], "rb"))
    try:
        seen = set(os.listdir(FACTS["home"]))
    except OSError:
        seen = set()
    expect(seen <= set(FACTS["home_shown"]), f"the home shows {len(seen)} names")
    refused(lambda: open("/etc/shadow", "rb"))


def host_writes():
    try:
        open(FACTS["secret"] + ".new", "xb").close()  # in the sandbox's own /tmp; the host looks for it afterwards
    except OSError:
        pass
    for folder in ("/usr", "/etc", "/dev", "/"):
        refused(lambda folder=folder: open(os.path.join(folder, "mohist-probe"), "xb"))


def workspace():
    with open("made-inside", "wb") as stream:
        stream.write(b"ok")


def protected_files():
    refused(lambda: open(".git/config", "ab"), errno.EROFS)
    refused(lambda: open(".git/hooks/pre-commit", "wb"), errno.EROFS)
    refused(lambda: os.rename(".git", "git-away"), errno.EBUSY)
    for name in (".claude", ".mohist", ".github/workflows"):
        refused(lambda name=name: open(os.path.join(name, "planted"), "wb"), errno.EROFS)
        refused(lambda name=name: os.rename(name, "away"), errno.EBUSY, errno.EXDEV)


def setuid_files():
    with open("plain", "wb"):
        pass
    refused(lambda: os.chmod("plain", 0o4755), errno.EPERM)
    refused(lambda: os.open("fresh", os.O_CREAT | os.O_WRONLY, 0o4755), errno.EPERM)


def environment():
    extra = set(os.environ) - set(FACTS["variables"]) - {"PWD", "LC_CTYPE"}  # bwrap and Python add these
    expect(not extra, f"{len(extra)} more variables than were set")


def descriptors():
    seen = set(map(int, os.listdir("/proc/self/fd")))
    expect(seen <= {0, 1, 2, 3}, f"descriptors {sorted(seen)}")
    expect(os.fstat(0).st_rdev == os.makedev(1, 3), "stdin is not the null device")


def host_processes():
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    expect(len(pids) <= 4 and max(pids) < 100, f"processes {pids}")


def network():
    if FACTS["network"] == "none":
        with open("/proc/net/dev", encoding="utf-8") as stream:
            names = {line.split(":")[0].strip() for line in stream.readlines()[2:]}
        expect(names <= {"lo"}, f"interfaces {names}")
        with open("/proc/net/route", encoding="utf-8") as stream:
            expect(len(stream.readlines()) <= 1, "there is a route")


def privileges():
    expect(status("NoNewPrivs") == "1", "new privileges can be gained")
    expect(status("Seccomp") == "2", "no system call filter")
    for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        expect(int(status(name), 16) == 0, f"{name} is {status(name)}")


def namespaces():
    call_refused(272, 97, errno.EPERM, ctypes.c_long(0x10000000))
    call_refused(435, 435, errno.ENOSYS, 0, 0)
    call_refused(56, 220, errno.EPERM, ctypes.c_long(0x10000011), 0, 0, 0, 0)


def kernel_calls():
    call_refused(321, 280, errno.EPERM, 0, 0, 0)  # bpf
    call_refused(425, 425, errno.ENOSYS, 1, 0)  # io_uring_setup
    call_refused(250, 219, errno.EPERM, 0, 0, 0)  # keyctl
    call_refused(101, 117, errno.EPERM, 0, 0, 0, 0)  # ptrace
    call_refused(165, 40, errno.EPERM, 0, 0, 0, 0, 0)  # mount
    call_refused(16, 29, errno.EPERM, 0, ctypes.c_long(0x5412 | 1 << 40), b"x")  # TIOCSTI, high bits set
    call_refused(41, 198, errno.EAFNOSUPPORT, 40, 1, 0)  # a vsock socket


def host_settings():
    for name in ("kernel/core_pattern", "kernel/modprobe", "vm/drop_caches"):
        refused(lambda name=name: open("/proc/sys/" + name, "wb"))
    refused(lambda: open("/proc/sysrq-trigger", "wb"))


def devices():
    found = []
    for name in os.listdir("/dev"):
        if stat.S_ISBLK(os.lstat("/dev/" + name).st_mode) or name in ("mem", "kmem", "kvm", "fuse", "net", "vsock"):
            found.append(name)
    expect(not found, f"devices {found}")


def limits():
    for name in ("NPROC", "FSIZE", "DATA", "NOFILE", "CPU"):
        expect(resource.getrlimit(getattr(resource, "RLIMIT_" + name))[1] > 0, f"no limit {name}")
    expect(resource.getrlimit(resource.RLIMIT_CORE) == (0, 0), "core files are written")


# What stands in for `network`, `host_processes`, `privileges` and `devices` where there are no namespaces.


def sockets():
    for family in (1, 2, 10, 16, 17, 40):  # unix, both internets, netlink, packet, vsock
        call_refused(41, 198, errno.EAFNOSUPPORT, family, 1, 0)


def foreign_processes():
    pid = FACTS["host_pid"]
    refused(lambda: os.kill(pid, 0), errno.EPERM)
    refused(lambda: os.kill(os.getppid(), 0), errno.EPERM)  # the keeper
    for name in ("environ", "mem", "maps"):
        refused(lambda name=name: open(f"/proc/{pid}/{name}", "rb").read(1))
    refused(lambda: os.readlink(f"/proc/{pid}/fd/0"))
    refused(lambda: os.open(f"/proc/{pid}/fd/0", os.O_RDONLY))
    refused(lambda: os.stat(f"/proc/{pid}/root/"))
    call_refused(302, 261, errno.EPERM, pid, 7, 0, 0)  # prlimit64
    call_refused(141, 140, errno.EPERM, 0, pid, 0)  # setpriority


def shared_memory():
    call_refused(29, 194, errno.EPERM, 1, 4096, 0o1600)  # shmget
    call_refused(30, 196, errno.EPERM, 0, 0, 0)  # shmat
    call_refused(240, 180, errno.EPERM, b"x", 0, 0, 0)  # mq_open
    refused(lambda: os.listdir("/dev/shm"))
    refused(lambda: open("/dev/shm/mohist-probe", "xb"))


def device_files():
    refused(lambda: os.listdir("/dev"))
    with open("/proc/partitions", encoding="utf-8") as stream:
        disks = [line.split()[3] for line in stream.readlines()[2:]]
    for name in (*disks, "mem", "kvm", "fuse", "tty", "ptmx"):
        refused(lambda name=name: open("/dev/" + name, "rb"))


def no_new_rights():
    expect(status("NoNewPrivs") == "1", "new privileges can be gained")
    expect(status("Seccomp") == "2", "no system call filter")
    expect(os.geteuid() != 0 and os.getuid() != 0, "it runs as root")
    for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        expect(int(status(name), 16) == 0, f"{name} is {status(name)}")


PROBES = (
    workspace, host_files, host_writes, protected_files, setuid_files, environment, descriptors, host_processes,
    network, privileges, namespaces, kernel_calls, host_settings, devices, limits,
    sockets, foreign_processes, shared_memory, device_files, no_new_rights,
)  # fmt: skip


def main():
    result = {}
    for probe in PROBES:
        if probe.__name__ not in FACTS["probes"]:
            continue
        try:
            probe()
            result[probe.__name__] = ""
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the probe did not prove what it should
            result[probe.__name__] = f"{type(error).__name__}: {error}"
    print(json.dumps(result))


# Imported it must do nothing: on the host these attempts would be real.
if __name__ == "__main__":
    main()
