"""What tests of vetting in the fence share."""

from __future__ import annotations

from pathlib import Path

from mohist.vet.behaviour.recipe import PROMPT, URL, Recipe

CLIENTS = Path(__file__).resolve().parents[1] / "fakes" / "client"
PYTHON = "/usr/bin/python3"


def recipe(script: str, *words: str) -> Recipe:
    """How a made-up client is run."""
    env = {"BASE_URL": URL, "ANTHROPIC_BASE_URL": URL, "ANTHROPIC_AUTH_TOKEN": "key-of-nothing"}
    argv = (PYTHON, "-S", "-E", str(CLIENTS / script), *words, PROMPT)
    return Recipe(words[0], "anthropic-messages", argv, env, {}, (CLIENTS,))


def say_nothing(_what: str, _done: int, _whole: int) -> None:
    """Progress that nobody reads."""
