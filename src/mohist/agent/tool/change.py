"""What `edit` and `write` share: the file must be as the model last saw it; then it is replaced and told."""

from __future__ import annotations

from mohist.agent.tool import diff, disk, syntax
from mohist.agent.tool.disk import FileState
from mohist.agent.tool.errors import ToolError
from mohist.agent.tool.gate import gate
from mohist.agent.tool.place import Place
from mohist.agent.tool.spec import Result, ToolContext, Written, tokens_of
from mohist.agent.tool.text import Document
from mohist.base import sha256_hex

_MOST_FAULTS_TOLD = 3


def current(found: Place, ctx: ToolContext) -> FileState | None:
    """The file as it is, which is as the model last saw it; None when absent.

    Raises ToolError when the model never saw it, or when it changed since: then the change is shown, and counts as seen.
    """
    state = disk.load(found, ctx.limits.max_file_bytes)
    last = ctx.seen.last(found.path)
    if state is None:
        return None
    if last is None or last.sha256 is None:
        raise ToolError(f"{found.name!r} exists and you have not read it.", "Read it first.")
    if last.sha256 == state.sha256:
        return state
    what = f"{found.name!r} was changed by someone else since you last saw it; nothing was edited."
    shown = _change(last.content, state.data, found.name)
    if not shown or tokens_of(shown) > ctx.limits.diff_tokens:
        raise ToolError(what, "Read it again.")
    ctx.seen.saw(found.path, state.sha256, state.data)
    raise ToolError(what, f"Take this into account, then edit again:\n{shown}")


def put(found: Place, ctx: ToolContext, before: FileState | None, data: bytes, told: str) -> Result:
    """Replaces the file by `data`; `told` starts the text for the model."""
    after = Document.of(data, found.name)
    before_view = _view(before.data, found.name) if before else ""
    shown = diff.unified(before_view or "", after.view, found.name)
    faults = syntax.introduced(found.name, before_view or "", after.view)
    # From here on nothing may fail: what is raised says that the file is untouched.
    disk.replace(found, data, before)
    digest = sha256_hex(data)
    ctx.seen.saw(found.path, digest, data)
    # What the model wrote as a new file it need not be shown again.
    lines = [told]
    spilled: tuple[str, ...] = ()
    if before is not None:
        gated = gate(shown, ctx.spill, ctx.limits, kind="diff", tokens=ctx.limits.diff_tokens)
        lines.append(gated.text.rstrip("\n"))
        spilled = gated.spilled
    if faults:
        named = "\n".join(str(fault) for fault in faults[:_MOST_FAULTS_TOLD])
        lines.append(f"Warning: the file no longer parses; this change did it:\n{named}")
    return Result(
        "\n".join(line for line in lines if line),
        summary=f"{diff.stat(shown)} {found.name}" + (" (does not parse)" if faults else ""),
        diff=shown,
        written=(Written(found.path, before.sha256 if before else None, digest),),
        spilled=spilled,
    )


def _view(data: bytes, name: str) -> str | None:
    """None for what is not text."""
    try:
        return Document.of(data, name).view
    except ToolError:
        return None


def _change(seen: bytes | None, now: bytes, name: str) -> str:
    """Diff from what the model saw; empty when that is not known or shows nothing."""
    before = None if seen is None else _view(seen, name)
    after = _view(now, name)
    return "" if before is None or after is None else diff.unified(before, after, name)
