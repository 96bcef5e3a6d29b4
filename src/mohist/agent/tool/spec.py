"""What a tool is: the contract between the turn loop and each tool.

Order of one call: `parse` -> `access` -> (policy, pre-images, intent) -> `run`. `parse` and `access`
raise ToolError subclasses; `run` does too, when nothing was changed by it. A tool keeps its text within
its own budget (see `gate`), so the loop need not cut it again.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

from mohist.agent.tool.spill import SpillStore
from mohist.policy import Access
from mohist.sandbox import Profile, Sandbox

Args = TypeVar("Args")
"""The parsed arguments of one tool: a frozen dataclass of its own."""


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """Bounds on what tools read and say."""

    output_tokens: int = 8_000
    """Most that one result may cost the model."""
    read_lines: int = 2_000
    read_bytes: int = 50_000
    line_chars: int = 500
    """A longer line is clipped, and says so."""
    max_file_bytes: int = 16 * 1024**2
    """Larger files are read by range only, and are not edited."""
    diff_tokens: int = 1_500
    """Most that the diff after an edit may cost the model; a person sees it whole."""
    search_matches: int = 200
    search_matches_per_file: int = 20
    glob_paths: int = 200
    map_files: int = 5_000
    """Files that a repository map looks at."""
    map_tokens: int = 2_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What the model last saw of one file."""

    sha256: str | None
    """None: the file was absent."""
    content: bytes | None
    """Kept while it is small and recent, to tell what changed since."""


class FileLedger:
    """What the model last saw of each file; an edit of anything else is refused.

    Contents are kept for the newest files up to `keep_bytes` in all; hashes are kept for ever.
    """

    def __init__(self, keep_bytes: int = 32 * 1024**2) -> None:
        self._hashes: dict[Path, str | None] = {}
        self._contents: OrderedDict[Path, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._keep_bytes = keep_bytes
        # Tools that look run in threads, several at once.
        self._lock = Lock()

    def saw(self, path: Path, sha256: str | None, content: bytes | None = None) -> None:
        """The model has been shown (or has itself written) this state of `path`."""
        with self._lock:
            self._hashes[path] = sha256
            previous = self._contents.pop(path, None)
            self._kept_bytes -= len(previous or b"")
            if content is None or len(content) > self._keep_bytes:
                return
            self._contents[path] = content
            self._kept_bytes += len(content)
            while self._kept_bytes > self._keep_bytes:
                _, dropped = self._contents.popitem(last=False)
                self._kept_bytes -= len(dropped)

    def last(self, path: Path) -> Seen | None:
        """None: the model never saw this file."""
        with self._lock:
            if path not in self._hashes:
                return None
            return Seen(self._hashes[path], self._contents.get(path))

    def hashes(self) -> dict[str, str | None]:
        """A copy, path to sha256; `restore` takes it back after a resume."""
        with self._lock:
            return {str(path): sha256 for path, sha256 in self._hashes.items()}

    def restore(self, hashes: Mapping[str, str | None]) -> None:
        """Adds what an earlier process had seen; contents are gone."""
        for path, sha256 in hashes.items():
            self.saw(Path(path), sha256)


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may use. One value for a run; the ledger and the spill store in it change."""

    workspace: Path
    """Resolved root; no tool looks outside, but for the spill store."""
    cwd: Path
    """Where relative paths start; inside the workspace."""
    sandbox: Sandbox | None
    profile: Profile | None
    seen: FileLedger
    spill: SpillStore
    limits: ToolLimits = ToolLimits()


@dataclass(frozen=True, slots=True)
class Written:
    """One file that the call changed."""

    path: Path
    before_sha256: str | None
    """None: it did not exist."""
    after_sha256: str | None
    """None: it was removed."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call."""

    text: str
    """For the model."""
    ok: bool = True
    summary: str = ""
    """One line for a person."""
    diff: str = ""
    """For a person."""
    written: tuple[Written, ...] = ()
    spilled: tuple[str, ...] = ()
    """Names in the spill store."""


class Tool(Protocol[Args]):
    """One thing the model can ask for. Holds no state of a run."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments; short, every request carries it."""
        ...

    def parse(self, arguments: str) -> Args:
        """Raises ToolArgumentError. Mends shapes only (a list sent as a JSON string), never contents."""
        ...

    def access(self, args: Args, ctx: ToolContext) -> Access:
        """What `run` will touch. Pure but for path resolution; raises ToolError for a place tools don't touch."""
        ...

    def title(self, args: Args) -> str:
        """One line for people, e.g. `read src/app.py`."""
        ...

    async def run(self, args: Args, ctx: ToolContext, progress: Callable[[str], None]) -> Result:
        """Raises ToolError when the call can't be done; then nothing was changed."""
        ...


def tokens_of(text: str) -> int:
    """Estimate of what `text` costs a model: a token for each four bytes of UTF-8, rounded up."""
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


def schema_tokens(tool: Tool[Any]) -> int:
    """Estimate of what the declaration of `tool` adds to every request."""
    declaration = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return tokens_of(json.dumps(declaration, ensure_ascii=False, separators=(",", ":")))
