"""The form of files that people write, and of the list of secrets.

Imported when such a file is read, and not at each start: what checks forms costs a tenth of a second and ten megabytes.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mohist.guard.errors import GuardRuleError
from mohist.guard.secret.row import Row

_WIDE = {"", "*", "**", "**/*"}


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Shape = TypeVar("_Shape", bound=_Form)


class AllowRow(_Form):
    """A table `[[allow]]`."""

    value: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    rule: Annotated[str, Field(min_length=1)] = "*"
    path: Annotated[str, Field(min_length=1)] = "*"
    reason: Annotated[str, Field(min_length=3)]
    owner: Annotated[str, Field(min_length=2)]
    until: dt.date | None = None

    @model_validator(mode="after")
    def _narrow(self) -> Self:
        if self.value is None and self.rule in _WIDE and self.path in _WIDE:
            raise ValueError("it would let everything pass; give a value, a rule or a path")
        return self


class AllowFile(_Form):
    """A file of allowances."""

    allow: tuple[AllowRow, ...] = ()


class RuleRow(_Form):
    """A table `[[rule]]`."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    name: str = ""
    expression: Annotated[str, Field(min_length=1, max_length=4096)]
    ignore_case: bool = False
    keywords: tuple[str, ...] = ()
    data_class: Annotated[str, Field(alias="class", pattern=r"^[a-z][a-z0-9.-]{0,63}$")] = "secret.company"
    confidence: Annotated[float, Field(gt=0, le=1)] | None = None
    sure: str = ""
    width: Annotated[int, Field(gt=0, le=65536)] = 1024
    validator: str = ""
    strict: bool = False
    drop: list[Any] | None = None
    weak: list[Any] | None = None
    path: str = ""
    beside: tuple[str, ...] = ()
    matches: tuple[str, ...]
    passes: tuple[str, ...]

    def row(self) -> Row:
        """The same, of plain values."""
        return Row(**self.model_dump())


class RulesFile(_Form):
    """A file of rules."""

    rule: tuple[RuleRow, ...] = ()


class ListedTrace(_Form):
    """One form of a listed secret."""

    form: str
    length_bytes: Annotated[int, Field(ge=8)]
    gram: Annotated[int, Field(ge=0, lt=1 << 32)]
    mac: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class ListedSecret(_Form):
    """A listed secret, by hashes alone."""

    label: str
    traces: tuple[ListedTrace, ...]


class ListedFile(_Form):
    """The list."""

    format: int
    secrets: tuple[ListedSecret, ...]


def shaped(form: type[_Shape], text: str, where: str) -> _Shape:
    """TOML of that form.

    Raises:
        GuardRuleError: it is none; says what and where.
    """
    try:
        return form.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise GuardRuleError(f"{where} is no TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise GuardRuleError(f"{where}, {place}: {first['msg']}.") from None


def listed_file(data: bytes) -> ListedFile | None:
    """The list of secrets; None: the file is damaged."""
    try:
        return ListedFile.model_validate_json(data)
    except ValidationError:
        return None
