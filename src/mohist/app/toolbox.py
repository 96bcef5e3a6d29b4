"""Which file tools a run has."""

from __future__ import annotations

from typing import Any

from mohist.agent.tool import Tool
from mohist.agent.tool.edit import EditTool
from mohist.agent.tool.glob import GlobTool
from mohist.agent.tool.read import ReadTool
from mohist.agent.tool.search import SearchTool
from mohist.agent.tool.symbols import SymbolsTool
from mohist.agent.tool.write import WriteTool


def file_tools() -> list[Tool[Any]]:
    """Fresh ones, so that no run sees another's caches."""
    return [EditTool(), GlobTool(), ReadTool(), SearchTool(), SymbolsTool(), WriteTool()]
