"""What one run of a client gets: variables, arguments and files that lead it to the gateway and keep it quiet."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mohist.app.errors import ConfigError
from mohist.app.govern import form
from mohist.app.govern.client import Client, Dress

_MODEL: Final = re.compile(r"[^\s\"'\\`$@\x00-\x1f\x7f]{1,256}")
_MARK: Final = re.compile(r"@(URL|KEY|MODEL|HOME)@")
_MAX_FILE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client is led to."""

    url: str
    """Without a path."""
    key: str
    model: str
    home: str = "~"
    """The HOME that the client sees."""


@dataclass(frozen=True, slots=True)
class Outfit:
    """What a client is started with."""

    env: Mapping[str, str]
    args: tuple[str, ...]
    files: Mapping[str, Mapping[str, Any]]
    """Path below HOME -> what it must say; anything else in such a file stays."""


def outfit(client: Client, place: Place) -> Outfit:
    """The settings of a client inside the fence.

    Args:
        client: who.
        place: where its calls go.

    Raises:
        ConfigError: it can't be led to the gateway, or the model's name can't stand in settings.
    """
    if client.unsupported:
        raise ConfigError(
            f"{client.title} can't work through the gateway: {client.unsupported}.",
            "`mohist govern --print-config` lists the clients that can.",
        )
    if not _MODEL.fullmatch(place.model):
        raise ConfigError(f"The model {place.model!r} has a name that no client's settings can hold.", "Name another.")
    return dressed(client, place, client.fresh, client.fenced)


def dressed(client: Client, place: Place, *more: Dress) -> Outfit:
    """What leads it to the gateway and keeps it quiet, and `more`; does not ask whether it can work."""
    parts = (client.reach, client.quiet, *more)
    env: dict[str, str] = {}
    files: dict[str, Mapping[str, Any]] = {}
    for part in parts:
        filled = fill(part, place)
        env |= filled.env
        for name, said in filled.files.items():
            files[name] = form.merged(files.get(name, {}), said)
    return Outfit(env, client.args, files)


def fill(dress: Dress, place: Place) -> Dress:
    """The settings with a place in them."""
    return Dress(_filled(dress.env, place), _filled(dress.files, place))


def put(files: Mapping[str, Mapping[str, Any]], home: Path) -> None:
    """Writes settings below a HOME, mode 600, into what is there already; links are not followed.

    Raises:
        ConfigError: one is a link, can't be read or can't be written.
    """
    for name, said in files.items():
        path = home / name
        try:
            for folder in reversed([parent for parent in path.parents if parent.is_relative_to(home)]):
                if folder.is_symlink():
                    raise _linked(folder)
                folder.mkdir(mode=0o700, exist_ok=True)
            old = form.read(name, _text(path)) if path.exists() or path.is_symlink() else {}
            data = form.write(name, form.merged(old, said)).encode()
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            beside.unlink(missing_ok=True)
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            beside.replace(path)
        except OSError as error:
            raise ConfigError(f"The client's settings {str(path)!r} can't be written: {error.strerror}.") from error


def _text(path: Path) -> str:
    if path.is_symlink():
        raise _linked(path)
    with path.open("rb") as file:
        return file.read(_MAX_FILE_BYTES).decode("utf-8", "replace")


def _linked(path: Path) -> ConfigError:
    return ConfigError(f"{str(path)!r} in the client's home is a link.", "Remove it, or use a fresh home.")


def _filled(value: Any, place: Place) -> Any:
    if isinstance(value, str):
        known = {"URL": place.url, "KEY": place.key, "MODEL": place.model, "HOME": place.home}
        return _MARK.sub(lambda found: known[found[1]], value)
    if isinstance(value, Mapping):
        return {_filled(key, place): _filled(one, place) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, place) for one in value]
    return value
