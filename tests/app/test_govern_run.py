"""A made-up client in the fence: what it can reach, what it sees, what is told and entered of it, and how it ends."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fakes.upstream import Reply, Upstream, chat_wire
from mohist.app.database import owner_config
from mohist.app.errors import ConfigError
from mohist.app.govern.errors import BannedError
from mohist.app.govern.launch import govern
from mohist.app.govern.order import Governed, Judge, Order, Standing, Use
from mohist.app.ledger import open_home
from mohist.base import ExitCode, MohistError
from mohist.ledger.entry import decode
from mohist.policy import RuleError
from mohist.sandbox import RefusedError

pytestmark = pytest.mark.enable_socket

PYTHON = str(Path(sys.executable).resolve())
CLIENT = """#!@PYTHON@
import json, os, socket, subprocess, sys, urllib.error, urllib.request
from pathlib import Path

def ask(text="hello", key=None, url=None):
    body = {"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": text}], "max_tokens": 50}
    head = {"authorization": "Bearer " + (key or os.environ["OPENAI_API_KEY"]), "content-type": "application/json"}
    head["user-agent"] = "made-up/1.2"
    asked = urllib.request.Request((url or os.environ["OPENAI_BASE_URL"]) + "/chat/completions", json.dumps(body).encode(), head)
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status
    except Exception as error:
        return type(error).__name__

exec(sys.argv[1])
"""
WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "model": "served-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a word"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 100, "completion_tokens": 7},
}
ANSWER = Reply(json.dumps(WHOLE).encode(), content_type="application/json")


@dataclass
class Desk:
    """A person's machine: a home with secrets, a project, a client in it, and a model."""

    folder: Path
    upstream: Upstream
    secret: str
    lines: list[str] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder / "ann"),
            "MOHIST_HOME": str(self.state),
            "PATH": os.environ["PATH"],
            "MOHIST_GUARD_MODE": "off",
            "MODEL_KEY": self.secret,
            "OPENAI_API_KEY": "the-persons-own",
        }

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def project(self) -> Path:
        return self.folder / "shop"

    async def run(
        self, code: str, *, given: bytes = b"", judge: Judge | None = None, **order: Any
    ) -> tuple[Governed, bytes, bytes]:
        """How it went, and what the client said on stdout and stderr."""
        with ExitStack() as stack:
            source, feed = os.pipe()
            os.write(feed, given)
            os.close(feed)
            stack.callback(os.close, source)
            ends = [stack.enter_context((self.folder / name).open("w+b")) for name in ("out", "err")]
            asked = {"command": (str(self.folder / "bin/made-up"), code), "cwd": self.project, "dialect": "openai-chat"}
            streams = (source, ends[0].fileno(), ends[1].fileno())
            done = await govern(Order(**asked | {"streams": streams} | order), self.env, self.lines.append, judge)
            return done, *((self.folder / name).read_bytes() for name in ("out", "err"))

    def routes(self, **more: str) -> None:
        said = {
            "name": "one",
            "dialect": "openai-chat",
            "url": f"{self.upstream.url}/v1",
            "key_env": "MODEL_KEY",
        } | more
        rows = "\n".join(f'{key} = "{value}"' for key, value in said.items())
        self.state.mkdir(exist_ok=True)
        text = f'[[routes]]\nmodel = "good-model"\n[[routes.upstreams]]\n{rows}\n'
        (self.state / "routes.toml").write_text(text, encoding="utf-8")

    def entries(self) -> list[dict[str, Any]]:
        """All of the ledger but what belongs to the log itself."""
        home = open_home(self.state, owner_config(self.env).ledger, self.env)
        assert home is not None
        log = home.read()
        try:
            found = [decode(leaf) for leaf in log.leaves(0, log.size)]
        finally:
            log.close()
        return [entry for entry in found if not entry["kind"].startswith("log.")]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Upstream([ANSWER] * 20) as upstream:
        made = Desk(tmp_path, upstream, "vendor-" + os.urandom(12).hex())
        for name in ("ann/.ssh", "shop", "bin"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "ann/.ssh/id").write_text("a person's secret", encoding="utf-8")
        (tmp_path / "ann/.gitconfig").write_text("[user]\n  name = Ann\n  email = ann@example.com\n", encoding="utf-8")
        client = tmp_path / "bin/made-up"
        client.write_text(CLIENT.replace("@PYTHON@", PYTHON), encoding="utf-8")
        client.chmod(0o755)
        made.routes()
        yield made


