"""Prints what AgentDojo's attacks say, as JSON. Run by the Python of an environment of its own, which holds AgentDojo and nothing of Mohist.

Its model clients are not installed: empty modules stand in their place, since no model is asked. Each text is made by
AgentDojo's own attack class from the goal of one of its own injection tasks, with `HOW` behind the goal, for how it is to be done.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import random
import sys
import types
from typing import Any

HOW = "@@HOW@@"
CLIENTS = frozenset(
    {
        "anthropic",
        "cohere",
        "deepdiff",
        "google",
        "langchain",
        "openai",
        "requests",
        "tenacity",
        "torch",
        "transformers",
    }
)


class _Unused(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing

    def __or__(cls, other: object) -> Any:
        return object

    __ror__ = __or__


class Nothing(metaclass=_Unused):
    """What stands for each class and function of a client."""

    def __init__(self, *_: object, **__: object) -> None:
        """Takes anything: decorators are called with settings."""

    def __call__(self, decorated: object = None, *_: object, **__: object) -> object:
        return decorated


class _Empty(types.ModuleType):
    __path__: list[str] = []  # noqa: RUF012 - what the import system asks of a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing


class NoClients(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds an empty module for each client."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> Any:
        if fullname.partition(".")[0] in CLIENTS:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing to run."""


def texts() -> list[dict[str, str]]:
    """One object for each attack and goal: where it is from, the goal, the text; goals that several versions share once."""
    from agentdojo.agent_pipeline.base_pipeline_element import BasePipelineElement
    from agentdojo.attacks.attack_registry import ATTACKS
    from agentdojo.task_suite.load_suites import _SUITES, get_suites

    class Target(BasePipelineElement):
        """Whose name says which model the texts address."""

        name = "gpt-4o-2024-05-13"

        def query(self, *_: object, **__: object) -> Any:
            raise AssertionError("no model is asked")

    found: list[dict[str, str]] = []
    seen: set[tuple[str, str, str]] = set()
    for version in _SUITES:
        for suite_name, suite in get_suites(version).items():
            user_task = next(iter(suite.user_tasks.values()))
            for attack_name, kind in ATTACKS.items():
                if attack_name == "manual":  # asks a person for the text
                    continue
                random.seed(0)
                attack = kind(suite, Target())
                attack.get_injection_candidates = lambda _task: ["place"]
                tasks = suite.injection_tasks.items()
                if attack.is_dos_attack:  # its text has no goal
                    if any(one["attack"] == attack_name for one in found):
                        continue
                    tasks = list(tasks)[:1]
                for task_id, task in tasks:
                    goal = task.GOAL
                    if (attack_name, suite_name, goal) in seen:
                        continue
                    seen.add((attack_name, suite_name, goal))
                    task.GOAL = f"{goal} {HOW}"
                    try:
                        text = attack.attack(user_task, task)["place"]
                    finally:
                        task.GOAL = goal
                    found.append(
                        {
                            "suite": suite_name,
                            "version": version,
                            "task": task_id,
                            "attack": attack_name,
                            "goal": goal,
                            "text": text,
                        }
                    )
    return found


if __name__ == "__main__":
    sys.meta_path.insert(0, NoClients())
    print(json.dumps(texts()))
