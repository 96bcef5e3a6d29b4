"""What budgets are charged for a call: held before it, settled after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mohist.gateway.call import CallRecord, Reservation
from mohist.provider.message import Usage

# What an answer without a limit may come to; the larger of today's coding clients ask for this much.
UNLIMITED_OUTPUT_TOKENS: Final = 32_000


def held_for(
    prompt_tokens: int, max_output_tokens: int, dearest: Callable[[Usage], int | None]
) -> tuple[int | None, int]:
    """The most a call can come to: money, None where no price is known, and tokens."""
    output_tokens = max_output_tokens if max_output_tokens > 0 else UNLIMITED_OUTPUT_TOKENS
    tokens = prompt_tokens + output_tokens
    plain = dearest(Usage(input_tokens=prompt_tokens, output_tokens=output_tokens))
    if plain is None:
        return None, tokens
    # Writing a prompt to a cache can cost more than reading it; how much of it is written nobody knows yet.
    cached = dearest(Usage(cache_write_tokens=prompt_tokens, output_tokens=output_tokens))
    return (plain if cached is None else max(plain, cached)), tokens


def charge(reservation: Reservation, record: CallRecord) -> tuple[int, int]:
    """What a finished call is charged: money and tokens."""
    usage = record.usage
    if usage is None:
        # Nobody answered, or with an error: vendors bill neither. Else it was billed and not said how much.
        free = not record.upstream or record.status >= 400
        return (record.cost_microusd or 0, 0) if free else (reservation.amount_microusd, reservation.tokens)
    amount = reservation.amount_microusd if record.cost_microusd is None else record.cost_microusd
    return amount, usage.prompt_tokens + usage.output_tokens