async def test_its_prompt_goes_through_the_gateway_with_a_key_of_the_run(desk: Desk) -> None:
    done, out, err = await desk.run("print(os.environ['OPENAI_API_KEY']); print(*ask())")
    key, answer = out.decode().splitlines()
    assert (done.exit_code, err) == (ExitCode.DONE, b"")
    assert answer.startswith("200 ")
    assert "a word" in answer
    (asked,) = desk.upstream.requests
    assert asked.headers["authorization"] == f"Bearer {desk.secret}"
    assert key.startswith("mhk-")
    assert key not in str(asked.headers) + asked.body.decode()
    for path in desk.state.rglob("*"):
        assert not (path.is_file() and key.encode() in path.read_bytes()), path
    told = done.report["gateway"]
    assert (told["calls"], told["input_tokens"], told["output_tokens"], told["agents"]) == (1, 100, 7, ["made-up/1.2"])


async def test_no_other_key_is_taken_and_the_key_of_the_person_is_not_there(desk: Desk) -> None:
    code = "print(ask(key='the-persons-own')[0]); print(sorted(os.environ)); print([k for k in os.environ.values() if 'own' in k])"
    done, out, _ = await desk.run(code)
    status, names, values = out.decode().splitlines()
    assert (status, values) == ("401", "[]")
    assert "MODEL_KEY" not in names
    assert desk.upstream.requests == []
    assert done.report["gateway"]["verdicts"] == {"auth": 1}


async def test_nothing_of_the_machine_is_there_but_the_project(desk: Desk) -> None:
    (desk.project / "a.txt").write_text("of the project", encoding="utf-8")
    secret = desk.folder / "ann/.ssh/id"
    code = f"""
print(Path('a.txt').read_text(), Path({str(secret)!r}).exists(), Path({str(desk.state)!r}, 'ledger').exists())
print(os.environ['HOME'], sorted(os.listdir(os.environ['HOME'])), os.environ['TZ'], 'CI' in os.environ)
Path('b.txt').write_text('made'); Path.home().joinpath('left').write_text('x')
"""
    _, out, err = await desk.run(code)
    assert out.decode().splitlines() == ["of the project False False", "/home/agent ['.gitconfig'] UTC False"], err
    assert (desk.project / "b.txt").read_text("utf-8") == "made"
    assert [path for path in desk.state.rglob("*") if path.name in ("left", ".gitconfig")] == []


async def test_every_other_way_out_is_refused_told_and_entered(desk: Desk) -> None:
    code = """
print(fetch('https://telemetry.example.com/v1'), fetch('http://telemetry.example.com/v1'))
for where in (('telemetry.example.com', 443), ('192.0.2.7', 443)):
    try:
        one = socket.create_connection(where, timeout=10); one.sendall(b'x'); print(one.recv(10))
    except OSError as error:
        print(type(error).__name__)
"""
    done, _, err = await desk.run(code)
    assert err == b""
    hosts = {row["host"]: row for row in done.report["network"]}
    assert {"telemetry.example.com", "192.0.2.7"} <= set(hosts), hosts
    assert {row["verdict"] for row in hosts.values()} == {"refused"}
    assert hosts["telemetry.example.com"]["codes"] == {"not-listed": hosts["telemetry.example.com"]["attempts"]}
    told = "\n".join(done.table)
    assert "2 host(s) besides the gateway" in told
    assert "telemetry.example.com" in told
    kinds = [entry["kind"] for entry in desk.entries()]
    assert kinds[0] == "run.open"
    assert kinds[-2:] == ["run.close", "stream.close"]
    refused = [entry for entry in desk.entries() if entry["kind"] == "verdict"]
    assert {entry["data"]["code"] for entry in refused} == {"not-listed"}
    # A name can be made to hold anything, so it is a sealed content.
    assert "telemetry" not in json.dumps(desk.entries())
    assert [one["name"] for one in refused[0]["payload"]] == ["asked"]


