"""Settings for people who run a client outside the fence but behind the gateway."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mohist.app.govern import form
from mohist.app.govern.client import SERVED, Client, clients, named
from mohist.app.govern.outfit import Place, dressed

SERVER: Final = "http://127.0.0.1:8484"
"""Where `mohist serve` listens when nothing else is said."""
KEY: Final = "mhk-…"
MODEL: Final = "MODEL"


def advice(name: str, url: str = SERVER, model: str = MODEL) -> list[dict[str, Any]]:
    """The settings of one client, or of all for an empty name.

    Raises:
        ConfigError: no such client is known.
    """
    place = Place(url.rstrip("/").removesuffix("/v1"), KEY, model, "$HOME")
    chosen: Sequence[Client] = [named(name)] if name else list(clients().values())
    return [_row(client, place) for client in chosen]


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """For people: what to put where."""
    parts = []
    for row in rows:
        lines = [f"# {row['title']}"]
        if row["unsupported"]:
            lines.append(f"# not behind the gateway: {row['unsupported']}")
        lines += [f"export {key}={_quoted(value)}" for key, value in row["env"].items()]
        for name, said in row["files"].items():
            lines += [f"# In ~/{name}:", form.write(name, said).rstrip("\n")]
        lines += [f"# Put before other arguments: {' '.join(row['args'])}"] if row["args"] else []
        lines += [f"# Still looks for {one['host']}: {one['why']}." for one in row["residual"]]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _row(client: Client, place: Place) -> dict[str, Any]:
    made = dressed(client, place)
    return {
        "client": client.name,
        "title": client.title,
        "programs": list(client.programs),
        "dialect": client.dialect,
        "served": client.dialect in SERVED and not client.unsupported,
        "unsupported": client.unsupported,
        "env": dict(made.env),
        "args": list(made.args),
        "files": {name: dict(said) for name, said in made.files.items()},
        "residual": [{"host": one.host, "why": one.why} for one in client.residual],
        "obeys": list(client.obeys),
    }


def _quoted(value: str) -> str:
    """For a POSIX shell; a variable of the shell stays one."""
    return f'"{value}"' if value.startswith("$HOME/") else shlex.quote(value)
