"""What `[guard]` of `mohist.toml` says: plain values, and how several files' rules come together.

Loads nothing of the guard, so that a command that sends nothing anywhere does not pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from mohist.guard.preset import Preset
    from mohist.guard.ruling import Mode

RULES: Final = "guard.rules"
"""The one key that several layers say together."""

DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "guard.mode": "enforce",
        "guard.preset": "default",
        "guard.on_failure": "closed",
        "guard.answers": True,
        "guard.hint": True,
        "guard.without": [],
        "guard.without_rules": [],
        "guard.company_rules": [],
        "guard.listed_secrets": None,
        "guard.allow_list": None,
        "guard.restricted_paths": [],
        "guard.markings": {},
        "guard.names_model": None,
        "guard.names_failure": "closed",
        "guard.key_file": None,
        "guard.keep_days": 90,
        "guard.limits": {},
        RULES: [],
    }
)
"""By dotted key."""

_ORDERS: Final[Mapping[str, Sequence[Any]]] = MappingProxyType(
    {
        "guard.mode": ("off", "observe", "enforce"),
        "guard.preset": ("observe", "default", "strict"),
        "guard.on_failure": ("open", "closed"),
        "guard.answers": (False, True),
    }
)
"""From free to strict; a project may only tighten these, and has no say in the others."""


@dataclass(frozen=True, slots=True)
class Screening:
    """What is asked of the guard."""

    mode: Mode = "enforce"
    preset: Preset = "default"
    on_failure: Literal["closed", "open"] = "closed"
    answers: bool = True
    hint: bool = True
    without: tuple[str, ...] = ()
    """Detectors that are left out."""
    without_rules: tuple[str, ...] = ()
    """Rules of the secret detector that are left out."""
    company_rules: tuple[Path, ...] = ()
    listed_secrets: Path | None = None
    """None: the one in the state folder."""
    allow_list: Path | None = None
    """None: there is none."""
    restricted_paths: tuple[str, ...] = ()
    markings: Mapping[str, str] = field(default_factory=dict)
    """Data classes of a company's own markings."""
    names_model: str | None = None
    """A folder, or the name of an installed package; None: there is none."""
    names_failure: Literal["closed", "noted"] = "closed"
    key_file: Path | None = None
    """None: `guard.key` in the state folder, made when it is first needed."""
    keep_days: int = 90
    limits: Mapping[str, int] = field(default_factory=dict)
    """Of reading, by name, as in `mohist.guard.Limits`; what is not named is as there."""
    rules: tuple[Mapping[str, Any], ...] = ()
    """The owner's, as they are written; the managed file's come first."""
    tightening: tuple[Mapping[str, Any], ...] = ()
    """The project's."""

    def inline_bytes(self, most: int) -> int:
        """How long a body may be that is looked at between other calls' work; none where a model of names is asked, which takes long."""
        return most if self.names_model is None else 0


def may_tighten(key: str) -> bool:
    """Whether a project may say a stricter value of a key of `[guard]`."""
    return key in _ORDERS


def strictness(key: str, value: Any) -> float:
    """Larger is stricter."""
    return _ORDERS[key].index(value)


def screening(values: Mapping[str, Any], said: Sequence[tuple[str, Any]], home: Path) -> Screening:
    """The settings.

    Args:
        values: what holds, by dotted key.
        said: every layer's word on `guard.rules`, the weakest first.
        home: the user's, for `~/`.
    """
    by_layer = dict(said)
    own = [rule for layer in ("managed", "flags", "environment", "user") for rule in by_layer.get(layer) or ()]
    plain: dict[str, Any] = {}
    for one in fields(Screening):
        if one.name in ("rules", "tightening"):
            continue
        value = values[f"guard.{one.name}"]
        if one.name == "company_rules":
            value = [_path(text, home) for text in value]
        elif isinstance(value, str) and one.name in _PATHS:
            value = _path(value, home)
        elif isinstance(value, str) and one.name == "names_model":
            value = str(_path(value, home))
        plain[one.name] = tuple(value) if isinstance(value, list) else value
    return Screening(**plain, rules=tuple(own), tightening=tuple(by_layer.get("project") or ()))


_PATHS: Final = ("listed_secrets", "allow_list", "key_file")


def _path(text: str, home: Path) -> Path:
    return home / text[2:] if text.startswith("~/") else Path(text)
