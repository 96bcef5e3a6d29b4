"""What can go wrong with a delivery, told to people."""

from __future__ import annotations

from mohist.base import ExitCode, MohistError
from mohist.base.errors import Audience


class DeliveryError(MohistError):
    """Any of them."""


class UnknownDeliveryError(DeliveryError):
    """No delivery has this id."""


class OutdatedError(DeliveryError):
    """A decision about something that has changed since: approvals bind to digests."""


class NotEntitledError(DeliveryError):
    """This person may not decide here."""

    exit_code = ExitCode.REFUSED


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


class FieldError(DeliveryError):
    """A document lacks a field that a trigger names."""


class TriggerError(DeliveryError):
    """A trigger can't do what it is for."""

    audience: Audience = "operator"


class EngineError(DeliveryError):
    """Segments can't be run: the engine's database, or a segment that can't be run at all."""

    audience: Audience = "operator"


class LostError(EngineError):
    """This worker doesn't hold the segment any more; another runs it, and nothing it does here may count."""

    audience: Audience = "bug"


class SpecError(DeliveryError):
    """`spec.md` can't be used as it is written."""


class PlanError(DeliveryError):
    """`plan.toml` can't be used as it is written."""


class AnswerError(DeliveryError):
    """A run left no answer that can be used, not even when it was told what was wrong."""


class RunEndedError(DeliveryError):
    """A run did not come to its end."""

    def __init__(self, what: str, mend: str = "", *, status: str) -> None:
        super().__init__(what, mend)
        self.status = status


class ForgeError(DeliveryError):
    """The forge refused, and would the next time: a wrong token, a project that is not there."""

    audience: Audience = "operator"


class ForgeAwayError(ForgeError):
    """The forge did not answer, or asks to be left alone for a while."""

    def __init__(self, what: str, mend: str = "", *, retry_after_s: float = 0.0) -> None:
        super().__init__(what, mend)
        self.retry_after_s = retry_after_s
