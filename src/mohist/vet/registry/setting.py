"""Which registries npm and pip are configured with: environment, then the user's files, then the machine's.

Sources: https://docs.npmjs.com/cli/configuring-npm/npmrc, https://pip.pypa.io/en/stable/topics/configuration/.
"""

from __future__ import annotations

import base64
import configparser
import netrc
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

NPM_REGISTRY = "https://registry.npmjs.org/"
PYPI_INDEX = "https://pypi.org/simple/"
_VARIABLE = re.compile(r"\$\{([^}]+)\}")
_SCOPE = re.compile(r"@[^:]+:registry")


@dataclass(frozen=True, slots=True)
class NpmSettings:
    """What npm would ask."""

    registry: str = NPM_REGISTRY
    scopes: Mapping[str, str] = field(default_factory=dict)
    """ "@scope" -> registry."""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """ "//host/path/" -> the value of Authorization."""
    ca_file: str = ""
    proxy: str = field(default="", repr=False)
    """An address, which may hold credentials; empty: what the environment says."""

    def registry_of(self, name: str) -> str:
        """The registry of a package, ending in a slash."""
        scope = name.partition("/")[0] if name.startswith("@") else ""
        return self.scopes.get(scope, self.registry).rstrip("/") + "/"

    def headers(self, url: str) -> dict[str, str]:
        """What an address is asked with: credentials only where the configuration names its host and path."""
        parts = urlsplit(url)
        place = f"//{parts.netloc}{parts.path}"
        fitting = [prefix for prefix in self.credentials if place.startswith(prefix.rstrip("/") + "/")]
        return {"authorization": self.credentials[max(fitting, key=len)]} if fitting else {}


@dataclass(frozen=True, slots=True)
class PipSettings:
    """What pip would ask."""

    indexes: tuple[str, ...] = (PYPI_INDEX,)
    """Without credentials; the first is the main one."""
    find_links: tuple[str, ...] = ()
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """ "scheme://host" -> the value of Authorization."""
    ca_file: str = ""
    proxy: str = field(default="", repr=False)

    def headers(self, url: str) -> dict[str, str]:
        """What an address is asked with."""
        parts = urlsplit(url)
        known = self.credentials.get(f"{parts.scheme}://{parts.netloc}")
        return {"authorization": known} if known else {}


def npm_settings(env: Mapping[str, str], home: Path, machine: Sequence[Path] = (Path("/etc/npmrc"), Path("/usr/local/etc/npmrc"), Path("/usr/etc/npmrc"))) -> NpmSettings:  # fmt: skip
    """Reads npm's settings; a project's .npmrc is not read, for what is vetted may have brought it."""
    values: dict[str, str] = {}
    user = env.get("NPM_CONFIG_USERCONFIG") or env.get("npm_config_userconfig")
    for path in (*machine, Path(user) if user else home / ".npmrc"):
        values |= _npmrc(path, env)
    for name, value in env.items():
        lowered = name.lower()
        if lowered.startswith("npm_config_") and value:
            key = lowered.removeprefix("npm_config_")
            values[key if key.startswith(("@", "//")) else key.replace("_", "-")] = value
    scopes = {key.partition(":")[0]: value for key, value in values.items() if _SCOPE.fullmatch(key)}
    return NpmSettings(
        registry=values.get("registry", NPM_REGISTRY).rstrip("/") + "/",
        scopes=scopes,
        credentials=_npm_credentials(values),
        ca_file=values.get("cafile", "") or env.get("NODE_EXTRA_CA_CERTS", ""),
        proxy=_address(values.get("https-proxy", "")) or _address(values.get("proxy", "")),
    )


def _npmrc(path: Path, env: Mapping[str, str]) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith(("#", ";")):
            plain = value.strip().strip("\"'")
            found[name.strip()] = _VARIABLE.sub(lambda match: env.get(match[1].rstrip("?"), ""), plain)
    return found


def _npm_credentials(values: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if not key.startswith("//") or not value:
            continue
        prefix, _, name = key.rpartition(":")
        if name == "_authToken":
            found[prefix] = f"Bearer {value}"
        elif name == "_auth":
            found.setdefault(prefix, f"Basic {value}")
        elif name == "username" and (password := values.get(f"{prefix}:_password")):
            try:
                plain = base64.b64decode(password).decode("utf-8")
            except ValueError:
                continue
            found.setdefault(prefix, "Basic " + base64.b64encode(f"{value}:{plain}".encode()).decode("ascii"))
    return found


def pip_settings(env: Mapping[str, str], home: Path, machine: Sequence[Path] = (Path("/etc/pip.conf"), Path("/etc/xdg/pip/pip.conf"))) -> PipSettings:  # fmt: skip
    """Reads pip's settings."""
    values: dict[str, str] = {}
    named = env.get("PIP_CONFIG_FILE", "")
    config = Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    files = [*machine, home / ".pip" / "pip.conf", config]
    if virtual := env.get("VIRTUAL_ENV"):
        files.append(Path(virtual) / "pip.conf")
    if named:
        files = [] if named == "/dev/null" else [*files, Path(named)]
    for path in files:
        values |= _pip_file(path)
    for name, value in env.items():
        if name.startswith("PIP_") and value:
            values[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    indexes = (
        [] if values.get("no-index", "").lower() in ("1", "true", "yes") else [values.get("index-url", PYPI_INDEX)]
    )
    indexes += values.get("extra-index-url", "").split()
    credentials: dict[str, str] = {}
    _from_netrc(home / ".netrc", indexes, credentials)
    plain = tuple(_without_credentials(index, credentials).rstrip("/") + "/" for index in indexes)
    return PipSettings(
        plain,
        tuple(values.get("find-links", "").split()),
        credentials,
        values.get("cert", ""),
        _address(values.get("proxy", "")),
    )


def _pip_file(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, configparser.Error):
        return {}
    return {
        key.replace("_", "-"): value
        for section in ("global", "install", "download")
        if parser.has_section(section)
        for key, value in parser.items(section)
    }


def _address(value: str) -> str:
    """A proxy's address; npm writes "null" and "false" for none."""
    if value in ("", "null", "false"):
        return ""
    return value if "://" in value else f"http://{value}"


def _from_netrc(path: Path, indexes: Sequence[str], credentials: dict[str, str]) -> None:
    """What pip takes from .netrc, for hosts of indexes alone."""
    try:
        known = netrc.netrc(path)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return
    for index in indexes:
        parts = urlsplit(index)
        found = known.authenticators(parts.hostname or "")
        if found is not None and parts.scheme in ("http", "https"):
            token = base64.b64encode(f"{found[0]}:{found[2]}".encode()).decode("ascii")
            credentials[f"{parts.scheme}://{parts.netloc}"] = f"Basic {token}"


def _without_credentials(url: str, credentials: dict[str, str]) -> str:
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    user, _, place = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    token = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode("ascii")
    credentials[f"{parts.scheme}://{place}"] = f"Basic {token}"
    return urlunsplit((parts.scheme, place, parts.path, parts.query, parts.fragment))
