"""What to do when a model call fails: a table from the kind of failure to the next step."""

from __future__ import annotations

from dataclasses import dataclass

from mohist.agent.record import EndStatus
from mohist.agent.setting import RunSettings
from mohist.provider.message import Failed


@dataclass(frozen=True, slots=True)
class Wait:
    """Try the same request again after `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CompactFirst:
    """The context was too long: compact once, then try again."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run; all done so far stays in the log."""

    status: EndStatus
    why: str


Step = Wait | CompactFirst | Stop


def next_step(failed: Failed, attempt: int, compacted: bool, settings: RunSettings) -> Step:
    """The step after `failed`.

    Args:
        failed: the last delta of the answer.
        attempt: how many times in a row the call has failed, 1 the first time.
        compacted: whether a compaction was already made because of this request.
        settings: bounds.
    """
    match failed.kind:
        case "rate" | "overload" | "network":
            if attempt > settings.retries:
                return Stop("no_model", f"The model could not be reached in {attempt} attempts: {failed.detail}")
            wait_s = failed.retry_after_s
            if not wait_s or wait_s < 0:
                # "At once" from an endpoint that has just refused is no answer to how long.
                wait_s = min(settings.retry_base_s * 2 ** (attempt - 1), settings.retry_max_wait_s)
            if wait_s > settings.retry_max_wait_s:
                return Stop(
                    "no_model",
                    f"The provider asks to wait {wait_s:.0f} s, longer than retry_max_wait_s "
                    f"({settings.retry_max_wait_s:.0f}): {failed.detail}",
                )
            return Wait(wait_s)
        case "overflow":
            if compacted:
                return Stop("failed", f"The request is too long for the model even after compaction: {failed.detail}")
            return CompactFirst()
        case "auth":
            return Stop("no_model", f"The provider refuses the key: {failed.detail}")
        case "bad_request" | "protocol" | "unknown":
            # Sent again unchanged it fails again unchanged.
            return Stop("failed", f"The model call failed and would fail again: {failed.detail}")
        case "budget":
            return Stop("budget", f"The gateway has no room for the call: {failed.detail}")
        case "policy":
            return Stop("refused", f"The gateway refused the call: {failed.detail}")
        case "content":
            return Stop("failed", f"The provider refused the content: {failed.detail}")
        case "cancelled":
            return Stop("cancelled", "The model call was cancelled.")
