"""From files, environment and flags to one frozen configuration that knows where each value comes from.

managed > flags > environment > project > user > default. Two rules bend that order:
- where strictness counts (mode, network, sandbox, turns, cost, time) a project may only tighten, and the managed file
  is a bound: what is stricter than it stays;
- everything else of a project's file waits until a person trusts the project, or is not heard at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from mohist.agent.setting import RunSettings
from mohist.agent.tool import ToolLimits
from mohist.app import key as keys
from mohist.app.errors import ConfigError
from mohist.app.key import SandboxName
from mohist.app.ledger_setting import LedgerSettings, ledger_settings
from mohist.app.screening import RULES, Screening, screening, strictness
from mohist.app.trust import TrustStore
from mohist.base import StatePaths, canonical_json, sha256_hex
from mohist.policy import MODES, Mode
from mohist.provider.price import PriceRow, Tier
from mohist.provider.resolution import Endpoint
from mohist.sandbox import Way

MANAGED_FILE = Path("/etc/mohist/mohist.toml")
PROJECT_FILE = Path(".mohist/mohist.toml")
_MAX_BYTES = 256 * 1024

Layer = Literal["default", "user", "project", "environment", "flags", "managed"]

ONLY_TIGHTEN = "a project may only tighten this"
NO_SAY = "a project has no say in this"
NOT_TRUSTED = "the project is not trusted"
HEARD_TOO = "heard beside the others"
STRICTER_HOLDS = "a stricter value holds"
OVERRIDDEN = "overridden"
USED = "used"

_NETWORKS: tuple[Way, ...] = ("full", "fenced", "none")
"""The stricter, the later."""
_SHELL_LIMITS = ("parallel_calls", "shell_soft_timeout_s", "shell_hard_timeout_s", "check_timeout_s")


@dataclass(frozen=True, slots=True)
class Said:
    """What one layer says of a key, and what became of it."""

    layer: Layer
    source: str
    """Path of the file or name of the variable; empty for flags and defaults."""
    value: Any
    fate: str
    """`used`, `overridden`, or why it was not heard."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One key with its value and everyone who had something to say, the weakest layer first."""

    key: str
    value: Any
    layer: Layer
    source: str
    said: tuple[Said, ...]

    def as_json(self) -> dict[str, Any]:
        """For `config show --json` and `config explain --json`; header values and passwords are hidden."""
        return {
            "key": self.key,
            "value": _showable(self.key, self.value),
            "layer": self.layer,
            "source": self.source,
            "said": [
                {
                    "layer": said.layer,
                    "source": said.source,
                    "value": _showable(self.key, said.value),
                    "fate": said.fate,
                }
                for said in self.said
            ],
        }


