"""What can go wrong in the gateway beside a call."""

from __future__ import annotations

from mohist.base import MohistError
from mohist.base.errors import Audience


class StoreError(MohistError):
    """The gateway's database or journal can't be used, or has no such entry."""

    audience: Audience = "operator"


class HeldError(StoreError):
    """The database works, and others kept writing for longer than this waited."""


class NotThereError(StoreError):
    """There is no such key or budget."""

    audience = "user"


class ConflictError(StoreError):
    """What is there does not allow the change."""

    audience = "user"


class EvictedError(StoreError):
    """Other processes took this one for gone, and its slices of budgets with it."""


class AddressError(MohistError):
    """The gateway can't listen where it was told to."""

    audience = "operator"


class TapeError(MohistError):
    """A recording of calls can't be read or written."""
