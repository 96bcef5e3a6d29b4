"""Which calls of one answer may run at the same time."""

from __future__ import annotations

from collections.abc import Sequence

from mohist.policy import Access


def batches(accesses: Sequence[Access], width: int) -> list[list[int]]:
    """Positions grouped into batches that run one after the other, the members of one side by side.

    Order is kept: a call never starts before one that stands earlier and conflicts with it has ended.

    Args:
        accesses: what each call touches, in call order.
        width: most calls in one batch, at least 1.
    """
    groups: list[list[int]] = []
    for position, access in enumerate(accesses):
        current = groups[-1] if groups else None
        if current is None or len(current) >= width or any(access.conflicts(accesses[other]) for other in current):
            groups.append([position])
        else:
            current.append(position)
    return groups