@dataclass(frozen=True, slots=True)
class Server:
    """A gateway that all calls go to."""

    url: str
    key_env: str
    """The variable that holds the virtual key."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where keys, budgets and usage are."""

    database_url: str = field(repr=False)
    """Empty: `gateway.db` in the state folder. From the environment it may hold a password."""
    password_file: str
    """Empty: none."""
    on_loss: Literal["closed", "open"]
    """What budgets do while the database is away."""

    @property
    def variables(self) -> Mapping[str, str]:
        """The same as an environment, for `home_address`: what was settled, and not what a shell says."""
        said = {
            keys.VARIABLES["gateway.database_url"]: self.database_url,
            keys.VARIABLES["gateway.database_password_file"]: self.password_file,
        }
        return {name: value for name, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class Config:
    """What holds for this command."""

    model: str | None
    """None: nobody named one."""
    mode: Mode
    network: Way
    allow_hosts: tuple[str, ...]
    """What commands may reach where it is `fenced`."""
    allow_private_hosts: tuple[str, ...]
    """The same, which may lie at private addresses."""
    sandbox: SandboxName
    max_turns: int
    max_cost_microusd: int | None
    """None: no bound."""
    timeout_s: float
    checks: tuple[str, ...]
    readable: tuple[Path, ...]
    """Folders outside the system's that commands may read."""
    limits: Mapping[str, int | float]
    """By the names of `[limits]`."""
    endpoints: Mapping[str, Endpoint]
    server: Server | None
    """None: the gateway's pipeline runs in this process."""
    gateway: Gateway
    guard: Screening
    ledger: LedgerSettings
    explained: tuple[Explained, ...]
    project: Project | None
    """None: there is no project, or it has no file."""

    def run_settings(self) -> RunSettings:
        """The limits of a run."""
        return RunSettings(
            max_turns=self.max_turns,
            max_cost_microusd=self.max_cost_microusd,
            timeout_s=self.timeout_s,
            parallel_calls=int(self.limits["parallel_calls"]),
            shell_soft_timeout_s=self.limits["shell_soft_timeout_s"],
            shell_hard_timeout_s=self.limits["shell_hard_timeout_s"],
            check_timeout_s=self.limits["check_timeout_s"],
        )

    def tool_limits(self) -> ToolLimits:
        """The limits of tools."""
        return ToolLimits(**{key: int(value) for key, value in self.limits.items() if key not in _SHELL_LIMITS})


@dataclass(frozen=True, slots=True)
class Project:
    """The project's own file."""

    root: Path
    digest: str
    """Of all it would put in force; what `trust` is given."""
    trusted: bool
    waiting: tuple[str, ...]
    """Keys that wait for trust."""


def load_config(
    *,
    env: Mapping[str, str],
    paths: StatePaths,
    project_root: Path | None,
    trust: TrustStore,
    flags: Mapping[str, Any] | None = None,
    managed_file: Path = MANAGED_FILE,
) -> Config:
    """Reads all layers and settles them.

    Args:
        env: the environment; only the `MOHIST_…` variables of the reference are read.
        paths: where the user's file is.
        project_root: root of the repository worked on; None: no project has a say.
        trust: who may.
        flags: values of the command line by key; None as a value: not given.
        managed_file: the machine's file.

    Raises:
        ConfigError: a file can't be read or says what it may not.
        TrustError: the list of trusted projects is not sound.
    """
    layers: list[tuple[Layer, str, dict[str, Any]]] = [("default", "", keys.defaults())]
    layers.append(("user", str(paths.user_config), _file(paths.user_config)))
    project = None
    if project_root is not None:
        path = project_root / PROJECT_FILE
        said = _file(path, within=project_root)
        if path.exists():
            project = _project(project_root, said, trust)
        layers.append(("project", str(path), said))
    for name, entry in keys.KEYS.items():
        if entry.variable and (text := env.get(entry.variable, "").strip()):
            source = f"The environment variable {entry.variable}"
            layers.append(("environment", entry.variable, _checked({name: text}, source)))
    layers += _variables_of_tables(env)
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    layers.append(("flags", "", _checked(given, "The command line")))
    layers.append(("managed", str(managed_file), _file(managed_file)))

    said_keys = dict.fromkeys(key for _, _, said in layers for key in said)
    explained = tuple(_settle(key, layers, project is not None and project.trusted) for key in said_keys)
    held = tuple(entry for entry in explained if entry.said and any(said.fate == USED for said in entry.said))
    return _config(held, explained, project, Path(env.get("HOME") or Path.home()))


def _project(root: Path, said: Mapping[str, Any], trust: TrustStore) -> Project:
    guarded = {key: _plain(value) for key, value in said.items() if keys.guard(key) == keys.TRUST}
    digest = sha256_hex(canonical_json(guarded))
    trusted = trust.is_trusted(root, digest)
    return Project(root, digest, trusted, () if trusted else tuple(guarded))


def _settle(key: str, layers: list[tuple[Layer, str, dict[str, Any]]], trusted: bool) -> Explained:
    """Goes up the layers; a later one takes over unless it may not."""
    said: list[Said] = []
    holder = -1
    for layer, source, values in layers:
        if key not in values:
            continue
        value = values[key]
        refused = _refusal(key, layer, value, said[holder].value if holder >= 0 else None, trusted)
        if refused is None:
            if holder >= 0:
                before = said[holder]
                said[holder] = Said(before.layer, before.source, before.value, OVERRIDDEN)
            holder = len(said)
        said.append(Said(layer, source, value, refused or USED))
    if key == RULES:
        rules = [rule for one in reversed(said) if one.layer != "default" for rule in one.value]
        return Explained(key, rules, said[-1].layer, said[-1].source, tuple(said))
    if holder < 0:
        return Explained(key, None, "default", "", tuple(said))
    return Explained(key, said[holder].value, said[holder].layer, said[holder].source, tuple(said))


def _refusal(key: str, layer: Layer, value: Any, held: Any, trusted: bool) -> str | None:
    tightens = keys.guard(key) == keys.TIGHTEN
    if key == RULES:
        return None if held is None else HEARD_TOO
    if layer == "project":
        if tightens:
            return None if _strictness(key, value) >= _strictness(key, held) else ONLY_TIGHTEN
        if keys.guard(key) == keys.OWNER:
            return NO_SAY
        return None if trusted else NOT_TRUSTED
    if layer == "managed" and tightens and _strictness(key, held) > _strictness(key, value):
        return STRICTER_HOLDS
    return None


def _strictness(key: str, value: Any) -> float:
    """Larger is stricter."""
    if key.startswith("guard."):
        return strictness(key, value)
    if key == "mode":
        return -MODES.index(value)
    if key == "network":
        return _NETWORKS.index(value)
    if key == "sandbox":
        return -get_args(SandboxName).index(value)
    return -value if value is not None else -float("inf")


def _config(
    held: tuple[Explained, ...], explained: tuple[Explained, ...], project: Project | None, home: Path
) -> Config:
    values = {entry.key: entry.value for entry in held}
    cost = values["max_cost_usd"]
    return Config(
        model=values["model"],
        mode=values["mode"],
        network=values["network"],
        allow_hosts=tuple(values["allow_hosts"]),
        allow_private_hosts=tuple(values["allow_private_hosts"]),
        sandbox=values["sandbox"],
        max_turns=values["max_turns"],
        max_cost_microusd=None if cost is None else _micro(cost),
        timeout_s=float(values["timeout_s"]),
        checks=tuple(values["checks"]),
        readable=tuple(_folder(text, home) for text in values["readable"]),
        limits=MappingProxyType(_under("limits.", values)),
        endpoints=MappingProxyType(
            {entry.key.partition(".")[2]: _endpoint(entry) for entry in held if entry.key.startswith("endpoints.")}
        ),
        server=Server(values["server.url"], values["server.key_env"]) if values["server.url"] else None,
        gateway=Gateway(
            values["gateway.database_url"] or "",
            str(_folder(values["gateway.database_password_file"] or "", home))
            if values["gateway.database_password_file"]
            else "",
            values["gateway.on_database_loss"],
        ),
        guard=screening(
            values, [(said.layer, said.value) for one in explained if one.key == RULES for said in one.said], home
        ),
        ledger=ledger_settings(values, home),
        explained=explained,
        project=project,
    )


def _folder(text: str, home: Path) -> Path:
    return home / text[2:] if text.startswith("~/") else Path(text)


def _under(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def _endpoint(entry: Explained) -> Endpoint:
    row = dict(entry.value)
    price = row.pop("price", None)
    if row.get("quirks") is not None:
        row["quirks"] = frozenset(row["quirks"])
    if price is not None:
        row["price"] = PriceRow(
            tiers=(
                Tier(
                    0,
                    input=_micro(price.get("input")),
                    cache_read=_micro(price.get("cache_read")),
                    cache_write_5m=_micro(price.get("cache_write")),
                    output=_micro(price.get("output")),
                ),
            ),
            source=entry.source or entry.layer,
            date="",
            basis="configuration",
        )
    return Endpoint(name=entry.key.partition(".")[2], **row)


def _micro(usd: float | None) -> int | None:
    return None if usd is None else int((Decimal(str(usd)) * 1_000_000).to_integral_value(ROUND_FLOOR))


def _plain(value: Any) -> Any:
    """The value without floats, as canonical JSON wants it."""
    if isinstance(value, float):
        return str(Decimal(str(value)).normalize())
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _showable(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: dict.fromkeys(inner, "…")
            if name == "headers" and isinstance(inner, Mapping)
            else _showable("", inner)
            for name, inner in value.items()
        }
    if key in keys.URLS and isinstance(value, str):
        # Only the environment's can hold a password: in the user's place, or in the query.
        start, _, rest = value.partition("://")
        place, _, query = rest.rpartition("@")[2].partition("?")
        unsure = not rest or "?" in rest.rpartition("@")[0] or "@" in query
        return "…" if unsure else f"{start}://{place}"
    return value


def _file(path: Path, within: Path | None = None) -> dict[str, Any]:
    """What a file says; nothing when it is not there.

    Args:
        path: the file.
        within: a folder that it must not leave by a symlink.
    """
    shown = str(path)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{shown} can't be read: {error.strerror}.", "Mend its mode or owner.") from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ConfigError(f"{shown} is not a regular file.", "Replace it by one.")
        if within is not None and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(within)):
            raise ConfigError(f"{shown} leads out of the project.", "Replace the symlink by a file.")
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(_MAX_BYTES + 1)
    finally:
        os.close(handle)
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{shown} is larger than {_MAX_BYTES // 1024} KiB.", "Nothing sensible is that long.")
    from mohist.app.setting import parse

    return parse(data, shown)


def _variables_of_tables(env: Mapping[str, str]) -> list[tuple[Layer, str, dict[str, Any]]]:
    layers: list[tuple[Layer, str, dict[str, Any]]] = []
    for key, variable in keys.VARIABLES.items():
        if text := env.get(variable, "").strip():
            table, _, name = key.partition(".")
            # A URL may hold a password here, which a file's may not; whoever opens the database looks at it.
            free = key in keys.URLS
            said = {key: text} if free else _checked({table: {name: text}}, f"The environment variable {variable}")
            layers.append(("environment", variable, said))
    return layers


def _checked(said: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Text or values from outside a file, as a file would have them; the check is loaded where there is a need."""
    if not said:
        return {}
    from mohist.app.setting import checked

    return checked(said, source, strict=False)
