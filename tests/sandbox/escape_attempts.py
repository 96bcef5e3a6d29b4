"""Attempts to break out, each as code that prints ESCAPED when it worked. Run inside and, as proof that it can tell, outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# Runs each attempt in a process of its own; outside each gets a copy of the workspace, since there they work.
DRIVER = """
import ctypes, errno, json, os, platform, signal, socket, stat, sys, traceback
F = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def call(x86, arm, *args):
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in (x86 if platform.machine() == "x86_64" else arm, *args)]
    r = libc.syscall(*wide)
    return 0 if r >= 0 else ctypes.get_errno()
def escaped(yes=True):
    if yes: print("ESCAPED")
def read(path):
    with open(path) as s: return s.read()
found = {}
for number, (name, code) in enumerate(F["attempts"].items()):
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        for fd in (1, 2): os.dup2(w, fd)
        try:
            if F["folders"]: os.chdir(F["folders"][number])
            exec(code)
            print("DONE")
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(w)
    found[name] = b"".join(iter(lambda: os.read(r, 65536), b"")).decode()
    os.close(r)
    os.waitpid(pid, 0)
print(json.dumps(found))
"""

Proof = Literal["anybody", "root", "none"]


@dataclass(frozen=True)
class Attempt:
    """`proof` says who escapes with it unconfined; "none" where trying it on the host would hurt or prove nothing."""

    name: str
    code: str
    proof: Proof = "anybody"


def _routed() -> bool:
    """Whether this host has a way to the outside at all."""
    lines = Path("/proc/net/route").read_text(encoding="utf-8").splitlines()[1:]
    return any(line.split()[1] == "00000000" for line in lines)


# A filter of its own that answers by notification: what the outer one refuses must be refused before that one is asked.
_NOTIFIER = """
import select, struct
code = struct.pack("=HBBI", 0x20, 0, 0, 0) + struct.pack("=HBBI", 0x15, 0, 1, 272 if platform.machine() == "x86_64" else 97)
code += struct.pack("=HBBI", 6, 0, 0, 0x7FC00000) + struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)
buffer = ctypes.create_string_buffer(code)
program = struct.pack("@HP", 4, ctypes.addressof(buffer))
libc.prctl(38, 1, 0, 0, 0)
listener = libc.syscall(ctypes.c_long(317 if platform.machine() == "x86_64" else 277), 1, 8, program)
assert listener >= 0, ctypes.get_errno()
pid = os.fork()
if not pid: call(272, 97, 0); os._exit(0)
waiter = select.poll(); waiter.register(listener, select.POLLIN)
told = waiter.poll(500)
os.kill(pid, 9); os.waitpid(pid, 0)
escaped(bool(told))
"""

ATTEMPTS = [
    Attempt("read a secret by path", "escaped(F['token'] in read(F['secret']))"),
    Attempt(
        "read it through a link",
        "os.path.lexists('l') or os.symlink(F['secret'], 'l'); escaped(F['token'] in read('l'))",
    ),
    Attempt("read it by ..", "escaped(F['token'] in read('../secret'))"),
    Attempt("hardlink it in", "os.link(F['secret'], 'hard'); escaped()"),
    Attempt("rename it in", "os.rename(F['secret'] + '2', 'renamed'); escaped()"),
    Attempt("write /usr", "escaped(os.access('/usr', os.W_OK) or os.access('/etc', os.W_OK))", "root"),
    Attempt("write /etc/passwd", "open('/etc/passwd', 'a').close(); escaped()", "root"),
    Attempt("leave a setuid file by chmod", "open('s','w').close(); os.chmod('s', 0o4755); escaped()"),
    Attempt(
        "leave a setuid file by open",
        "os.open('s2', os.O_CREAT|os.O_WRONLY, 0o6755); escaped(os.stat('s2').st_mode & 0o6000)",
    ),
    Attempt(
        "leave a setuid file by openat2",
        "how=(ctypes.c_uint64*3)(os.O_CREAT|os.O_WRONLY, 0o4755, 0); escaped(call(437,437,-100,b's3',how,24)==0)",
    ),
    Attempt("leave a setuid file by mknod", "os.mknod('s4', stat.S_IFREG|0o4755); escaped()"),
    Attempt("make a block device", "os.mknod('d', stat.S_IFBLK|0o600, os.makedev(254, 0)); escaped()", "root"),
    Attempt(
        "find devices of the host",
        "escaped(any(stat.S_ISBLK(os.lstat('/dev/'+n).st_mode) or n in ('mem','kvm','fuse') for n in os.listdir('/dev')))",
    ),
    Attempt("read a host process's environment", "escaped(len(read(f\"/proc/{F['pid']}/environ\")) > 0)"),
    Attempt(
        "reach the host by /proc/*/root",
        "escaped(any(os.path.exists(f\"/proc/{p}/root{F['secret']}\") for p in os.listdir('/proc') if p.isdigit()))",
    ),
    Attempt("write core_pattern", "open('/proc/sys/kernel/core_pattern', 'r+').close(); escaped()", "root"),
    Attempt("write the running interpreter", "os.close(os.open('/proc/1/exe', os.O_WRONLY)); escaped()", "none"),
    Attempt("inherit a variable", "escaped(F['variable'] in os.environ or 'LD_PRELOAD' in os.environ)"),
    Attempt("signal a host process", "os.kill(F['pid'], 0); escaped()"),
    Attempt("ptrace", "escaped(call(101, 117, 0, 0, 0, 0) == 0)"),
    Attempt("process_vm_readv", "escaped(call(310, 270, os.getpid(), 0, 0, 0, 0, 0) == 0)"),
    Attempt("pidfd_getfd", "escaped(call(438, 438, os.pidfd_open(os.getpid()), 0, 0) == 0)"),
    Attempt("open_by_handle_at", "escaped(call(304, 265, -100, 0, 0) not in (errno.EPERM, errno.ENOSYS))", "root"),
    Attempt("raise the priority", "os.nice(-5); escaped()", "root"),
    Attempt("become root", "os.setuid(0); escaped()", "root"),
    Attempt(
        "hold a capability",
        "escaped(any(int(l.split()[1], 16) for l in open('/proc/self/status') if l.startswith(('CapEff','CapPrm','CapBnd'))))",
    ),
    Attempt("gain rights by setuid programs", "escaped('NoNewPrivs:\\t0' in read('/proc/self/status'))"),
    Attempt("nested user namespace", "escaped(call(272, 97, ctypes.c_long(0x10000000)) == 0)"),
    Attempt("clone3", "escaped(call(435, 435, 0, 0) != errno.ENOSYS)"),
    Attempt("mount", "escaped(call(165, 40, 0, 0, 0, 0, 0) != errno.EPERM)", "root"),
    Attempt("open_tree", "escaped(call(428, 428, -100, b'/', 0) == 0)"),
    Attempt("chroot", "os.chroot('.'); escaped()", "root"),
    Attempt("bpf", "escaped(call(321, 280, 0, 0, 0) != errno.EPERM)", "root"),
    Attempt("perf_event_open", "escaped(call(298, 241, 0, 0, 0, 0, 0) != errno.EPERM)"),
    Attempt("io_uring", "escaped(call(425, 425, 1, 0) != errno.ENOSYS)"),
    Attempt("keyctl", "escaped(call(250, 219, 0, -3, 0) != errno.EPERM)"),
    Attempt("userfaultfd", "escaped(call(323, 282, 0) != errno.EPERM)", "root"),
    Attempt(
        "x32 calls",
        "pid = os.fork()\nif not pid: call(0x40000000 + 39, 0x40000000); os._exit(0)\nescaped(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) not in (-signal.SIGSYS, 128 + signal.SIGSYS))",
    ),
    Attempt("abstract socket of the host", "socket.socket(socket.AF_UNIX).connect('\\0' + F['abstract']); escaped()"),
    Attempt("path socket of the host", "socket.socket(socket.AF_UNIX).connect(F['socket']); escaped()"),
    Attempt("shared memory of the host", "escaped(libc.shmget(F['shm'], 0, 0) >= 0)"),
    Attempt("/dev/shm of the host", "escaped(F['token'] in read(F['shm_file']))"),
    Attempt("terminal injection", "escaped(call(16, 29, 0, ctypes.c_long(0x5412), b'x') != errno.EPERM)"),
    Attempt(
        "terminal injection, high bits",
        "escaped(call(16, 29, 0, ctypes.c_long(0x5412 | 1 << 40), b'x') != errno.EPERM)",
    ),
    Attempt("packet socket", "socket.socket(17, socket.SOCK_RAW, 0); escaped()", "none"),
    Attempt("netlink beyond routes", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12); escaped()", "none"),
    Attempt("loopback service of the host", "socket.create_connection(('127.0.0.1', F['port']), 2); escaped()"),
    Attempt(
        "find an interface or a route",
        "escaped({l.split(':')[0].strip() for l in open('/proc/net/dev').readlines()[2:]} != {'lo'} or len(open('/proc/net/route').readlines()) > 1)",
        "none",
    ),
    Attempt("plant a git hook", "open('.git/hooks/pre-commit', 'w').write('#!'); escaped()"),
    Attempt("plant in .git/config", "open('.git/config', 'a').write('[core]'); escaped()"),
    Attempt("replace .git/config", "open('c','w').close(); os.rename('c', '.git/config'); escaped()"),
    Attempt("swap .git", "os.rename('.git', 'git'); escaped()"),
    Attempt("plant a submodule's configuration", "os.makedirs('.git/modules/x'); escaped()"),
    *(
        Attempt(f"plant {name}", f"os.makedirs({name!r}, exist_ok=True); open({name!r} + '/x', 'w').close(); escaped()")
        for name in (".claude", ".codex", ".vscode", ".github/workflows", ".mohist", ".mcp.json")
    ),
    Attempt("replace .claude", "os.path.isdir('.claude') and os.rmdir('.claude'); os.makedirs('.claude'); escaped()"),
    Attempt(
        "replace .github",
        "os.path.isdir('.github') and os.rename('.github', 'g'); os.makedirs('.github/workflows'); escaped()",
    ),
    Attempt("fill /tmp", "s = os.statvfs('/tmp'); escaped(s.f_blocks * s.f_frsize > 2 << 30)", "none"),
    Attempt("fill /dev", "open('/dev/x', 'w').close(); escaped()", "root"),
    Attempt("write a host file", "open(F['secret'], 'r+').close(); escaped()"),
    Attempt("write through a link", "os.symlink(F['secret'], 'out'); os.open('out', os.O_WRONLY); escaped()"),
    Attempt(
        "reopen a path descriptor",
        "fd = os.open(F['secret'], os.O_PATH); escaped(F['token'] in read(f'/proc/self/fd/{fd}'))",
    ),
    Attempt("reach the host by /proc/1/root", "escaped(os.path.exists('/proc/1/root' + F['secret']))", "none"),
    Attempt("see a host process", "escaped(str(F['pid']) in os.listdir('/proc'))"),
    Attempt(
        "read the kernel's memory",
        "open('/proc/kcore', 'rb').read(1); escaped()",
        "root" if Path("/proc/kcore").exists() else "none",
    ),
    Attempt(
        "inherit a descriptor",
        "escaped(any(os.path.realpath(f'/proc/self/fd/{n}') == os.path.realpath(F['secret']) for n in os.listdir('/proc/self/fd')))",
    ),
    Attempt("ptrace a host process", "escaped(call(101, 117, 0x4206, F['pid'], 0, 0) == 0)", "root"),
    Attempt("remount", "escaped(call(165, 40, b'none', b'/usr', 0, 0x1020, 0) == 0)", "none"),
    Attempt("fsopen", "escaped(call(430, 430, b'tmpfs', 0) == 0)", "root"),
    Attempt("pivot_root", "escaped(call(155, 41, b'.', b'.') != errno.EPERM)", "root"),
    Attempt("setns", "escaped(call(308, 268, os.open('/proc/self/ns/net', os.O_RDONLY), 0x40000000) == 0)", "root"),
    Attempt(
        "find a socket of the host",
        "escaped(any(stat.S_ISSOCK(os.lstat(os.path.join(d, n)).st_mode) for d in ('/run', '/tmp', '/var/run') if os.path.isdir(d) for n in os.listdir(d)))",
    ),
    Attempt("raw socket", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); escaped()", "root"),
    Attempt("vsock socket", "socket.socket(40, socket.SOCK_STREAM, 0); escaped()", "none"),
    Attempt(
        "datagrams to the host (DNS)",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.connect(('127.0.0.1', F['datagrams'])); s.send(b'x'); s.recv(9); escaped()",
    ),
    Attempt(
        "loopback service of the host by IPv6",
        "socket.create_connection(('::1', F['port6'] or 1), 2); escaped()",
        "anybody" if Path("/proc/net/if_inet6").exists() else "none",
    ),
    Attempt(
        "route to a metadata service",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('169.254.169.254', 80)); escaped()",
        "anybody" if _routed() else "none",
    ),
    Attempt("answer a call in the kernel's place", _NOTIFIER),
    Attempt(
        "leave a file with capabilities",
        "open('c2', 'w').close(); os.setxattr('c2', 'security.capability', bytes.fromhex('01000002' + 'ffffffff' + '00000000' + 'ffffffff' + '00000000')); escaped()",
        "root",
    ),
    Attempt(
        "mark a file for an overlay",
        "open('o', 'w').close(); os.setxattr('o', 'trusted.overlay.opaque', b'y'); escaped()",
        "root",
    ),
]
