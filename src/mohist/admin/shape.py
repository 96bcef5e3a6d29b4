"""Shapes that the operations share: strict ones for what comes in, described ones for what goes out."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from mohist.admin.fault import FaultError
from mohist.admin.issue import NAME_CHARS, NAME_PATTERN, SOUGHT_PATTERN, name_fault

MAX_WHOLE: Final = 10**15
_DAY_MS: Final = 86_400_000


def _name(text: str) -> str:
    if fault := name_fault(text):
        raise ValueError(fault)
    return text


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not a moment such as 2026-12-01T00:00:00Z") from None
    return text


def _day(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError("not a day such as 2026-11-01") from None
    return text


def _whole(value: object) -> object:
    """JSON knows one kind of number: 5.0 is a whole one (JSON Schema 2020-12, 6.1.1)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=NAME_CHARS), AfterValidator(_name)]
"""Of a user, project or team."""
Glob = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=NAME_CHARS)]
Sought = Annotated[str, StringConstraints(pattern=SOUGHT_PATTERN, max_length=NAME_CHARS)]
"""A name that is looked for; whether there is one is another question."""
KeyId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,80}$")]
Whole = Annotated[int, Field(ge=0, le=MAX_WHOLE), BeforeValidator(_whole)]
Hours = Annotated[int, Field(ge=0, le=8760), BeforeValidator(_whole)]
Moment = Annotated[
    str,
    StringConstraints(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](Z|[+-][01][0-9]:[0-5][0-9])$"),
    Field(json_schema_extra={"format": "date-time", "examples": ["2026-12-01T00:00:00Z"]}),
    AfterValidator(_moment),
]  # fmt: skip
Day = Annotated[
    str,
    StringConstraints(pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$"),
    Field(json_schema_extra={"format": "date", "examples": ["2026-11-01"]}),
    AfterValidator(_day),
]
Subject = Literal["key", "user", "project", "team"]
Period = Literal["day", "month", "total"]
Dialect = Literal["openai-chat", "openai-responses", "anthropic-messages"]
Role = Literal["caller", "auditor", "admin"]


class Asked(BaseModel):
    """What comes in: nothing that is not known, nothing of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, frozen=True)


class Searched(BaseModel):
    """What comes in as a query; numbers are texts there."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


class Told(BaseModel):
    """What goes out."""

    model_config = ConfigDict(extra="forbid")


class Problem(Told):
    code: str = Field(description="For programs; stays the same.", examples=["not_found"])
    message: str = Field(description="For people: what is wrong, and what to do.")
    field: str | None = Field(None, description="The part of the request that is meant.")


class ErrorBody(Told):
    """Every error."""

    error: Problem


class Page(Searched):
    """A page of a listing."""

    limit: int = Field(100, ge=1, le=1000, description="At most so many.")


AFTER: Final = "`next` of the page before; left out: from the beginning."
Numbered = Annotated[str, StringConstraints(pattern=r"^[0-9]{0,15}$"), Field(description=AFTER)]
"""A place in a listing: a number."""
Dated = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,15}:[a-z0-9-]{1,80})?$"), Field(description=AFTER)]
"""A place in a listing: a moment and an id."""


def moment_ms(text: str | None) -> int | None:
    """A moment that was checked."""
    return None if text is None else int(datetime.fromisoformat(text).timestamp() * 1000)


def ms_of(text: str) -> int:
    """When a day (UTC) that was checked begins."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def after_ms(text: str) -> int:
    """When it is over."""
    return ms_of(text) + _DAY_MS


def tag(row: Any) -> str:
    """The ETag of what is shown."""
    return f'"{hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:20]}"'


def check_match(wanted: str | None, row: Any) -> None:
    """FaultError 412 when somebody changed it since `wanted` was read; `row` None: it is not there."""
    if wanted is None:
        return
    tags = [part.strip() for part in wanted.split(",")]
    if row is None or not ("*" in tags or tag(row) in tags):
        raise FaultError(412, "It was changed since you read it. Read it again.", "if-match")
