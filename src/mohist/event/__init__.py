"""What front ends show: plain values a run sends out while it works.

Never holds behaviour, never imports the engine. It differs from the run's log in that events are for
people and programs that watch, may be dropped, and are never read back.
"""

from mohist.event.run import (
    ApprovalAsked,
    ApprovalGiven,
    CheckFinished,
    Compacted,
    Event,
    EventSink,
    ModelAnswered,
    ModelRetry,
    ModelWaiting,
    Note,
    RunEnded,
    RunStarted,
    TextSpoken,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    as_json,
)

__all__ = [
    "ApprovalAsked",
    "ApprovalGiven",
    "CheckFinished",
    "Compacted",
    "Event",
    "EventSink",
    "ModelAnswered",
    "ModelRetry",
    "ModelWaiting",
    "Note",
    "RunEnded",
    "RunStarted",
    "TextSpoken",
    "ToolFinished",
    "ToolProgress",
    "ToolStarted",
    "as_json",
]
