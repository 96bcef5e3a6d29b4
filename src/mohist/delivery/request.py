"""The way of a change through a forge: branch, request, checks and reviews, merge; a step a look, and no process between."""

from __future__ import annotations

from typing import Final, Protocol

from mohist.delivery.errors import StateError
from mohist.delivery.forge.contract import Forge, Request, Standing
from mohist.delivery.stage import Context, ask
from mohist.delivery.state import Delivery
from mohist.sandbox import MovedError

SETTLE_S: Final = 30.0
"""CI has so long to say that it begins: a request without any check may be one whose checks are not there yet."""
_PUSHED: Final = "pushed"
_TITLE_CHARS: Final = 72


class Harbour(Protocol):
    """Where branches live."""

    async def tip(self, branch: str) -> str:
        """The commit, brought here; empty: there is no such branch."""
        ...

    async def push(self, commit: str, branch: str, expected: str) -> None:
        """Sets it by compare-and-swap; raises `sandbox.MovedError`, `BarredError`, `AwayError`, `InUseError`."""
        ...

    async def remove(self, branch: str, expected: str) -> None:
        """Removes it if it stands on `expected`, nothing where it is not there; raises the same."""
        ...


class History(Protocol):
    """What is asked of commits."""

    async def contains(self, newer: str, older: str) -> bool: ...


def pushed_key(delivery: Delivery, commit: str) -> str:
    """Of the effect that this commit was pushed to the delivery's own branch: what has it, is ours."""
    return f"{delivery.delivery_id}/pushed/{commit}"


def request_key(delivery: Delivery) -> str:
    """Of the effect that its request was made."""
    return f"{delivery.delivery_id}/request"


async def is_ours(context: Context, history: History, delivery: Delivery, at: str) -> bool:
    """Whether the delivery's branch, standing on `at`, holds nothing of anybody else: only what was noted as pushed, or
    what the change holds."""
    if delivery.commit and await history.contains(delivery.commit, at):
        return True
    return await ask(context.book.begun, pushed_key(delivery, at))


class Waits(Exception):  # noqa: N818 - no error: a stage that looks again
    """Something outside is not so far."""

    def __init__(self, what: str, after_s: float = 0.0) -> None:
        super().__init__(what)
        self.what = what
        self.after_s = after_s


async def requested(
    context: Context, history: History, harbour: Harbour, forge: Forge, delivery: Delivery, tip: str
) -> str:
    """Brings the request one step on.

    Returns:
        The commit of the base branch that holds the change; empty: the base's tip must be merged into the change first.

    Raises:
        Waits: for checks, reviews, the forge.
        StateError: people closed the request, or pushed to its branch.
    """
    known = await ask(context.book.effect, request_key(delivery), "request")
    # A request that is over is looked at before anything is pushed: forges remove the branch of one that is merged.
    standing = await forge.request(known["number"]) if known else None
    if standing is not None and standing.request.state == "merged":
        return await _held(history, harbour, delivery, standing.request)
    if await history.contains(tip, delivery.commit):
        return delivery.commit
    if standing is not None and standing.request.state == "closed":
        raise StateError(
            f"{standing.request.url} was closed without a merge.", "Open it again, then `mohist deliver retry merge`."
        )
    pushed_at_ms, is_new = await _pushed(context, history, harbour, delivery)
    if standing is None or is_new:
        opened = await _opened(context, forge, delivery)
        standing = await forge.request(opened.number)
    request = standing.request
    if request.state != "open":
        raise Waits(f"{request.url} is {request.state}", 1.0)
    if request.head != delivery.commit:
        raise Waits(f"{request.url} does not show {delivery.commit[:12]} yet")
    if standing.behind:
        if await history.contains(delivery.commit, tip):
            raise Waits(f"{request.url}: the forge has not seen yet that it merges")
        return ""
    if missing := lacks(standing):
        raise Waits(f"{request.url} waits for {'; '.join(missing)}")
    young_ms = context.clock.now_ms() - pushed_at_ms
    if not standing.checks and young_ms < SETTLE_S * 1000:
        raise Waits(f"{request.url}: CI may still begin", SETTLE_S - young_ms / 1000)
    key = context.key(f"merge/request/{delivery.commit[:12]}")
    await ask(context.book.effect, key, "merge")
    answer = await forge.merge(request.number, delivery.commit)
    if isinstance(answer, str):
        raise Waits(f"{request.url} is not merged: {answer}")
    await ask(context.book.done, key, {"number": answer.number, "merged": answer.merged})
    return await _held(history, harbour, delivery, answer)


def lacks(standing: Standing) -> tuple[str, ...]:
    """What is missing before the merge, in words; all that is known at once."""
    failed = [check.name for check in standing.checks if check.state == "failed"]
    pending = [check.name for check in standing.checks if check.state == "pending"]
    return (
        *([f"failed: {', '.join(failed)} (run again there, or `mohist deliver retry implement`)"] if failed else ()),
        *([f"running: {', '.join(pending)}"] if pending else ()),
        *([f"changes asked for by {', '.join(standing.objections)}"] if standing.objections else ()),
        *standing.missing,
    )


async def _pushed(context: Context, history: History, harbour: Harbour, delivery: Delivery) -> tuple[int, bool]:
    """The branch holds the change; when it was pushed, and whether just now."""
    key = pushed_key(delivery, delivery.commit)
    known = await ask(context.book.effect, key, "push")
    at = await harbour.tip(delivery.branch)
    if at != delivery.commit:
        if at and not await is_ours(context, history, delivery, at):
            raise StateError(
                f"Somebody pushed {at[:12]} to {delivery.branch}.",
                "Take it over with `mohist deliver take-over`, or remove it there; then `mohist deliver retry merge`.",
            )
        try:
            await harbour.push(delivery.commit, delivery.branch, at)
        except MovedError:
            raise Waits(f"{delivery.branch} moved at the same time", 1.0) from None
        known = None
    is_new = known is None
    if known is None:
        known = {"at_ms": context.clock.now_ms()}
        await ask(context.book.done, key, known)
        await context.note("pushed", f"pushed {delivery.commit[:12]} to {delivery.branch}", commit=delivery.commit)
    return int(known["at_ms"]), is_new


async def _opened(context: Context, forge: Forge, delivery: Delivery) -> Request:
    key = request_key(delivery)
    known = await ask(context.book.effect, key, "request")
    if known:
        return Request(known["number"], known["url"], "", "open")
    spec = (await context.facts()).spec
    first = next((line.strip("# ").strip() for line in delivery.requirement.splitlines() if line.strip("# ")), "")
    criteria = [f"- {one.criterion_id}: {one.text}" for one in spec.criteria] if spec else []
    body = "\n".join(
        [f"Delivery {delivery.delivery_id}, asked for by {delivery.requested_by} ({delivery.source}).", "", *criteria]
    )
    title = first if len(first) <= _TITLE_CHARS else f"{first[: _TITLE_CHARS - 1]}…"
    request = await forge.open_request(
        delivery.branch, delivery.base_branch, title or f"Delivery {delivery.delivery_id}", body, delivery.delivery_id
    )
    await ask(context.book.done, key, {"number": request.number, "url": request.url})
    await context.note("request", f"{request.url}", number=request.number)
    return request


async def _held(history: History, harbour: Harbour, delivery: Delivery, request: Request) -> str:
    """The merged commit, once the base branch is seen to hold it."""
    tip = await harbour.tip(delivery.base_branch)
    if not request.merged or not await history.contains(tip, request.merged):
        raise Waits(f"{request.url} is merged; {delivery.base_branch} does not show it yet", 1.0)
    return request.merged
