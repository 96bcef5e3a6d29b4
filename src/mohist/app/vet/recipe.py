"""From a subject and what is known of clients to the ways in which it is run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mohist.app.govern import form
from mohist.app.govern.client import Client, find, named, unknown
from mohist.app.govern.installation import Installation, locate
from mohist.app.govern.outfit import Outfit, Place, fill
from mohist.app.vet.order import KEY, MODEL, Order
from mohist.sandbox import find_toolchains
from mohist.sandbox.layout import HOME
from mohist.vet import SubjectError
from mohist.vet.behaviour.recipe import PROMPT, URL, Recipe
from mohist.vet.behaviour.script import DIALECTS

_WIDE = tuple(Path(name) for name in ("/", "/tmp", "/var/tmp", "/home", "/root", "/etc", "/opt", "/srv", "/var"))  # noqa: S108
_TABLE = Path(__file__).with_name("tasks.toml")


@dataclass(frozen=True, slots=True)
class Ways:
    """How a subject is run."""

    client: str
    """Its name in the table of clients; the program's where it is not there."""
    loud: Recipe
    """As it comes."""
    quiet: Recipe
    """Told to be quiet, where it has a switch; the same as `loud` where it has none."""
    interactive: tuple[str, ...]
    """What a person types; empty: not known."""
    package: str
    version: str


def ways(order: Order, env: Mapping[str, str], program: Path | None = None, package: str = "") -> Ways:
    """The ways to run what an order names.

    Args:
        order: with a command, if the subject is no package of its own.
        env: PATH, and where toolchains are.
        program: what was installed for it; None: the command's own.
        package: what that was installed from, "npm:NAME".

    Raises:
        ConfigError: there is no such program.
        SubjectError: it is not known how it is run.
    """
    words = list(order.command) or ([str(program)] if program else [])
    if not words:
        raise SubjectError(
            f"How {order.subject!r} is run is not known.", "Name the command: --command 'PROGRAM ARGS @PROMPT@'."
        )
    name = Path(words[0]).name
    installation = locate(str(program) if program else words[0], env, order.cwd)
    client = _client(order, name, package or installation.package)
    task = _tasks().get(client.name, {}).get("task", [])
    rest, besides = _shown(words[1:], order, env)
    if not any(PROMPT in word for word in rest):
        if not task and not rest:
            raise SubjectError(
                f"How {name!r} does a task by itself is not known.",
                f"Name the whole command with {PROMPT} where the task goes: --command '{name} ARGS {PROMPT}'.",
            )
        rest += task
    readable = tuple(dict.fromkeys((*_readable(installation, env), *besides)))
    argv = (str(installation.program), *client.args, *rest)
    loud = _recipe(client, argv, readable, quiet=False)
    typed = order.interactive
    if typed is None:
        typed = (str(installation.program), *client.args) if task else ()
    else:
        first = str(program) if program and typed[:1] == (name,) else typed[0] if typed else ""
        typed = (str(locate(first, env, order.cwd).program), *typed[1:]) if typed else ()
    return Ways(
        client.name,
        loud,
        _recipe(client, argv, readable, quiet=True),
        typed,
        package or installation.package,
        installation.version,
    )


def server(order: Order, env: Mapping[str, str], argv: Sequence[str], program: Path | None) -> Recipe:
    """How a server's command is started.

    Args:
        order: for its folder.
        env: PATH, and where toolchains are.
        argv: the command as it was named.
        program: what was installed for it in place of a launcher; None: the command's own.

    Raises:
        ConfigError: there is no such program.
    """
    rest, besides = _shown(list(argv[1:]) if program is None else _after_package(argv), order, env)
    installation = locate(str(program) if program else argv[0], env, order.cwd)
    readable = tuple(dict.fromkeys((*_readable(installation, env), *besides)))
    return Recipe("server", "openai-chat", (str(installation.program), *rest), readable=readable)


def _after_package(argv: Sequence[str]) -> list[str]:
    """A launcher's words behind the package's name: they are the program's own."""
    for at, word in enumerate(argv[1:], 1):
        if not word.startswith("-") and word not in ("exec", "x", "dlx", "run", "tool"):
            return list(argv[at + 1 :])
    return []


def _client(order: Order, name: str, package: str) -> Client:
    known = find(name, package)
    if known is not None and not order.dialect:
        if known.dialect not in DIALECTS:
            raise SubjectError(f"{known.title} speaks a dialect that the scripted model does not: {known.dialect}.")
        return known
    if known is not None:
        return named(name)
    if not order.dialect:
        raise SubjectError(f"What {name!r} speaks is not known.", f"Name it: --dialect {' | '.join(DIALECTS)}.")
    return unknown(name, order.dialect)


def _tasks() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))


def _shown(words: list[str], order: Order, env: Mapping[str, str]) -> tuple[list[str], list[Path]]:
    """The words with files by their full paths, since the subject works elsewhere, and what has to be shown for them."""
    made: list[str] = []
    shown: list[Path] = []
    for word in words:
        path = (order.cwd / word).resolve() if "/" in word and PROMPT not in word else None
        if path is None or not path.exists():
            made.append(word)
            continue
        made.append(str(path))
        # A script may need what lies beside it; a home or a system folder is too much to show.
        wide = {Path(env.get("HOME") or "/"), *_WIDE}
        folder = path if path.is_dir() else path.parent
        shown.append(path if folder in wide or folder.is_relative_to("/usr") else folder)
    return made, [path for path in shown if not path.is_relative_to("/usr")]


def _readable(installation: Installation, env: Mapping[str, str]) -> tuple[Path, ...]:
    toolchains = find_toolchains(env)
    return tuple(dict.fromkeys((*installation.folders, *installation.search, *toolchains)))


def _recipe(client: Client, argv: tuple[str, ...], readable: tuple[Path, ...], *, quiet: bool) -> Recipe:
    worn = _outfit(client, Place(URL, KEY, MODEL, HOME), quiet=quiet)
    dialect = next(one for one in DIALECTS if one == client.dialect)
    files = {name: form.write(name, said) for name, said in worn.files.items()}
    return Recipe(client.name, dialect, argv, worn.env, files, readable)


def _outfit(client: Client, place: Place, *, quiet: bool) -> Outfit:
    env: dict[str, str] = {}
    files: dict[str, Mapping[str, object]] = {}
    for part in (client.reach, *((client.quiet,) if quiet else ()), client.fresh):
        filled = fill(part, place)
        env |= filled.env
        for name, said in filled.files.items():
            files[name] = form.merged(files.get(name, {}), said)
    return Outfit(env, client.args, files)
