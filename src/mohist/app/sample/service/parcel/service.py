"""The answers of the service."""

import os
from urllib.parse import parse_qs, urlsplit

from parcel.price import price


def answer(target: str) -> tuple[int, dict[str, object]]:
    """Status and body for the path and query of a request."""
    address = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(address.query).items()}
    try:
        if address.path == "/price":
            return 200, quote(query)
        if address.path == "/health":
            quote({"grams": "100"})
            return 200, {"status": "ok", "version": os.environ.get("MOHIST_VERSION", "development")}
    except ValueError as error:
        return 400, {"error": str(error)}
    except Exception as error:  # told to whoever asked; the service goes on
        return 500, {"error": repr(error)}
    return 404, {"error": "ask for /price or /health"}


def quote(query: dict[str, str]) -> dict[str, object]:
    """What /price tells."""
    return {"price": price(int(query.get("grams", "0")))}
