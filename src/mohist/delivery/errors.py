"""What can go wrong with a delivery, told to people."""

from __future__ import annotations

from mohist.base import MohistError


class DeliveryError(MohistError):
    """Any of them."""


class UnknownDeliveryError(DeliveryError):
    """No delivery has this id."""


class OutdatedError(DeliveryError):
    """A decision about something that has changed since: approvals bind to digests."""


class NotEntitledError(DeliveryError):
    """This person may not decide here."""


class DecidedError(DeliveryError):
    """The gate is not open any more."""


class ConflictError(DeliveryError):
    """Somebody else changed it at the same time."""
