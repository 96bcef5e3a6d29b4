"""What is known of one model call when it is decided: who, by which client, what for, and where it would go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_MAJOR: Final = 4_000_000
MAX_PART: Final = 999_999
_NUMBERS: Final = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?=$|[^\d])([^+]*)", re.ASCII)
# A fourth number, as in 1.2.3.4a, is a build of the release; anything else that follows marks what came before it.
_RELEASED: Final = re.compile(r"\.\d|\.post|$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Facts:
    """One call and one upstream that could serve it. Texts are as the client or the configuration wrote them."""

    user: str = ""
    team: str = ""
    project: str = ""
    key_id: str = ""
    client: str = ""
    """Name and version as the client says them, e.g. `claude-cli/2.1.330`. It can say what it likes."""
    dialect: str = ""
    model: str = ""
    """As the client asked."""
    tools: tuple[str, ...] = ()
    """Names of all tools the call offers to the model, those that the vendor runs included."""
    vendor_tools: tuple[str, ...] = ()
    """Kinds of tools that the vendor would run on its own machines, e.g. `web_search`."""
    stream: bool = False
    prompt_tokens: int = 0
    """Estimated."""
    session: str = ""
    at_ms: int = 0
    """Unix time; decided with the resolution of a minute."""
    upstream: str = ""
    vendor: str = ""
    region: str = ""
    data_class: str = ""
    """The data that the upstream is cleared for."""
    self_hosted: bool = False
    served_model: str = ""
    """What the upstream calls the model."""


def client_parts(client: str) -> tuple[str, int]:
    """Name in lower case and version as a number; the number is 0 when the client says none that can be read."""
    name, _, version = client.partition("/")
    return name.strip().lower(), version_number(version)


def version_number(version: str) -> int:
    """A number that orders versions: three parts count, and what is marked as coming before a release does.

    `2.1` equals `2.1.0`, `2.1.0-beta` is less; parts that are too large count as the largest. 0: no version.
    """
    found = _NUMBERS.match(version.strip())
    if found is None:
        return 0
    major, minor, patch = (min(_whole(part), MAX_PART) for part in (found[1], found[2], found[3]))
    major = min(_whole(found[1]), MAX_MAJOR)
    released = _RELEASED.match(found[4].strip()) is not None
    return 2 * (major * 10**12 + minor * 10**6 + patch) + released


def _whole(digits: str | None) -> int:
    # Python refuses to read very long numbers, and a header may hold one.
    return 0 if not digits else MAX_MAJOR if len(digits.lstrip("0")) > 9 else int(digits)


ATTRIBUTES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("principal", ""): ("user", "team", "project"),
    ("principal", "key"): ("key_id",),
    ("resource", ""): ("upstream",),
    ("resource", "vendor"): ("vendor",),
    ("resource", "region"): ("region",),
    ("resource", "data_class"): ("data_class",),
    ("resource", "self_hosted"): ("self_hosted",),
    ("resource", "model"): ("served_model",),
    ("context", "client"): ("client",),
    ("context", "dialect"): ("dialect",),
    ("context", "model"): ("model",),
    ("context", "tools"): ("tools",),
    ("context", "vendor_tools"): ("vendor_tools",),
    ("context", "stream"): ("stream",),
    ("context", "prompt_tokens"): ("prompt_tokens",),
    ("context", "session"): ("session",),
    ("context", "at"): ("at_ms",),
    ("context", "hour"): ("at_ms",),
    ("context", "minute"): ("at_ms",),
    ("context", "weekday"): ("at_ms",),
}
"""What a rule can name -> the facts it rests on. The empty name is the entity itself and what it belongs to."""
