"""What the model can ask for: each tool declares what a call will touch, then does it.

Never decides whether a call may run (policy does), never starts a process but through the sandbox.
It differs from the loop in that it knows nothing of turns, models or the log.
"""

from mohist.agent.tool.errors import PathError, ToolArgumentError, ToolError
from mohist.agent.tool.spec import (
    FileLedger,
    Result,
    Seen,
    Tool,
    ToolContext,
    ToolLimits,
    Written,
    schema_tokens,
    tokens_of,
)
from mohist.agent.tool.spill import Spill, SpillStore, SpillWriter

__all__ = [
    "FileLedger",
    "PathError",
    "Result",
    "Seen",
    "Spill",
    "SpillStore",
    "SpillWriter",
    "Tool",
    "ToolArgumentError",
    "ToolContext",
    "ToolError",
    "ToolLimits",
    "Written",
    "schema_tokens",
    "tokens_of",
]
