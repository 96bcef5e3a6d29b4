"""The folder where people read and edit a delivery's spec and plan, and the spec's folder in a worktree or copy.

The book is the truth: what a person saved here counts once it was read, checked and put there as a new version.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mohist.base import sha256_hex
from mohist.delivery.book import Book
from mohist.delivery.errors import DeliveryError, PlanError, SpecError
from mohist.delivery.spec import SPEC_FILE, CheckFile, folder_of, parse, render, renumbered, spec_of
from mohist.delivery.state import Plan, Spec
from mohist.delivery.task import PLAN_FILE, plan_of, wrong_with

_MOST_BYTES = 2_000_000


def lay_out(folder: Path, delivery_id: str, spec: Spec) -> None:
    """Writes the spec and its check files into a worktree or a copy; nothing is written through a link."""
    _lay(folder, folder_of(delivery_id), spec)


def put_spec(desk: Path, spec: Spec) -> None:
    """Writes the spec and its check files for people to read."""
    desk.mkdir(parents=True, exist_ok=True)
    _lay(desk, ".", spec)


def put_plan(desk: Path, text: str) -> None:
    """Writes the plan for people to read."""
    desk.mkdir(parents=True, exist_ok=True)
    _write(desk, PLAN_FILE, text.encode())


def take_spec(desk: Path, book: Book, delivery_id: str) -> Spec | None:
    """What a person made of the spec, as a new version in the book; None: nothing was changed.

    A check file that was edited beside the spec is taken into it.

    Raises:
        SpecError: it can't be used as it is; the book keeps the version before.
    """
    newest = book.spec(delivery_id)
    data = _read(desk / SPEC_FILE)
    if newest is None or data is None:
        return None
    data = _with_edited_files(desk, data, newest)
    if sha256_hex(data) == newest.digest:
        return None
    spec = spec_of(data, newest.version + 1, delivery_id)
    older = [version for number in range(1, newest.version + 1) if (version := book.spec(delivery_id, number))]
    if wrong := renumbered(older, spec.criteria):
        raise SpecError(f"{SPEC_FILE} can't be used: {'; '.join(wrong)}.")
    book.put_spec(delivery_id, spec)
    put_spec(desk, spec)
    return spec


def read_plan(desk: Path, book: Book, delivery_id: str, begun: Sequence[str] = ()) -> tuple[Plan, str] | None:
    """What a person made of the plan, with the file's text; None: nothing was changed. The book is not told.

    Args:
        begun: ids of tasks that have begun: these stay as they are.

    Raises:
        PlanError: it can't be used as it is.
    """
    newest, spec = book.plan(delivery_id), book.spec(delivery_id)
    data = _read(desk / PLAN_FILE)
    if newest is None or spec is None or data is None or sha256_hex(data) == newest.digest:
        return None
    plan = plan_of(data, newest.version + 1)
    wrong = list(wrong_with(plan.tasks, spec.criteria, book.get(delivery_id).bound.cost_microusd))
    now = {task.task_id: task for task in plan.tasks}
    wrong += [
        f"{task.task_id} has begun and can't be changed"
        for task in newest.tasks
        if task.task_id in begun and now.get(task.task_id) != task
    ]
    if wrong:
        raise PlanError(f"{PLAN_FILE} can't be used: {'; '.join(wrong)}.")
    return plan, data.decode("utf-8-sig")


def take_plan(desk: Path, book: Book, delivery_id: str, begun: Sequence[str] = ()) -> Plan | None:
    """What a person made of the plan, as a new version in the book; as `read_plan`."""
    found = read_plan(desk, book, delivery_id, begun)
    if found is None:
        return None
    book.put_plan(delivery_id, found[0])
    return found[0]


def _with_edited_files(desk: Path, data: bytes, newest: Spec) -> bytes:
    """The spec with the check files that were edited beside it."""
    try:
        draft = parse(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, SpecError):
        return data  # `spec_of` says what is wrong.
    known = {file.path: file.content for file in parse(newest.text).files}
    files, edited = [], False
    for file in draft.files:
        beside = _read(desk / file.path)
        text = beside.decode("utf-8", "replace").replace("\r\n", "\n") if beside is not None else file.content
        if text == file.content or text == known.get(file.path):
            files.append(file)
        elif file.content == known.get(file.path):
            files.append(CheckFile(file.path, text))
            edited = True
        else:
            raise SpecError(f"{file.path!r} was edited in {SPEC_FILE} and beside it.", "Keep one of the two.")
    return render(dataclasses.replace(draft, files=tuple(files))).encode() if edited else data


def _lay(root: Path, folder: str, spec: Spec) -> None:
    _write(root, f"{folder}/{SPEC_FILE}", spec.text.encode())
    for file in parse(spec.text).files:
        _write(root, f"{folder}/{file.path}", file.content.encode())


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DeliveryError(f"{str(path)!r} can't be read: {error.strerror}.") from None
    if len(data) > _MOST_BYTES:
        raise DeliveryError(f"{str(path)!r} is larger than {_MOST_BYTES} bytes.", "Keep data out of it.")
    return data


def _write(root: Path, name: str, data: bytes) -> None:
    """Writes below a folder; a link on the way, which a repository may hold, is refused."""
    path = root
    try:
        for part in PurePosixPath(name).parts[:-1]:
            path = path / part
            if path.is_symlink():
                raise DeliveryError(f"{str(path)!r} is a link; nothing is written through it.", "Remove it.")
            path.mkdir(exist_ok=True)
        path = path / PurePosixPath(name).name
        if path.is_symlink():
            raise DeliveryError(f"{str(path)!r} is a link; nothing is written through it.", "Remove it.")
        if not path.is_file() or path.read_bytes() != data:
            path.write_bytes(data)
    except OSError as error:
        raise DeliveryError(f"{str(path)!r} can't be written: {error.strerror}.", audience="operator") from None
