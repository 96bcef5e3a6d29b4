"""The plan's file, `plan.toml`, and what a plan must be: no task waits for itself, no criterion is forgotten."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import Final

from pydantic import ValidationError

from mohist.base import sha256_hex
from mohist.delivery.answer import DraftTask, Planned
from mohist.delivery.errors import PlanError
from mohist.delivery.state import Criterion, Plan, PlanTask

PLAN_FILE: Final = "plan.toml"
_HEAD: Final = "# The plan. Change a task as you like until it begins; `mohist deliver show` tells which have.\n"
_TOLD: Final = 8


def plan_of(data: bytes, version: int) -> Plan:
    """A version of the plan from the file's bytes.

    Raises:
        PlanError: it is not of the form; every reason with its place.
    """
    try:
        planned = Planned.model_validate(tomllib.loads(data.decode("utf-8-sig")))
    except UnicodeDecodeError:
        raise PlanError(f"{PLAN_FILE} is not UTF-8.", "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{PLAN_FILE} is no TOML: {error}.") from None
    except ValidationError as error:
        rows = error.errors(include_url=False, include_input=False)[:_TOLD]
        told = "; ".join(f"{'.'.join(str(part) for part in row['loc'])}: {row['msg']}" for row in rows)
        raise PlanError(f"{PLAN_FILE} can't be used: {told}.") from None
    return Plan(version, sha256_hex(data), tasks_of(planned.tasks))


def tasks_of(drafts: Iterable[DraftTask]) -> tuple[PlanTask, ...]:
    return tuple(
        PlanTask(one.id, one.title, one.text, one.needs, one.may_touch, one.criteria, one.cost_microusd)
        for one in drafts
    )


def render(tasks: Iterable[PlanTask]) -> str:
    """The file's text; `plan_of` gives the same tasks again."""
    parts = [_HEAD]
    for task in tasks:
        rows = ["[[tasks]]", f"id = {_value(task.task_id)}", f"title = {_value(task.title)}"]
        rows += [f"text = {_value(task.text)}"]
        for name, values in (("needs", task.needs), ("may_touch", task.may_touch), ("criteria", task.criteria)):
            rows.append(f"{name} = [{', '.join(_value(value) for value in values)}]")
        if task.cost_microusd is not None:
            rows.append(f"cost_microusd = {task.cost_microusd}")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def wrong_with(
    tasks: Sequence[PlanTask], criteria: Iterable[Criterion], bound_microusd: int | None = None, most: int = 0
) -> tuple[str, ...]:
    """What is wrong with a plan, a sentence each.

    Args:
        criteria: of the spec; each must belong to a task.
        bound_microusd: of the delivery; None: none.
        most: tasks; 0: any number.
    """
    wrong = []
    ids = [task.task_id for task in tasks]
    known = {one.criterion_id for one in criteria}
    if most and len(tasks) > most:
        wrong.append(f"there are {len(tasks)} tasks, at most {most} are allowed")
    wrong += [f"{name} is there twice" for name in sorted({name for name in ids if ids.count(name) > 1})]
    for task in tasks:
        wrong += [f"{task.task_id} needs {name}, which is no task" for name in task.needs if name not in ids]
        wrong += [f"{task.task_id} names {name}, which is no criterion" for name in task.criteria if name not in known]
        wrong += [f"{task.task_id} may touch {glob!r}: {why}" for glob in task.may_touch if (why := _bad_glob(glob))]
    covered = {name for task in tasks for name in task.criteria}
    wrong += [f"no task is to meet {name}" for name in sorted(known - covered)]
    try:
        TopologicalSorter({task.task_id: task.needs for task in tasks}).prepare()
    except CycleError as error:
        wrong.append(f"tasks wait for each other: {' → '.join(error.args[1])}")
    asked = sum(task.cost_microusd or 0 for task in tasks)
    if bound_microusd is not None and asked > bound_microusd:
        wrong.append(f"the tasks' budgets come to {asked} micro-USD, the delivery has {bound_microusd}")
    return tuple(wrong)


def outside(paths: Iterable[str], globs: Iterable[str]) -> tuple[str, ...]:
    """Paths that no glob allows. `*` stays within a folder, `**` crosses them; a folder's name means all below it."""
    allowed = [_pattern(glob) for glob in globs]
    return tuple(path for path in paths if not any(one.fullmatch(path) for one in allowed))


def _pattern(glob: str) -> re.Pattern[str]:
    glob = glob.removeprefix("./")
    if glob.endswith("/"):
        glob += "**"
    pattern = ""
    for part in re.split(r"(\*\*/|/\*\*$|\*\*|\*|\?)", glob):
        simple = {"**/": "(?:.*/)?", "/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        pattern += simple.get(part, re.escape(part))
    return re.compile(pattern, re.DOTALL)


def _bad_glob(glob: str) -> str:
    path = PurePosixPath(glob)
    if path.is_absolute() or ".." in path.parts:
        return "it must lie in the repository"
    if path.parts and path.parts[0] in (".mohist", ".git"):
        return "no task changes that"
    return ""


def _value(text: str) -> str:
    # A basic string of TOML is written as JSON writes one, but for U+007F: https://toml.io/en/v1.0.0#string
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