async def test_what_is_allowed_is_reached_on_its_port_alone(desk: Desk) -> None:
    port = desk.upstream.url.rpartition(":")[2]
    code = f"print(fetch('http://127.0.0.1:{port}/x'))\nimport http.client\n"
    code += f"""
for where in ({port}, 1):
    try:
        one = http.client.HTTPConnection('127.0.0.1', 3128, timeout=10)
        one.set_tunnel('localhost', where); one.request('GET', '/there'); print(one.getresponse().status)
    except OSError as error:
        print(str(error)[:27])
"""
    done, out, err = await desk.run(code, allow_private=(f"localhost:{port}",))
    assert out.decode().splitlines()[1:] == ["200", "Tunnel connection failed: 4"], err
    assert [one.path for one in desk.upstream.requests] == ["/there"]
    row = next(row for row in done.report["network"] if row["host"] == "localhost")
    assert (row["verdict"], row["outcomes"]["through"]) == ("through", 1)
    assert f"localhost:{port}" in desk.lines[0]


async def test_its_three_streams_stay_apart_and_input_ends(desk: Desk) -> None:
    code = "data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data[::-1]); sys.stderr.write(f'{len(data)} bytes')"
    given = os.urandom(40_000)
    _, out, err = await desk.run(code, given=given)
    assert (out, err) == (given[::-1], b"40000 bytes")


@pytest.mark.parametrize(
    ("code", "wanted", "own"), [("pass", 0, 0), ("sys.exit(7)", 1, 7), ("os.kill(os.getpid(), 2)", 130, 130)]
)
async def test_the_exit_code_tells_how_it_ended_and_the_report_its_own(
    desk: Desk, code: str, wanted: int, own: int
) -> None:
    done, _, _ = await desk.run(code)
    assert (done.exit_code, done.report["exit_code"], done.client_code) == (wanted, wanted, own)


async def test_a_client_that_fails_on_a_spent_budget_says_so_by_its_exit_code(desk: Desk) -> None:
    from mohist.app.user import user_name
    from mohist.gateway.address import home_address
    from mohist.gateway.budget import Budget
    from mohist.gateway.store import Store

    with Store(home_address(desk.state, {})) as store:
        store.set_budget(Budget("user", user_name(), "total", None, 0, False))
    done, out, _ = await desk.run("status, said = ask(); print(status, said); sys.exit(status != 200)")
    assert out.startswith(b"402 ")
    assert done.exit_code == ExitCode.BUDGET
    assert desk.upstream.requests == []


async def test_a_client_that_no_upstream_answers_says_so_by_its_exit_code(desk: Desk) -> None:
    desk.routes(url="http://127.0.0.1:9/v1")
    done, out, _ = await desk.run("status, said = ask(); print(status); sys.exit(1)")
    assert out in (b"502\n", b"503\n")
    assert done.exit_code == ExitCode.NO_MODEL


async def test_what_the_register_refuses_never_starts(desk: Desk) -> None:
    asked: list[Use] = []

    def judge(use: Use) -> Standing:
        asked.append(use)
        return Standing("refused", "made-up is banned: it marks prompts. Use instead: other.", "entry-1")

    with pytest.raises(BannedError, match="Use instead: other") as caught:
        await desk.run("Path('ran').write_text('x')", judge=judge)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert not (desk.project / "ran").exists()
    assert (asked[0].called, asked[0].model, asked[0].root) == ("made-up", "good-model", desk.project)
    (verdict, closed) = desk.entries()
    assert (verdict["kind"], verdict["data"]["verdict"], verdict["data"]["entry"]) == ("verdict", "deny", "entry-1")
    assert closed["kind"] == "stream.close"


