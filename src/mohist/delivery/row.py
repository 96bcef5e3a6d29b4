"""Values to rows of the tables and back; a column has the name of the field that it holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from mohist.delivery.state import Bound, Criterion, Decision, Delivery, Gate, Plan, PlanTask, Spec

T = TypeVar("T")
Row = Mapping[Any, Any]
"""Columns by name."""


def row_of(value: Any) -> dict[str, Any]:
    """The columns of a value; parts within parts become plain JSON types."""
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def value_of(kind: type[T], row: Row) -> T:
    """The value that a row holds; columns that the value has no field for are left out."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in row.items() if name in names})


def delivery_of(row: Row) -> Delivery:
    """The delivery of a row."""
    return value_of(Delivery, {**row, "bound": Bound(**row["bound"])})


def spec_of(row: Row) -> Spec:
    """The version of a spec of a row."""
    criteria = tuple(Criterion(**criterion) for criterion in row["criteria"])
    return value_of(Spec, {**row, "criteria": criteria, "irreversible": tuple(row["irreversible"])})


def plan_of(row: Row) -> Plan:
    """The version of a plan of a row."""
    return value_of(Plan, {**row, "tasks": tuple(_task(task) for task in row["tasks"])})


def gate_of(row: Row, decisions: tuple[Decision, ...]) -> Gate:
    """The gate of a row, with its decisions."""
    needs = tuple(tuple(group) for group in row["needs"])
    return value_of(Gate, {**row, "needs": needs, "decisions": decisions})


def decision_of(row: Row) -> Decision:
    """The decision of a row."""
    return value_of(Decision, {**row, "teams": tuple(row["teams"])})


def _task(task: Row) -> PlanTask:
    lists = {name: tuple(value) for name, value in task.items() if isinstance(value, list)}
    return PlanTask(**{**task, **lists})


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return row_of(value)
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
