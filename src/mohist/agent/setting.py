"""The limits of a run, each with its name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Bounds and thresholds; the composition root fills them from the configuration."""

    max_turns: int = 100
    max_cost_microusd: int | None = None
    timeout_s: float = 3600.0
    retries: int = 6
    """Attempts after the first one at a model that is busy or unreachable."""
    retry_base_s: float = 1.0
    """First wait; doubles each time, unless the provider says how long."""
    retry_max_wait_s: float = 120.0
    """A provider that asks for a longer wait ends the run."""
    prune_at_percent: int = 70
    """Share of the context at which old tool results become stubs."""
    prune_min_saving_percent: int = 15
    compact_at_percent: int = 85
    compact_min_saving_percent: int = 20
    compact_keep_tokens: int = 20_000
    compact_failures: int = 3
    format_errors: int = 3
    """Malformed calls in a row after which the run stops."""
    empty_answers: int = 2
    loop_nudge: int = 3
    """The same call with the same result this often: the model is told."""
    loop_stop: int = 10
    done_attempts: int = 5
    """Failed completion gates after which the run ends as failed."""
    parallel_calls: int = 8
    shell_soft_timeout_s: float = 120.0
    shell_hard_timeout_s: float = 1800.0
    check_timeout_s: float = 900.0
    undo_file_bytes: int = 4 * 1024**2
    """Contents of larger files changed by shell commands are not kept, so not undone."""
    undo_total_bytes: int = 256 * 1024**2
    undo_files: int = 50_000
    """Trees with more files are not watched during shell commands."""
