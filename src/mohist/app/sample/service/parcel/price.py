"""The price list."""

STEPS = ((500, 490), (2000, 690), (10000, 1090))
"""Grams up to which a price in cents holds."""


def price(grams: int) -> int:
    """Cents for a parcel of this weight; ValueError where none is sent."""
    for limit, cents in STEPS:
        if 0 < grams <= limit:
            return cents
    raise ValueError(f"no parcel weighs {grams} g")
