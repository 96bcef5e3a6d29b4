"""A host over SSH: a folder for each release, one link that is switched, a command that restarts.

    PATH/releases/ID   what was uploaded, with RELEASE.json        PATH/current   link to the one that serves
    PATH/shared        the service's own, never touched            PATH/lock      link whose name is the deployer's
    PATH/incoming      uploads that are not complete               PATH/touched   link: whose activation began

A lock is a link, because making one is atomic and says whose it is; it belongs to a release and not to a process, so
that a killed deploy goes on and another one waits.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import shlex
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, ClassVar

import asyncssh
from anyio import to_thread

from mohist.delivery.errors import BusyError, TargetError, UnreachableError
from mohist.delivery.target.contract import Answer, ReleaseFacts, Standing, Strategy
from mohist.delivery.target.probe import ProbeSpec, ask

_CHUNK = 256 * 1024
_CONNECT_S = 15.0
_TAIL = 400

# Each script gets $1 = PATH and $2 = the release's id. `ln -n`: a link to a folder is a name like any other.
# A killed deployer's command runs on without it: the next one waits for its end (flock on the folder, which the kernel
# frees with the process; @ is how long), or two restarts would meet.
_LOCK = """
set -eu; P=$1 ID=$2; mkdir -p "$P/releases" "$P/incoming" "$P/shared"
exec 9< "$P"; if command -v flock > /dev/null; then flock -w @ 9 || exit 81; fi
ln -sn "$ID" "$P/lock" 2>/dev/null || true
OWNER=$(readlink "$P/lock") || exit 1
[ "$OWNER" = "$ID" ] || { echo "$OWNER"; exit 77; }
"""
_RELINK = """
relink() { rm -f "$P/current.new"; ln -sn "releases/$1" "$P/current.new"
  mv -fT "$P/current.new" "$P/current" 2>/dev/null || mv -fh "$P/current.new" "$P/current"; }
"""
_LOOK = _LOCK + '[ -f "$P/releases/$ID/RELEASE.json" ] && echo there || echo missing'
# $3 = the upload's SHA-256, $4 = RELEASE.json. A digest that differs is a broken upload, tar's trouble a full disk.
_UNPACK = (
    _LOCK
    + """
I=$P/incoming/$ID; rm -rf "$I"; mkdir "$I"; trap 'rm -rf "$I" "$I.tgz"' EXIT
cat > "$I.tgz"
if command -v sha256sum >/dev/null; then S=$(sha256sum < "$I.tgz"); else S=$(shasum -a 256 < "$I.tgz"); fi
[ "${S%% *}" = "$3" ] || exit 80
tar -xzf "$I.tgz" -C "$I"
printf %s "$4" > "$I/RELEASE.json"
rm -rf "$P/releases/$ID"; mv "$I" "$P/releases/$ID"
"""
)
# A folder, an environment as `export` takes it, a command of the spec. Its output goes to a file: a service that it
# starts keeps what it inherits open, and the connection would wait for that.
_RUN_IN = """
run_in() { [ -n "$3" ] || return 0
  ( cd "$1" && eval "export $2" && exec sh -c "$3" ) < /dev/null > "$P/last.log" 2>&1 9>&- ||
  { C=$?; tail -c 400 "$P/last.log"; echo "(exit code $C)"; exit 1; }; }
"""
_PREPARE = _LOCK + _RUN_IN + 'run_in "$P/releases/$ID" "$4" "$3"'
_ACTIVATE = (
    _LOCK
    + _RELINK
    + _RUN_IN
    + """
ln -sfn "$ID" "$P/touched"; relink "$ID"; run_in "$P/current" "$4" "$3"
"""
)
# $3 = how many to keep.
_COMMIT = (
    _LOCK
    + """
touch "$P/releases/$ID"; rm -f "$P/touched"; cd "$P/releases"
ls -1t | grep -vxF -- "$ID" | tail -n "+$3" | while read -r OLD; do rm -rf "./$OLD"; done
rm -rf "$P/incoming"; rm -f "$P/lock"
"""
)
# $3 = the release before, $4 = environment, $5 = restart, $6 = stop.
_ROLLBACK = (
    _LOCK
    + _RELINK
    + _RUN_IN
    + """
