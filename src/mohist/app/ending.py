"""How a run ends that did not end by itself: signals and errors."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import anyio

from mohist.agent.errors import LogError
from mohist.agent.record import Ended
from mohist.base import Halt, MohistError


async def cancel_on_signal(scope: anyio.CancelScope) -> None:
    """Ctrl-C, TERM and HUP cancel the run in an orderly way; a second one does not wait for it.

    Beside the main thread, where a delivery's worker runs, signals are the worker's and nothing is waited for here.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()
            return


def ending_of(errors: BaseExceptionGroup[BaseException]) -> Ended:
    """How a run ends that an error has ended; what nobody can put on the record is raised."""
    leaves = list(_leaves(errors))
    broken = next((leaf for leaf in leaves if isinstance(leaf, LogError)), None)
    if broken is not None:
        raise broken from None
    halt = next((leaf for leaf in leaves if isinstance(leaf, Halt)), None)
    if halt is not None:
        return Ended("refused", "", str(halt))
    known = next((leaf for leaf in leaves if isinstance(leaf, MohistError)), None)
    if known is not None:
        return Ended("failed", "", str(known))
    raise errors


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def known_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in `errors` that somebody can act on; else the group itself."""
    return next((leaf for leaf in _leaves(errors) if isinstance(leaf, MohistError)), errors)
