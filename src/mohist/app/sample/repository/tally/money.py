"""Amounts in cents: parsing, formatting, splitting."""


def parse(text):
    """`"1,234.50"` to 123450 cents; raises ValueError for anything else."""
    sign = -1 if text.startswith("-") else 1
    whole, _, cents = text.lstrip("+-").replace(",", "").partition(".")
    if not whole.isdigit() or not (cents or "0").isdigit() or len(cents) > 2:
        raise ValueError(f"not an amount: {text!r}")
    return sign * (int(whole) * 100 + int(cents.ljust(2, "0") or 0))


def show(cents):
    """123450 to `"1,234.50"`."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100:,}.{abs(cents) % 100:02d}"


def split(cents, weights):
    """`cents` divided in proportion to `weights`, a part for each."""
    total = sum(weights)
    if total <= 0:
        raise ValueError("the weights must add up to more than nothing")
    return [round(cents * weight / total) for weight in weights]
