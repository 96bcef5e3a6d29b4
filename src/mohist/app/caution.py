"""The part of the guard that stands between a run's tools and its model."""

from __future__ import annotations

from collections.abc import Sequence

from mohist.agent.caution import Caution
from mohist.app.screening import Screening
from mohist.guard import Scanner, keyed


def caution(settings: Screening, task: str, checks: Sequence[str] = ()) -> Caution | None:
    """What looks at the results of a run's tools; None: the guard is switched off.

    Args:
        settings: what is asked of the guard.
        task: the user's words, and what they quote.
        checks: commands that the user agreed to.
    """
    if settings.mode == "off" or "injection" in settings.without:
        return None
    made = Caution(_scanner)
    made.take(task)
    for command in checks:
        made.trust(command)
    return made


def _scanner() -> Scanner:
    # Loaded with the first result, not with the run.
    from mohist.guard.injection import injection_detector
    from mohist.guard.matcher import build_matcher

    detectors = [injection_detector()]
    # RE2 alone: a result is a few kilobytes, and compiling for Hyperscan would cost a short run more than it saves.
    return Scanner(detectors, build_matcher(detectors, engine="re2"), keyed(b"findings of a run are not kept"))