async def test_what_the_register_warns_of_runs_and_is_told(desk: Desk) -> None:
    done, out, _ = await desk.run(
        "print('ran')", judge=lambda _use: Standing("warned", "From 2030 on it is refused.", "e")
    )
    assert (done.exit_code, out) == (ExitCode.DONE, b"ran\n")
    assert "register: From 2030 on it is refused." in desk.lines
    assert done.report["register"]["verdict"] == "warned"


MODELS = """
[[entry]]
id = "some"
tool = "program:made-up"
disposition = "restricted"
conditions = { governed = true, models = ["good-*"] }
reason = "Only these."
alternative = "other"
first_step = "ask"
"""


@pytest.mark.parametrize(("models", "status"), [("good-*", b"200 "), ("other-*", b"400 ")])
async def test_the_register_is_asked_of_each_calls_model(desk: Desk, models: str, status: bytes) -> None:
    (desk.project / ".mohist").mkdir(exist_ok=True)
    (desk.project / ".mohist/register.toml").write_text(MODELS.replace("good-*", models), encoding="utf-8")
    done, out, _ = await desk.run("print(*ask())")
    assert out.startswith(status)
    assert (b"Use instead: other" in out) is (status == b"400 ")
    assert len(desk.upstream.requests) == (status == b"200 ")
    assert done.client_code == 0


async def test_nothing_starts_where_it_can_not_be_entered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.state / "ledger").mkdir(parents=True)
    (desk.state / "ledger" / "sealed").write_text("tampered with", encoding="utf-8")
    with pytest.raises(MohistError):
        await desk.run("Path('ran').write_text('x')")
    assert not (desk.project / "ran").exists()


async def test_a_start_that_fails_is_one_plain_error_and_closes_what_was_entered(desk: Desk) -> None:
    (desk.project / ".mcp.json").symlink_to("elsewhere.json")
    with pytest.raises(RefusedError, match="symbolic link"):
        await desk.run("Path('ran').write_text('x')")
    assert not (desk.project / "ran").exists()
    entries = desk.entries()
    assert [entry["kind"] for entry in entries] == ["run.open", "run.close", "stream.close"]
    assert entries[1]["data"] == {"failed": "RefusedError"}


async def test_a_gateway_that_can_not_begin_is_one_plain_error(desk: Desk) -> None:
    (desk.state / "gateway-policy.toml").write_text("no rules", encoding="utf-8")
    with pytest.raises(RuleError):
        await desk.run("Path('ran').write_text('x')")
    assert not (desk.project / "ran").exists()
    assert not (desk.state / "ledger").exists()


async def test_the_gateway_is_reached_by_the_proxy_too(desk: Desk) -> None:
    code = """
os.environ.pop("NO_PROXY"); os.environ.pop("no_proxy")
print(*ask())
print(fetch("http://gateway.internal:81/"))
"""
    done, out, err = await desk.run(code)
    assert out.startswith(b"200 "), err
    assert b"a word" in out
    row = next(row for row in done.report["network"] if row["host"] == "gateway.internal")
    assert (row["outcomes"]["served"], row["codes"]) == (1, {"port": 1})


async def test_the_settings_of_a_repository_are_not_shown_until_they_are_trusted(desk: Desk) -> None:
    (desk.folder / "bin/claude").symlink_to("made-up")
    (desk.project / ".claude").mkdir()
    hooks = desk.project / ".claude/settings.json"
    hooks.write_text('{"hooks": {}, "env": {"ANTHROPIC_BASE_URL": "http://other.example"}}', encoding="utf-8")
    code = "print(sorted(os.listdir('.claude')))"
    given: dict[str, Any] = {"command": (str(desk.folder / "bin/claude"), code), "dialect": None}
    done, out, err = await desk.run("", **given)
    assert out == b"[]\n", err
    (said,) = [line for line in desk.lines if "not shown" in line]
    assert ".claude (hooks, a base URL, environment)" in said
    assert done.report["repository_settings"][0]["shown"] is False
    _, out, _ = await desk.run("", **given, trust_settings=True)
    assert out == b"['settings.json']\n"
    _, out, _ = await desk.run("", **given)
    assert out == b"['settings.json']\n"
    hooks.write_text('{"hooks": {"changed": 1}}', encoding="utf-8")
    _, out, _ = await desk.run("", **given)
    assert out == b"[]\n"


