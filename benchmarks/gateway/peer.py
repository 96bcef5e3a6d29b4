"""The gateways that are measured: how each is started, and what its processes have used."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path
from typing import Protocol

LITELLM_PACKAGES = ("litellm[proxy]", "opentelemetry-sdk")
"""Without the latter it retries a failing import in every call."""

START_TIMEOUT_S = 120.0


class Gateway(Protocol):
    """What is measured."""

    name: str
    key: str

    def start(self, room: Path, upstream_port: int) -> Running: ...


class Running:
    """A started gateway.

    Args:
        command: with `{port}` for the port.
        env: its environment.
        health: a path that answers 200 when it is ready.
        room: its working folder.
    """

    def __init__(self, command: list[str], env: dict[str, str], health: str, room: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._log = (room / "log").open("wb")
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [word.replace("{port}", str(self.port)) for word in command],
            env=env,
            cwd=room,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        while not self._answers(health):
            if self.process.poll() is not None or time.perf_counter() - begin > START_TIMEOUT_S:
                raise RuntimeError(f"did not start:\n{(room / 'log').read_text(errors='replace')[-3000:]}")
            time.sleep(0.01)
        self.start_s = time.perf_counter() - begin

    def _answers(self, health: str) -> bool:
        with contextlib.suppress(urllib.error.URLError, OSError):
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}{health}", timeout=5).status == 200
        return False

    def cpu_s(self) -> float:
        """CPU time of all its threads and children so far."""
        return sum(_thread_cpu_s(pid) for pid in self._pids())

    def memory_mb(self) -> float:
        """Proportional set size of all its processes."""
        total_kb = 0
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total_kb += int(line.split()[1])
        return total_kb / 1024

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def _pids(self) -> list[int]:
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    todo += map(int, (task / "children").read_text().split())
        return found


def _thread_cpu_s(pid: int) -> float:
    total_ns = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


class Mohist:
    """This project, with a key, its budgets, a policy and usage, from the environment that runs the benchmark.

    Args:
        settings: of the user's `mohist.toml`.
    """

    name = "mohist"

    def __init__(self, settings: str = "") -> None:
        self.key = ""
        self.settings = settings

    def start(self, room: Path, upstream_port: int) -> Running:
        room.mkdir()
        env = {"PATH": os.environ["PATH"], "HOME": str(room), "MOHIST_HOME": str(room / "state")}
        base = f"http://127.0.0.1:{upstream_port}/v1"
        ends = "".join(
            f'[[routes.upstreams]]\nname = "{dialect}"\ndialect = "{dialect}"\nurl = "{base}"\n'
            for dialect in ("openai-chat", "anthropic-messages")
        )
        (room / "routes.toml").write_text(f'[[routes]]\nmodel = "bench"\n{ends}')
        (room / "policy.toml").write_text(POLICY)
        if self.settings:
            (room / "state").mkdir()
            (room / "state" / "mohist.toml").write_text(self.settings)
        program = [sys.executable, "-m", "mohist"]
        create = ["keys", "create", "--user", "bench", "--team", "core", "--rpm", "100000000", "--tpm", "100000000000"]
        made = subprocess.run([*program, *create], env=env, capture_output=True, text=True, check=True)
        budget = ["keys", "budget", "set", "team", "core", "--tokens-day", "100000000000"]
        subprocess.run([*program, *budget], env=env, capture_output=True, check=True)
        self.key = next(word for word in made.stdout.split() if word.startswith("mhk-"))
        serve = ["serve", "--port", "{port}", "--routes", str(room / "routes.toml")]
        serve += ["--policy", str(room / "policy.toml")]
        return Running([*program, *serve], env, "/healthz", room)


POLICY = """\
default = "allow"

[[rule]]
id = "no-search"
reason = "Web search is not allowed here."
cedar = '''
forbid (principal, action, resource) when { context.tools.contains("web_search") };
'''
examples = [
  {expect = "deny", tools = ["web_search"]},
  {expect = "allow", tools = ["read"]},
]
"""


class LiteLLM:
    """LiteLLM's proxy with one worker, a master key and production logging; no database, so no keys and budgets.

    Args:
        prefix: an environment that has `LITELLM_PACKAGES`.
    """

    name = "LiteLLM"

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self.key = f"sk-{secrets.token_hex(16)}"

    @classmethod
    def install(cls, prefix: Path) -> LiteLLM:
        """Into an environment of its own, compiled, so that it does not pay for that at its start."""
        venv.create(prefix, with_pip=True)
        pip = [prefix / "bin" / "pip", "install", "--quiet", "--compile", *LITELLM_PACKAGES]
        subprocess.run(pip, check=True)
        return cls(prefix)

    def version(self) -> str:
        code = "import importlib.metadata as m; print(m.version('litellm'))"
        done = subprocess.run([self._prefix / "bin/python", "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def start(self, room: Path, upstream_port: int) -> Running:
        room.mkdir()
        base = f"http://127.0.0.1:{upstream_port}"
        (room / "config.yaml").write_text(
            f"""\
model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "{base}/v1", api_key: none}}
  - model_name: bench-messages
    litellm_params: {{model: anthropic/bench, api_base: "{base}", api_key: none}}
litellm_settings: {{telemetry: false, set_verbose: false, drop_params: true}}
general_settings: {{master_key: "{self.key}"}}
"""
        )
        env = {"PATH": os.environ["PATH"], "HOME": str(room), "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
        env |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True", "DISABLE_ADMIN_UI": "True"}
        command = [str(self._prefix / "bin" / "litellm"), "--config", "config.yaml", "--host", "127.0.0.1"]
        return Running([*command, "--port", "{port}", "--num_workers", "1"], env, "/health/liveliness", room)
