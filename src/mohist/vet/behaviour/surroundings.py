"""What is varied around a subject, how each value is brought about, and what is then true of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mohist.vet.behaviour.script import Dialect
from mohist.vet.difference.fact import Facts, zone_of, zone_words
from mohist.vet.difference.factor import Assignment, Factor, FactorName

PROXY = "http://127.0.0.1:3128"
NONE = "none"
OFFICIAL: Mapping[Dialect, str] = {
    "anthropic-messages": "api.anthropic.com",
    "openai-responses": "api.openai.com",
    "openai-chat": "api.openai.com",
}
"""Where each dialect's vendor serves it; inside the fence the name leads to the scripted model, like every other."""
_HOSTS = ("gateway.example.com", "gateway.example.cn", "api.deepseek.com")
"""A neutral one, one below .cn, and one that carries a laboratory's name."""
_ZONES = ("UTC", "Asia/Shanghai", "America/New_York")
_LOCALES = ("en_US.UTF-8", "zh_CN.UTF-8", "de_DE.UTF-8")
_REMOTES = (
    "https://github.com/example/shop.git",
    "https://gitee.com/example/shop.git",
    "git@git.corp.example:shop.git",
)
_DATES = ("2026-01-15", "2027-03-02")
_TIME = "10:20:30"
_FAKE_CLOCKS = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)
"""Where distributions put libfaketime. It reaches dynamically linked programs only."""
_LANGUAGES = {"en": "English", "zh": "Chinese", "de": "German"}


def fake_clock() -> Path | None:
    """The machine's libfaketime, None where there is none."""
    return next((Path(name) for name in _FAKE_CLOCKS if Path(name).is_file()), None)


def standard_factors(
    dialect: Dialect, *, hosts: Sequence[str] = (), zones: Sequence[str] = (), dates: bool = True
) -> tuple[Factor, ...]:
    """Everything that is varied.

    Args:
        dialect: of the subject; its vendor's own host is one of the values.
        hosts: more names for the base URL, such as those that were found inside the subject.
        zones: more time zones, likewise.
        dates: whether there is a clock that can be set.
    """
    ours = tuple(dict.fromkeys((*_HOSTS, OFFICIAL[dialect], *hosts)))
    found = [
        Factor("zone", "time zone", tuple(dict.fromkeys((*_ZONES, *zones))), "environment variable TZ"),
        Factor("locale", "locale", _LOCALES, "environment variables LANG, LC_ALL, LANGUAGE"),
        Factor("endpoint", "host of the base URL", ours, "the client's own setting for its endpoint"),
        Factor("proxy", "proxy", (NONE, PROXY), "environment variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY"),
        Factor("user", "user name", ("dev.ann", "li.wei"), "environment variables USER, LOGNAME"),
        Factor("host", "host name", ("ann-box-17", "cn-build-07"), "environment variables HOSTNAME, HOST"),
        Factor("ci", "CI", (NONE, "true"), "environment variables CI, GITHUB_ACTIONS"),
        Factor("remote", "git remote", _REMOTES, "remote.origin.url in .git/config"),
    ]
    if dates:
        found.append(Factor("date", "date", _DATES, "libfaketime, preloaded"))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One run's, made of its assignment.

    Args:
        factors: with their values; a factor that is not there is left alone.
        assignment: which of them are not at their first value.
        clock: libfaketime; None: the machine's clock is seen as it is.
        port: of the base URL.
    """

    factors: tuple[Factor, ...]
    assignment: Assignment
    clock: Path | None = None
    port: int = 80

    def value(self, name: FactorName) -> str:
        """Of a factor in this run; empty where it is not varied."""
        factor = next((one for one in self.factors if one.name == name), None)
        return self.assignment.get(name, factor.levels[0] if factor else "")

    @property
    def endpoint(self) -> str:
        """Host of the base URL."""
        return self.value("endpoint") or _HOSTS[0]

    @property
    def base_url(self) -> str:
        """Without a path."""
        return f"http://{self.endpoint}" + (f":{self.port}" if self.port != 80 else "")

    @property
    def remote(self) -> str:
        return self.value("remote") or _REMOTES[0]

    @property
    def env(self) -> dict[str, str]:
        """What the subject is given; what must not be there stands in `absent`."""
        made: dict[str, str] = {"PYTHONHASHSEED": "0"}
        if zone := self.value("zone"):
            made["TZ"] = zone
        if locale := self.value("locale"):
            made |= {"LANG": locale, "LC_ALL": locale, "LANGUAGE": locale.partition(".")[0]}
        if (proxy := self.value("proxy")) not in ("", NONE):
            made |= dict.fromkeys(
                ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), proxy
            )
        if user := self.value("user"):
            made |= {"USER": user, "LOGNAME": user}
        if host := self.value("host"):
            made |= {"HOSTNAME": host, "HOST": host}
        if self.value("ci") == "true":
            made |= {"CI": "true", "GITHUB_ACTIONS": "true"}
        if self.clock and self.value("date"):
            made.setdefault("TZ", "UTC")
        return made

    @property
    def late(self) -> dict[str, str]:
        """Variables for the subject alone and not for what starts it: libfaketime does not bear to be handed on by `exec`."""
        if self.clock and self.value("date"):
            # libfaketime takes local time; the moment is the same one in every zone.
            local = datetime.fromtimestamp(self._set_s(), zone_of(self.value("zone") or "UTC"))
            return {"LD_PRELOAD": str(self.clock), "FAKETIME": f"@{local:%Y-%m-%d %H:%M:%S}"}
        return {}

    @property
    def absent(self) -> tuple[str, ...]:
        """Variables that the subject must not see."""
        return () if self.value("ci") == "true" else ("CI", "GITHUB_ACTIONS")

    def facts(self, started_s: float, ended_s: float) -> Facts:
        """What was true.

        Args:
            started_s: Unix time on the machine's clock.
            ended_s: likewise.
        """
        if self.clock and self.value("date"):
            seen = self._set_s()
            started_s, ended_s = seen, seen + ended_s - started_s
        words: list[tuple[str, FactorName]] = [
            (self.endpoint, "endpoint"),
            (f"{self.endpoint}:{self.port}", "endpoint"),
        ]
        words += [(self.base_url, "endpoint"), (self.remote, "remote"), (self.remote.removesuffix(".git"), "remote")]
        words += [(_host_of(self.remote), "remote")]
        words += [(word, "zone") for word in zone_words(self.value("zone") or "UTC", started_s)]
        locale = self.value("locale")
        plain = locale.partition(".")[0]
        language = plain.partition("_")[0]
        words += [
            (word, "locale")
            for word in (locale, plain, plain.replace("_", "-"), language, _LANGUAGES.get(language, ""))
        ]
        words += [(self.value("user"), "user"), (self.value("host"), "host")]
        if (proxy := self.value("proxy")) not in ("", NONE):
            words += [(proxy, "proxy"), (proxy.partition("://")[2], "proxy")]
        return Facts(
            tuple((word, factor) for word, factor in words if word),
            self.value("zone") or "UTC",
            started_s,
            ended_s,
            {factor.name: self.value(factor.name) for factor in self.factors},
        )

    def _set_s(self) -> float:
        """Unix time to which the clock is set."""
        return datetime.fromisoformat(f"{self.value('date')}T{_TIME}+00:00").timestamp()


def _host_of(remote: str) -> str:
    rest = remote.partition("://")[2] or remote.partition("@")[2]
    return rest.replace(":", "/").partition("/")[0]