async def test_a_kept_home_is_there_again_and_others_are_not(desk: Desk) -> None:
    code = "one = Path.home() / 'note'; print(one.exists()); one.write_text('x')"
    said = [(await desk.run(code, home=home))[1] for home in ("work", "work", "other", "fresh")]
    assert said == [b"False\n", b"True\n", b"False\n", b"False\n"]


async def test_a_program_of_the_project_in_the_path_is_not_taken_for_the_client(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk.project / "claude").write_text("#!/bin/sh\necho planted\n", encoding="utf-8")
    (desk.project / "claude").chmod(0o755)
    order = Order(("claude",), desk.project, streams=(-1, -1, -1))
    env = desk.env | {"PATH": f"{desk.project}{os.pathsep}{os.environ['PATH']}"}
    with pytest.raises(ConfigError, match="bring its own client"):
        await govern(order, env, desk.lines.append)


async def test_a_model_that_nobody_serves_is_told_before_anything_starts(desk: Desk) -> None:
    with pytest.raises(MohistError):
        await desk.run("Path('ran').write_text('x')", model="no-such-model-anywhere")
    assert not (desk.project / "ran").exists()


async def test_one_model_answers_to_every_name_where_there_are_no_routes(desk: Desk) -> None:
    (desk.state / "routes.toml").unlink()
    code = "os.environ['OPENAI_MODEL'] = 'small-side-model'; print(ask()[0])"
    done, out, _ = await desk.run(code, model=f"{desk.upstream.url}/v1#own-model")
    assert (out, done.report["model"]) == (b"200\n", "own-model")
    assert desk.upstream.bodies[0]["model"] == "own-model"


async def test_streams_come_through_as_they_are(desk: Desk) -> None:
    desk.upstream._replies[:] = [Reply(chat_wire("one two three"), piece_bytes=11)]
    code = """
body = {"model": "good-model", "stream": True, "messages": [{"role": "user", "content": "x"}]}
asked = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(),
    {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"})
print(urllib.request.urlopen(asked, timeout=20).read().decode())
"""
    _, out, err = await desk.run(code)
    assert b"[DONE]" in out, err
    assert out.count(b"data: ") == chat_wire("one two three").count(b"data: ") - 1  # usage was not asked for


async def test_a_gateway_elsewhere_gets_the_persons_key_and_the_client_never_has_it(desk: Desk) -> None:
    virtual = "mhk-" + "a" * 52
    models = json.dumps({"object": "list", "data": [{"id": "good-model", "object": "model"}]}).encode()
    listed = Reply(models, content_type="application/json")
    desk.upstream._replies[:] = [listed, listed, ANSWER]
    env = desk.env | {"MOHIST_SERVER_KEY": virtual}
    code = "print(*ask()); print([v for v in os.environ.values() if 'aaaa' in v])"
    with (desk.folder / "out").open("w+b") as out, (desk.folder / "err").open("w+b") as err:
        command = (str(desk.folder / "bin/made-up"), code)
        order = Order(
            command, desk.project, model="good-model", dialect="openai-chat", server=desk.upstream.url,
            streams=(-1, out.fileno(), err.fileno()),
        )  # fmt: skip
        done = await govern(order, env, desk.lines.append)
    said = (desk.folder / "out").read_text("utf-8").splitlines()
    assert said[0].startswith("200 "), (desk.folder / "err").read_text("utf-8")
    assert said[1] == "[]"
    assert desk.upstream.requests[-1].headers["authorization"] == f"Bearer {virtual}"
    assert done.report["gateway"]["verdicts"] == {"allowed": 1}