NOW=$(readlink "$P/current" || true); NOW=${NOW#releases/}; TOUCHED=$(readlink "$P/touched" || true)
if [ "$NOW" = "$ID" ] || [ "$TOUCHED" = "$ID" ]; then
  ln -sfn "$ID" "$P/touched"
  if [ -n "$3" ]; then
    [ -d "$P/releases/$3" ] || exit 79
    relink "$3"; run_in "$P/current" "$4" "$5"
  else
    [ -d "$P/current" ] && run_in "$P/current" "$4" "$6"
    rm -f "$P/current"
  fi
fi
cd "$P"; rm -rf "releases/$ID" "incoming/$ID" "incoming/$ID.tgz"; rm -f touched lock
"""
)
_STATUS = 'cd "$1" 2>/dev/null || exit 0; basename "$(readlink current || true)"; ls -1 releases 2>/dev/null || true'


@dataclass(frozen=True, slots=True)
class Login:
    """How a host is reached. Keys only: never a password, and never a host whose key is not known."""

    host: str
    port: int = 22
    user: str = ""
    known_hosts: Path = Path("~/.ssh/known_hosts")
    key: Path | None = None
    passphrase: str | None = field(default=None, repr=False)
    agent: str = ""
    """Path of the agent's socket; asked where no key file is named."""


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Fills `Target`. Needs `sh`, `tar`, `gzip` and `sha256sum` or `shasum` on the host, nothing of Mohist's."""

    login: Login
    path: str
    probing: ProbeSpec
    restart: str = ""
    stop: str = ""
    prepare_command: str = ""
    keep: int = 3
    timeout_s: float = 300.0
    """Of a command; and as long it may wait for one that a killed deployer left behind."""

    kind: ClassVar[str] = "ssh"
    strategies: ClassVar[frozenset[Strategy]] = frozenset({"in-place"})

    def plan(self, release: ReleaseFacts) -> Sequence[str]:
        host = f"{self.login.user}@{self.login.host}" if self.login.user else self.login.host
        steps = [f"upload the artefact to {host}:{self.path}/releases/{release.release_id}"]
        if self.prepare_command:
            steps.append(f"run there: {self.prepare_command}")
        steps.append(f"switch the link {self.path}/current to it")
        if self.restart:
            steps.append(f"run there: {self.restart}")
        return [*steps, f"keep the last {self.keep} releases"]

    async def prepare(self, release: ReleaseFacts) -> None:
        async with self._connected() as connection:
            there = await self._script(connection, _LOOK, release.release_id)
            if there.strip() != b"there":
                await self._upload(connection, release)
            if self.prepare_command:
                await self._script(
                    connection, _PREPARE, release.release_id, self.prepare_command, self._env(release.env())
                )

    async def activate(self, release: ReleaseFacts, weight: int = 100) -> None:  # noqa: ARG002 - has no switch
        async with self._connected() as connection:
            await self._script(connection, _ACTIVATE, release.release_id, self.restart, self._env(release.env()))

    async def probe(self, release: ReleaseFacts, *, beside: bool = False) -> Answer:  # noqa: ARG002 - nothing beside
        async def runs(command: str) -> tuple[int | None, bytes]:
            async with self._connected() as connection:
                done = await self._run(connection, f"cd {shlex.quote(self.path)}/current && {command}")
                return done.exit_status, _bytes(done.stdout)

        try:
            return await ask(self.probing, runs=runs)
        except TargetError as error:
            return Answer(ok=False, error=error.what)

    async def commit(self, release: ReleaseFacts) -> None:
        async with self._connected() as connection:
            # `tail -n +K` begins with line K, and the release itself is not among them.
            await self._script(connection, _COMMIT, release.release_id, str(self.keep))

    async def rollback(self, release: ReleaseFacts, previous: str) -> None:
        env = self._env({**release.env(), "MOHIST_RELEASE": previous})
        async with self._connected() as connection:
            await self._script(connection, _ROLLBACK, release.release_id, previous, env, self.restart, self.stop)

    async def status(self) -> Standing:
        async with self._connected() as connection:
            lines = (await self._script(connection, _STATUS, "")).decode("utf-8", "replace").splitlines()
        return Standing(lines[0] if lines else "", tuple(lines[1:]))

    def _command(self, script: str, *arguments: str) -> str:
        told = script.replace("flock -w @", f"flock -w {max(1, int(self.timeout_s))}")
        return " ".join(["sh", "-c", shlex.quote(told), "mohist", *map(shlex.quote, (self.path, *arguments))])

    @staticmethod
    def _env(values: Mapping[str, str]) -> str:
        return " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items() if name != "MOHIST_ARTEFACT")

    async def _upload(self, connection: asyncssh.SSHClientConnection, release: ReleaseFacts) -> None:
        with tempfile.TemporaryFile() as packed:
            digest = await to_thread.run_sync(_pack, release.folder, packed)
            command = self._command(_UNPACK, release.release_id, digest, json.dumps(release.env()))
            try:
                async with asyncio.timeout(self.timeout_s * 2):
                    process = await connection.create_process(command, encoding=None)
                    try:
                        while chunk := packed.read(_CHUNK):
                            process.stdin.write(chunk)
                            await process.stdin.drain()
                        process.stdin.write_eof()
                    except (BrokenPipeError, ConnectionResetError):
                        pass  # the script ended early, and its exit code says why
                    done = await process.wait()
            except TimeoutError:
                raise UnreachableError(
                    f"The upload to {self.login.host} took more than {self.timeout_s * 2:g} s."
                ) from None
        self._judge(done)

    async def _script(self, connection: asyncssh.SSHClientConnection, script: str, *arguments: str) -> bytes:
        done = await self._run(connection, self._command(script, *arguments))
        return self._judge(done)

    async def _run(self, connection: asyncssh.SSHClientConnection, command: str) -> asyncssh.SSHCompletedProcess:
        try:
            async with asyncio.timeout(self.timeout_s * 2):
                return await connection.run(command, check=False, encoding=None, stdin=asyncssh.DEVNULL)
        except TimeoutError:
            raise TargetError(f"A command on {self.login.host} took more than {self.timeout_s * 2:g} s.") from None

    def _judge(self, done: asyncssh.SSHCompletedProcess) -> bytes:
        output = _bytes(done.stdout)
        tail = (output[-_TAIL:] + _bytes(done.stderr)[-_TAIL:]).decode("utf-8", "replace").strip()
        host = self.login.host
        match done.exit_status:
            case 0:
                return output
            case None:
                raise UnreachableError(f"The connection to {host} was lost in the middle of a command.")
            case 77:
                raise BusyError(
                    f"Release {tail!r} is under way on {host}.",
                    f"Wait for it, or cancel its delivery; where there is none any more, remove {self.path}/lock.",
                )
            case 79:
                raise TargetError(f"The release before is not kept on {host} any more.", "Deploy its commit again.")
            case 80:
                raise UnreachableError(f"The upload to {host} arrived damaged.")
            case 81:
                raise UnreachableError(f"A command that a killed deployer began still runs on {host}.")
            case code:
                raise TargetError(f"A command on {host} ended with {code}.", f"It said: {tail}" if tail else "")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncssh.SSHClientConnection]:
        login = self.login
        known = login.known_hosts.expanduser()
        try:
            async with asyncssh.connect(
                login.host,
                login.port,
                config=(),
                username=login.user or (),
                known_hosts=str(known),
                client_keys=[str(login.key.expanduser())] if login.key else (),
                passphrase=login.passphrase,
                agent_path=login.agent or None,
                agent_forwarding=False,
                preferred_auth="publickey",
                connect_timeout=_CONNECT_S,
                login_timeout=_CONNECT_S,
                keepalive_interval=5,
                keepalive_count_max=3,
            ) as connection:
                yield connection
        except asyncssh.HostKeyNotVerifiable:
            raise TargetError(
                f"The key of {login.host} is not the one in {known}, or is not there.",
                "Find out why, and add the right key: nothing was sent.",
            ) from None
        except asyncssh.PermissionDenied:
            raise TargetError(f"{login.host} does not accept the key.", "Name the right user and key.") from None
        except asyncssh.KeyImportError as error:
            raise TargetError(f"The key {str(login.key)!r} can't be read: {error}.") from None
        except (asyncssh.Error, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise TargetError(f"{error.filename!r} is not there.", "Name `known_hosts` and `key`.") from None
            raise UnreachableError(f"{login.host} can't be reached: {_why(error)}.") from None


def _why(error: asyncssh.Error | OSError) -> str:
    if isinstance(error, asyncssh.Error):
        return error.reason or type(error).__name__
    return error.strerror or type(error).__name__


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode()


def _pack(folder: Path, into: IO[bytes]) -> str:
    """Writes a tar of `folder` that is the same for the same content; returns its SHA-256, `into` is at its begin."""
    with (
        gzip.GzipFile(filename="", fileobj=into, mode="wb", compresslevel=1, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if name.parts[0] == ".git":
                continue
            tar.inodes.clear()  # type: ignore[attr-defined]  # a second name of a file is a file too
            tar.add(path, arcname=str(name), recursive=False, filter=_anonymous)
    into.seek(0)
    digest = hashlib.sha256()
    while chunk := into.read(_CHUNK):
        digest.update(chunk)
    into.seek(0)
    return digest.hexdigest()


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not (entry.isfile() or entry.isdir() or entry.issym()):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    entry.mode &= 0o755
    return entry
