"""Makes a delivery's statements by itself: of its merge who wrote it and with what, of its builds where they come from.

Each is a file in the delivery's folder, for whoever is shown the delivery; its digest stands in the delivery's stream of the ledger,
entered before the file has its name. All of them can be made again: `mohist trace attest|bom|provenance`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from mohist.app.evidence import Evidence
from mohist.app.inquiry import Inquiry, inquiry
from mohist.base import MohistError
from mohist.delivery.state import Delivery
from mohist.report import NoSuchLineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FOLDER = "statements"
"""In a delivery's folder."""
SHORT = 12
"""Digits of a commit or a digest in a file's name."""


async def state_merge(evidence: Evidence, delivery: Delivery, objects: Path, folder: Path) -> str:
    """Writes an in-toto statement about what was merged, and the bill of materials of the AI that it was made with.

    Args:
        evidence: the ledger.
        delivery: that is merged.
        objects: of its own repository, which may be the only one here that has the commits.
        folder: the delivery's.

    Returns:
        What could not be done; empty: it is done.
    """
    from mohist.app.projection import attest, bill, enter_bill

    name = delivery.merged[:SHORT]
    authorship, materials = (folder / FOLDER / f"{kind}-{name}.json" for kind in ("authorship", "materials"))
    stream = f"delivery:{delivery.delivery_id}"
    try:
        async with _asked(evidence, delivery, objects) as asked:
            if not authorship.exists():
                # By its id alone: the commit may be in the delivery's own repository only.
                async for mapped in asked.mapped([delivery.merged]):
                    envelope, _ = await attest(asked, evidence, mapped, stream)
                    await to_thread.run_sync(_write, authorship, envelope)
            if not materials.exists():
                commits = await asked.between(delivery.base_commit, delivery.merged)
                made = await bill(asked, commits, delivery.merged)
                await to_thread.run_sync(enter_bill, evidence, made, stream)
                await to_thread.run_sync(_write, materials, made)
    except (MohistError, OSError) as error:
        return f"no statement was made of it ({_what(error)} `mohist trace attest|bom` makes them)"
    return ""


async def state_builds(evidence: Evidence, delivery: Delivery, objects: Path, folder: Path) -> str:
    """Writes SLSA provenance of each artefact that the delivery built.

    Args:
        evidence: the ledger.
        delivery: that deploys.
        objects: of its own repository.
        folder: the delivery's.

    Returns:
        What could not be done; empty: it is done, or nothing was built.
    """
    from mohist.app.projection import enter_provenance, provenance

    try:
        async with _asked(evidence, delivery, objects) as asked:
            try:
                made = provenance(asked, evidence, delivery.delivery_id)
            except NoSuchLineError:
                return ""
        for statement, envelope in made:
            digest = statement["subject"][0]["digest"]["dirHash1"]
            path = folder / FOLDER / f"provenance-{digest[:SHORT]}.json"
            if not path.exists():
                await to_thread.run_sync(enter_provenance, evidence, statement, envelope)
                await to_thread.run_sync(_write, path, envelope)
    except (MohistError, OSError) as error:
        return f"its provenance was not stated ({_what(error)} `mohist trace provenance` does it)"
    return ""


@asynccontextmanager
async def _asked(evidence: Evidence, delivery: Delivery, objects: Path) -> AsyncIterator[Inquiry]:
    async with inquiry(evidence.home, Path(delivery.repository)) as asked:
        asked.also(objects)
        yield asked


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(path)


def _what(error: MohistError | OSError) -> str:
    return error.what if isinstance(error, MohistError) else f"{error.strerror}."
