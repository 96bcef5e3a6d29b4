"""A real OpenSSH server on loopback, run as an ordinary process, and a link to it that can be cut."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sshd:
    """Started at once; skips the test, with the reason, where there is none."""

    def __init__(self, folder: Path, before: tuple[str, ...] = ()) -> None:
        if SSHD is None:
            pytest.skip("sshd is not installed: apt-get install openssh-server")
        folder.mkdir(parents=True)
        self.folder = folder
        self.port = free_port()
        self.user = getpass.getuser()
        host_key, user_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        for name, key in (("host_key", host_key), ("key", user_key)):
            key.write_private_key(str(folder / name))
            (folder / name).chmod(0o600)
        self.key = folder / "key"
        (folder / "authorized_keys").write_bytes(user_key.export_public_key())
        self.known_hosts = folder / "known_hosts"
        self.trust_only(host_key)
        (folder / "config").write_text(
            f"""
            Port {self.port}
            ListenAddress 127.0.0.1
            HostKey {folder}/host_key
            AuthorizedKeysFile {folder}/authorized_keys
            PidFile {folder}/sshd.pid
            PermitRootLogin prohibit-password
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            StrictModes no
            UsePAM no
            """,
            encoding="utf-8",
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in before a login
        self._argv = [*before, SSHD, "-D", "-e", "-f", str(folder / "config")]
        self.start()

    def start(self) -> None:
        """Also again, on the same port."""
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        end_s = time.monotonic() + 60
        while not self._answers():
            said = (self.folder / "log").read_text(encoding="utf-8")
            if self.process.poll() is not None:
                pytest.skip(f"sshd does not start here: {said}")
            assert time.monotonic() < end_s, said
            time.sleep(0.02)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def trust_only(self, key: asyncssh.SSHKey) -> None:
        public = key.export_public_key().decode().strip()
        self.known_hosts.write_text(f"* {public}\n", encoding="utf-8")

    def kill(self) -> None:
        """As a host that loses power does: the server, its sessions, and what runs in them, at once."""
        pids = [self.process.pid]
        for pid in pids:
            pids += [child for child in _children(pid) if child not in pids]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(60)

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text(encoding="utf-8").split()]
    return []


class Link:
    """A TCP link to the server: `cut` ends what goes over it and refuses more, `mend` lets it through again."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._up = True
        self.turned_away = asyncio.Semaphore(0)
        """Counts the connections that were tried while it was cut."""
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        self._up = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._up = True

    async def close(self) -> None:
        self.cut()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._up:
            self.turned_away.release()
            writer.transport.abort()
            return
        back, forth = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, forth}

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while chunk := await source.read(65536):
                    sink.write(chunk)
                    await sink.drain()
            sink.close()

        with suppress(asyncio.CancelledError):
            await asyncio.gather(pump(reader, forth), pump(back, writer))
        self._writers -= {writer, forth}
