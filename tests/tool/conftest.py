"""A workspace with the tools on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mohist.agent.tool import FileLedger, Result, SpillStore, Tool, ToolContext, ToolError
from mohist.base import sha256_hex
from mohist.sandbox import Bubblewrap, Profile


@dataclass
class Bench:
    """Calls tools as the loop does: parse, access, run."""

    ctx: ToolContext

    @property
    def root(self) -> Path:
        return self.ctx.workspace

    def names(self, folder: str = ".") -> list[str]:
        return sorted(path.name for path in (self.root / folder).iterdir())

    def limit(self, **limits: int) -> None:
        self.ctx = replace(self.ctx, limits=replace(self.ctx.limits, **limits))

    def put(self, name: str, content: bytes | str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def show(self, name: str) -> None:
        """As if the model had read the file."""
        data = (self.root / name).read_bytes()
        self.ctx.seen.saw(self.root / name, sha256_hex(data), data)

    def put_seen(self, name: str, content: bytes | str) -> Path:
        path = self.put(name, content)
        self.show(name)
        return path

    async def call(self, tool: Tool[Any], **arguments: Any) -> Result:
        args = tool.parse(json.dumps(arguments))
        tool.access(args, self.ctx)
        assert tool.title(args)
        return await tool.run(args, self.ctx, lambda _: None)

    async def refusal(self, tool: Tool[Any], **arguments: Any) -> str:
        """What the model is told when the call is refused."""
        with pytest.raises(ToolError) as caught:
            await self.call(tool, **arguments)
        assert caught.value.audience == "model"
        return str(caught.value)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """No sandbox: for tools that start no process."""
    return Bench(_context(tmp_path))


@pytest.fixture(scope="session")
def bubblewrap() -> Iterator[Bubblewrap]:
    sandbox = Bubblewrap()
    yield sandbox
    sandbox.close()


@pytest.fixture
def searching(tmp_path: Path, bubblewrap: Bubblewrap) -> Bench:
    """With the real sandbox and the real rg."""
    context = _context(tmp_path)
    return Bench(replace(context, sandbox=bubblewrap, profile=Profile(context.workspace)))


def _context(folder: Path) -> ToolContext:
    root = (folder / "work").resolve()
    root.mkdir()
    return ToolContext(root, root, None, None, FileLedger(), SpillStore(folder / "spill"))
