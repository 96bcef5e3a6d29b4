"""The package's door: what it costs to open, and that all behind it is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mohist.provider


def modules_after(code: str) -> set[str]:
    script = f"import sys; {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_opening_the_door_loads_no_http_client_and_no_dialect():
    loaded = modules_after("import mohist.provider")
    assert not {"httpx2", "anyio", "mohist.provider.openai_chat", "mohist.provider.message"} & loaded


def test_building_adapters_loads_no_http_client():
    code = (
        "from mohist.provider import *; "
        "p = OpenAIChat('m', 'http://localhost', None, Caps(), lambda u: None); "
        "p.stream(Request('m', '', ()))"
    )
    assert "httpx2" not in modules_after(code)


@pytest.mark.parametrize("name", mohist.provider.__all__)
def test_each_public_name_is_there(name):
    assert getattr(mohist.provider, name) is not None
    assert name in dir(mohist.provider)


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = mohist.provider.Nothing
