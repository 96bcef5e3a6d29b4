"""What the model can ask for: each tool declares what a call will touch, then does it.

Never decides whether a call may run (policy does), never starts a process but through the sandbox.
It differs from the loop in that it knows nothing of turns, models or the log.
"""

from mohist.agent.tool.edit import EditTool
from mohist.agent.tool.errors import PathError, ToolArgumentError, ToolError
from mohist.agent.tool.gate import Gated, gate
from mohist.agent.tool.glob import GlobTool
from mohist.agent.tool.read import ReadTool
from mohist.agent.tool.search import SearchTool
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
from mohist.agent.tool.symbols import SymbolsTool
from mohist.agent.tool.write import WriteTool

__all__ = [
    "EditTool",
    "FileLedger",
    "Gated",
    "GlobTool",
    "PathError",
    "ReadTool",
    "Result",
    "SearchTool",
    "Seen",
    "Spill",
    "SpillStore",
    "SpillWriter",
    "SymbolsTool",
    "Tool",
    "ToolArgumentError",
    "ToolContext",
    "ToolError",
    "ToolLimits",
    "WriteTool",
    "Written",
    "gate",
    "schema_tokens",
    "tokens_of",
]
