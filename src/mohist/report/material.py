"""A bill of materials of the AI that a range of commits was made with, as CycloneDX 1.6 JSON (https://cyclonedx.org/docs/1.6/json/).

Models are components, prompts are data of which only commitments are known, tools are properties of the runs, which stand in the
formulation with the lines that are theirs. Named are pseudonyms and digests: who shows a prompt can prove by its commitment that it was it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from mohist import __version__
from mohist.report.map import Mapped

FORM = "1.6"


@dataclass(slots=True)
class _Run:
    models: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    prompts: set[int] = field(default_factory=set)
    deliveries: set[str] = field(default_factory=set)
    lines: int = 0


def bill(
    mapped: Sequence[Mapped],
    *,
    name: str,
    version: str,
    origin: str,
    at: str,
    entry_of: Callable[[int], Mapping[str, Any]],
) -> dict[str, Any]:
    """The bill.

    Args:
        mapped: the commits of the release.
        name: of what is released.
        version: of the release, or its commit.
        origin: the ledger's name.
        at: when it is made, RFC 3339.
        entry_of: an entry of the ledger by its index.
    """
    runs = _runs(mapped)
    models = sorted({model for run in runs.values() for model in run.models})
    prompts = sorted({prompt for run in runs.values() for prompt in run.prompts})
    commits = [one.change.commit for one in mapped]
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{FORM}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": FORM,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{origin}/{name}/{version}/{commits}')}",
        "version": 1,
        "metadata": {
            "timestamp": at,
            "tools": {"components": [{"type": "application", "name": "mohist", "version": __version__}]},
            "component": {"type": "application", "bom-ref": "release", "name": name, "version": version},
            "properties": _properties(ledger=origin, commits=len(commits)),
        },
        "components": [
            *[_model(model, runs) for model in models],
            *[_prompt(prompt, entry_of(prompt)) for prompt in prompts],
        ],
        "dependencies": [
            {"ref": "release", "dependsOn": [*[f"model:{m}" for m in models], *[f"prompt:{p}" for p in prompts]]}
        ],
        "formulation": [{"workflows": [_workflow(run, runs[run]) for run in sorted(runs)]}],
    }


def _runs(mapped: Sequence[Mapped]) -> dict[str, _Run]:
    runs: dict[str, _Run] = {}
    for one in mapped:
        for lines in one.lines.values():
            for traced in lines:
                write = traced.write
                if write is None:
                    continue
                run = runs.setdefault(write.run, _Run())
                run.lines += 1
                run.models[write.model] += 1
                run.tools[write.tool] += 1
                if write.prompt is not None:
                    run.prompts.add(write.prompt)
                if write.delivery:
                    run.deliveries.add(write.delivery)
    return runs


def _model(model: str, runs: Mapping[str, _Run]) -> dict[str, Any]:
    provider, _, name = model.rpartition("/")
    lines = sum(run.models[model] for run in runs.values())
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model}",
        **({"group": provider} if provider else {}),
        "name": name,
        "properties": _properties(lines=lines),
    }


def _prompt(index: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked, of which the ledger holds commitments."""
    payload: Mapping[str, Any] = next(iter(entry.get("payload", ())), {})
    told = {"entry": index, "commitment": payload.get("commitment", ""), "ciphertext-sha256": payload.get("digest", "")}
    return {
        "type": "data",
        "bom-ref": f"prompt:{index}",
        "name": f"prompt {index}",
        "data": [{"type": "other", "name": "prompt", "classification": "confidential"}],
        "properties": _properties(**told),
    }


def _workflow(name: str, run: _Run) -> dict[str, Any]:
    used = [
        *[f"model:{model}" for model in sorted(run.models)],
        *[f"prompt:{prompt}" for prompt in sorted(run.prompts)],
    ]
    return {
        "bom-ref": f"run:{name}",
        "uid": name,
        "name": "run of an agent",
        "taskTypes": ["other"],
        "resourceReferences": [{"ref": ref} for ref in used],
        "properties": [
            *_properties(lines=run.lines),
            *[{"name": "mohist:tool", "value": tool} for tool in sorted(run.tools)],
            *[{"name": "mohist:delivery", "value": delivery} for delivery in sorted(run.deliveries)],
        ],
    }


def _properties(**values: str | int) -> list[dict[str, str]]:
    return [{"name": f"mohist:{name}", "value": str(value)} for name, value in values.items() if value != ""]
