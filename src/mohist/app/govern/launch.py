"""From an order to a governed run: everything is made ready, entered and started, and taken down again whatever happens."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from anyio.abc import ByteStream

from mohist.app.config import Config, Server, load_config
from mohist.app.ending import known_error
from mohist.app.errors import ConfigError
from mohist.app.evidence import open_evidence
from mohist.app.govern import report as telling
from mohist.app.govern.account import Account
from mohist.app.govern.client import Client, find, named, unknown
from mohist.app.govern.diary import Diary
from mohist.app.govern.home import open_home
from mohist.app.govern.identity import put_identity
from mohist.app.govern.inlet import Inlet
from mohist.app.govern.installation import Installation, locate
from mohist.app.govern.order import Governed, Judge, Order, Use
from mohist.app.govern.outfit import Outfit, Place, outfit, put
from mohist.app.govern.pipe import Pipes
from mohist.app.govern.registration import bound_name
from mohist.app.govern.screen import Screen
from mohist.app.govern.setting import describe
from mohist.app.govern.sitting import in_pipes, in_terminal
from mohist.app.govern.standing import judged, obeyed
from mohist.app.govern.tally import Tally
from mohist.app.govern.terminal import Terminal
from mohist.app.govern.way import Way, open_way
from mohist.app.govern.wish import HOST, URL, decide
from mohist.app.key import SERVER_KEY_ENV
from mohist.app.trust import TrustStore
from mohist.base import RandomIds, StatePaths, SystemClock
from mohist.gateway.key import new_secret
from mohist.sandbox import Bubblewrap, Exit, Limits, Profile, find_repository, find_toolchains, start_detached
from mohist.sandbox.fence import Asked, Fence
from mohist.sandbox.layout import HOME

_LIMITS: Final = Limits(memory_bytes=16 * 1024**3, processes=4096, file_bytes=8 * 1024**3, open_files=65_536, cpu_s=0)
"""A client may run for a working day, and what it starts builds whole projects."""
_PATIENT_S: Final = 3.0
_SEARCH: Final = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
_PLAIN: Final = {"PATH": os.defpath, "LANG": "C.UTF-8"}
_PIPES: Final = "govern/pipes"
"""Below the state folder."""


@dataclass(frozen=True, slots=True)
class _Wares:
    """What a run is made of, known before anything is started."""

    order: Order
    client: Client
    installation: Installation
    config: Config
    root: Path
    beside: tuple[Path, ...]
    """The repository of a linked work tree, which lies elsewhere."""
    toolchains: tuple[Path, ...]
    run_id: str
    key: str


async def govern(
    order: Order, env: Mapping[str, str], tell: Callable[[str], None], judge: Judge | None = None
) -> Governed:
    """Runs a client to its end.

    Args:
        order: which, and how.
        env: the environment; none of it reaches the client but what says which terminal it has.
        tell: gets the one line that says what is in force, and what people must know besides.
        judge: the register; None: there is none.

    Raises:
        BannedError: the register refuses it.
        MohistError: it can't be started as asked; then nothing was.
    """
    paths, clock = StatePaths.from_env(env), SystemClock()
    wares = await anyio.to_thread.run_sync(_wares, order, env, paths, RandomIds(clock).new("govern"))
    client, config, run_id, project = wares.client, wares.config, wares.run_id, wares.root.name
    account, lost = Account(), 0
    async with AsyncExitStack() as stack:
        screen = stack.enter_context(Screen(tell))
        evidence = open_evidence(paths.home, config.ledger, env, screen.say)
        if evidence is not None:
            stack.push_async_callback(anyio.to_thread.run_sync, evidence.close)
        diary = Diary(evidence, run_id, project)
        tool = bound_name(wares.installation)
        way = await open_way(
            order.model, wares.key, run_id, project, config, env, paths, account, evidence, tool, wares.root
        )

        async def close() -> None:
            nonlocal lost
            lost = await way.close()

        stack.push_async_callback(close)
        use = Use(client, wares.installation, Path(order.command[0]).name, way.model, wares.root)
        standing = await anyio.to_thread.run_sync(judged, judge, use, diary)
        await _begun(way, screen.say)
        settings = obeyed(client, wares.root, order.cwd.resolve(), paths, trust=order.trust_settings)
        home = stack.enter_context(open_home(order.home, paths.home, run_id))
        suit = outfit(client, Place(URL, wares.key, way.model, HOME))
        put(suit.files, home)
        put_identity(home, env)
        tally, inlet = Tally(client.residual, diary.refused), Inlet(way.app)

        async def gateway(stream: ByteStream, _asked: Asked) -> None:
            await inlet.serve(stream)

        judge_network = decide(order.allow, order.allow_private, gateway)
        said = describe(order, client, wares.installation, run_id, way.model, way.source, settings, standing)
        await anyio.to_thread.run_sync(diary.begin, said.entry, list(order.command))
        for line in (said.line, settings.line(client), f"register: {standing.text}" if standing.text else ""):
            if line:
                screen.say(line)
        began_s = clock.monotonic_s()
        screen.lend()
        async with _entered(diary), Fence(judge_network, tally.take) as fence:
            profile = _profile(wares, suit, home, fence, settings.hidden)
            ended, stopped = await _run(wares, suit, profile, paths, env)
        ms = round((clock.monotonic_s() - began_s) * 1000)
        code = telling.exit_code(ended.code, account, stopped=stopped)
        whole = telling.report(said.report, code, ended.code, account, tally, ms)
        end = partial(diary.end, _closing(ended, ms, account, tally, stopped=stopped), whole)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(end)
    lines = telling.table(account, tally, HOST, ended.code, ended.denied or "")
    if lost:
        lines = (*lines, f"govern: the usage of {lost} call(s) could not be written down")
    return Governed(code, ended.code, whole, lines)


@asynccontextmanager
async def _entered(diary: Diary) -> AsyncIterator[None]:
    """Whatever keeps a run from its end is entered as its end, and goes on as the one error that it is."""
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - the boundary of one run
        known = known_error(error) if isinstance(error, BaseExceptionGroup) else error
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(diary.end, {"failed": type(known).__name__}, {})
        raise known from None


async def _begun(way: Way, tell: Callable[[str], None]) -> None:
    """Reads what binds calls; says so where that takes long, which it does once, when the guard's patterns are compiled."""

    async def say() -> None:
        await anyio.sleep(_PATIENT_S)
        tell(
            "govern: getting the guard ready; where its patterns were never compiled before, that takes half a minute, once"
        )

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(say)
            await anyio.to_thread.run_sync(way.begin)
            group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        raise known_error(errors) from None


