"""Which detectors are asked, from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from mohist.app.errors import ConfigError
from mohist.app.screening import Screening
from mohist.base import Clock
from mohist.guard import Detector, Finding, Limits
from mohist.guard.covert import covert_detector
from mohist.guard.fingerprint import fingerprint_detector, fingerprint_path, read_index
from mohist.guard.injection import injection_detector
from mohist.guard.keyword import keyword_detector
from mohist.guard.marking import marking_detector, path_detector
from mohist.guard.personal import NameDetector, personal_detector
from mohist.guard.secret import listed_detector, secret_detector
from mohist.guard.secret.allow import Allowance, Allowances, read_allowances
from mohist.guard.secret.register import listed_path

RESTRICTED: Final = "source.restricted"
_MAX_BYTES: Final = 4 * 1024 * 1024


def detectors(settings: Screening, home: Path, key: bytes) -> list[Detector]:
    """Everything that is looked for.

    Args:
        settings: what is asked of the guard.
        home: the state folder.
        key: the company's, which its list of secrets was made with.

    Raises:
        ConfigError: a detector that is to be left out does not exist.
        GuardError: a rule of the company is refused, data can't be read, or the model of names can't be loaded.
    """
    makers: Mapping[str, Callable[[], Detector | None]] = {
        "secret": lambda: secret_detector(settings.company_rules, settings.without_rules),
        "listed": lambda: listed_detector(settings.listed_secrets or listed_path(home), key),
        "keyword": keyword_detector,
        "personal": personal_detector,
        "name": lambda: _names(settings),
        "covert": covert_detector,
        "marking": lambda: marking_detector(own=settings.markings),
        "fingerprint": lambda: _fingerprint(fingerprint_path(home)),
        "injection": injection_detector,
        "path": lambda: path_detector(dict.fromkeys(settings.restricted_paths, RESTRICTED)),
    }
    if strange := sorted(set(settings.without) - set(makers)):
        raise ConfigError(
            f"guard.without names no detector: {', '.join(map(repr, strange))}.", f"There are: {', '.join(makers)}."
        )
    made = [make() for name, make in makers.items() if name not in settings.without]
    return [detector for detector in made if detector is not None]


def _names(settings: Screening) -> Detector | None:
    """None: no model is named, and nothing of it is loaded."""
    if settings.names_model is None:
        return None
    from mohist.guard.personal.pipeline import load_pipeline

    return NameDetector(load_pipeline(settings.names_model), Limits(**settings.limits), settings.names_failure)


def _fingerprint(path: Path) -> Detector | None:
    """None: nothing is registered, and what would search it need not be loaded."""
    return fingerprint_detector(read_index(path)) if path.exists() else None


class Allowed:
    """What the allow-list lets pass in a call, which has no paths; days end by UTC.

    Args:
        path: of the list; None: there is none.
        clock: knows the day.

    Raises:
        ConfigError: it can't be read.
        GuardRuleError: it can't be taken.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._clock = clock
        self._all = allowances(path)
        self._day: date | None = None
        self._today = Allowances((), date.min)

    def by(self, digest: str, rule: str) -> str:
        """Whose entry lets a finding pass; empty: nobody's."""
        if not self._all:
            return ""
        day = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).date()
        if day != self._day:
            self._today, self._day = Allowances(self._all, day), day
        entry = self._today.why(Finding("", rule, "", 0, 0, 0.0, "", digest), "")
        return "" if entry is None else entry.owner


def allowances(path: Path | None) -> tuple[Allowance, ...]:
    """What the allow-list says.

    Raises:
        ConfigError: it can't be read.
        GuardRuleError: it can't be taken.
    """
    return () if path is None else read_allowances(_text(path), where=str(path))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"The allow-list {str(path)!r} can't be read: {error.strerror}.") from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"The allow-list {str(path)!r} is larger than {_MAX_BYTES} bytes.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"The allow-list {str(path)!r} is not UTF-8 text.") from None
