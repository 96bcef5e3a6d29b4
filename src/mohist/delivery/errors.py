"""What can go wrong with a delivery, told to people."""

from __future__ import annotations

from mohist.base import MohistError
from mohist.base.errors import Audience


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


class TargetError(DeliveryError):
    """A deploy target could not do a step, and would not the next time either."""

    audience = "operator"


class UnreachableError(TargetError):
    """A deploy target did not answer; trying again may help."""


class BusyError(TargetError):
    """Another release is under way in this environment."""


class EnvironmentsError(DeliveryError):
    """`.mohist/deliver.toml` is not as it must be."""


class StateError(DeliveryError):
    """A delivery in this state doesn't allow that."""


class BookError(DeliveryError):
    """The database of deliveries can't be used."""

    audience: Audience = "operator"


class RuleError(DeliveryError):
    """The rules of delivery are not understood."""