def _wares(order: Order, env: Mapping[str, str], paths: StatePaths, run_id: str) -> _Wares:
    cwd = order.cwd.resolve()
    repository = find_repository(cwd)
    root = repository.root if repository is not None else cwd
    parts = (repository.common_dir, repository.git_dir) if repository is not None else ()
    beside = tuple(dict.fromkeys(part for part in parts if not part.is_relative_to(root)))
    word = order.command[0]
    installation = locate(word, env, cwd)
    if "/" not in word and installation.program.is_relative_to(root):
        raise ConfigError(
            f"{word!r} in the PATH lies in this project, which so would bring its own client.",
            f"If that is what you want, name it by its path: {str(installation.program)!r}.",
        )
    name = Path(word).name
    client = find(name, installation.package)
    if order.dialect is not None and (client is None or client.dialect != order.dialect):
        client = unknown(name, order.dialect)
    client = client or named(name)
    trust = TrustStore(paths.home / "trust.json", SystemClock())
    config = load_config(env=env, paths=paths, project_root=root, trust=trust, flags={})
    if order.server is not None:
        key_env = config.server.key_env if config.server is not None else SERVER_KEY_ENV
        config = replace(config, server=Server(order.server, key_env))
    toolchains = (*find_toolchains(env), *config.readable)
    return _Wares(order, client, installation, config, root, beside, toolchains, run_id, new_secret())


def _profile(wares: _Wares, suit: Outfit, home: Path, fence: Fence, hidden: tuple[str, ...]) -> Profile:
    tools = [str(path if path.name == "bin" else path / "bin") for path in wares.toolchains]
    search = [*(path for path in tools if Path(path).is_dir()), *map(str, wares.installation.search), *_SEARCH]
    direct = [fence.env.get("NO_PROXY", ""), HOST]
    env = {
        **fence.env,
        "NO_PROXY": ",".join(filter(None, direct)),
        "no_proxy": ",".join(filter(None, direct)),
        "PATH": os.pathsep.join(dict.fromkeys(search)),
        "SHELL": "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh",
        "TZ": "UTC",
        **suit.env,
    }
    shown = (*wares.toolchains, *wares.installation.folders, *wares.beside)
    return Profile(
        workspace=wares.root,
        extra_readable=tuple(dict.fromkeys(shown)),
        network="fenced",
        fence=fence,
        home=home,
        hidden=hidden,
        env=env,
        limits=_LIMITS,
    )


async def _run(
    wares: _Wares, suit: Outfit, profile: Profile, paths: StatePaths, env: Mapping[str, str]
) -> tuple[Exit, bool]:
    order = wares.order
    argv = [str(wares.installation.program), *suit.args, *order.command[1:]]
    cwd, sandbox = order.cwd.resolve(), Bubblewrap(state=paths.home)
    source, sink, errors = order.streams
    try:
        if order.terminal:
            log = paths.home / "govern" / "restore.log"
            guard = partial(start_detached, "mohist.app.govern.restore", env=_PLAIN, log=log)
            with Terminal(source, sink, guard) as terminal:
                return await in_terminal(sandbox, argv, cwd, profile, terminal, env)
        with Pipes(paths.home / _PIPES / wares.run_id, source, sink, errors) as pipes:
            profile = replace(profile, extra_readable=(*profile.extra_readable, pipes.folder))
            return await in_pipes(sandbox, argv, cwd, profile, pipes, errors)
    finally:
        await anyio.to_thread.run_sync(sandbox.close)


def _closing(ended: Exit, ms: int, account: Account, tally: Tally, *, stopped: bool) -> dict[str, int | bool]:
    """What the ledger says of the end."""
    return {
        "exit": ended.code,
        "ms": ms,
        "calls": account.calls,
        "attempts": tally.attempts,
        "refused": tally.refused,
        "stopped": stopped,
    }
