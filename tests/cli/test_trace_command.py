"""`mohist trace`, as a person at a terminal uses it, on a repository and a ledger of its own."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mohist.agent.attribution import blob_id, encoded, trace_record, written_lines
from mohist.app.evidence import Evidence, open_evidence
from mohist.app.projection import KEY, signing_key
from mohist.base import ExitCode
from mohist.cli.main import main
from mohist.delivery.artefact import dir_hash
from mohist.delivery.chronicle import DeliveryChronicle
from mohist.ledger import Content, Draft
from mohist.report import ReportError
from mohist.report.statement import AUTHORSHIP, opened, sealed

CODE = "def greet(name):\n    return f'hello {name}'\n"
MORE = CODE + "\n\ndef leave(name):\n    return f'goodbye {name}'\n"


class Room:
    """A repository with a ledger, and the command in it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], evidence: Evidence) -> None:
        self.root = folder / "repository"
        self.evidence = evidence
        self._capsys = capsys
        self.root.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> str:
        env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = {f"GIT_{role}_{part}": "p@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        done = subprocess.run(
            ["git", *words], cwd=self.root, env=env | who, capture_output=True, text=True, encoding="utf-8", check=True
        )
        return done.stdout.strip()

    def commit(self, message: str = "change") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def prompt(self, text: str) -> int:
        who = self.evidence.name("person", "lovelace")
        content = Content("prompt", "text/plain", text.encode(), who)
        return self.evidence.append(
            Draft("run.prompt", "run:run-1", "model:m", on_behalf_of=who, contents=(content,))
        ).index

    def write(self, name: str, text: str, prompt: int = 0, delivery: str = "") -> None:
        """A run writes a file, as it is entered."""
        path = self.root / name
        before = path.read_bytes() if path.exists() else None
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        lines = written_lines(before, text.encode())
        blobs = (blob_id(before) if before is not None else "", blob_id(text.encode()))
        record = trace_record(
            name, lines, model="acme/m", tool="edit", conversation="urn:x", at="2026-01-01T00:00:00Z", base_commit="",
            blobs=blobs,
        )  # fmt: skip
        about = {"run": "run-1", "prompt": str(prompt), **({"delivery": delivery} if delivery else {})}
        data = {"path": name, "model": "acme/m", "tool": "edit", "before": blobs[0], "after": blobs[1]}
        self.evidence.append(
            Draft(
                "attribution",
                "run:run-1",
                "model:acme/m",
                on_behalf_of=self.evidence.name("person", "lovelace"),
                about=about,
                data=data,
                contents=(Content("trace", "application/json", encoded(record), "repository"),),
            )
        )

    def __call__(self, *words: str, ends: ExitCode = ExitCode.DONE) -> str:
        code = main(["trace", *words])
        out, self.said = self._capsys.readouterr()
        assert code == ends, self.said
        return out

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Room]:
    from mohist.app.database import owner_config

    monkeypatch.setenv("MOHIST_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    evidence = open_evidence(tmp_path / "state", owner_config(os.environ).ledger, os.environ)
    assert evidence is not None
    made = Room(tmp_path, capsys, evidence)
    monkeypatch.chdir(made.root)
    yield made
    evidence.close()


@pytest.fixture
def greeting(room: Room) -> Room:
    """A person's file, and one of a run."""
    (room.root / "own.py").write_text("written_by_hand = True\n", encoding="utf-8")
    room.commit()
    room.write("greet.py", CODE, room.prompt("Greet people by name."), "dlv-1")
    approval = {"gate": "dlv-1.1", "subject": "merge", "verdict": "approve", "digest": "x", "stage": "merge"}
    who = room.evidence.name("person", "bob")
    room.evidence.append(Draft("approval", "delivery:dlv-1", who, about={"delivery": "dlv-1"}, data=approval))
    room.commit()
    return room


def test_a_line_leads_to_its_run_its_prompt_and_its_approval(greeting: Room) -> None:
    shown = greeting("greet.py:2")
    assert "run-1, acme/m, edit" in shown
    assert "asked     by lovelace" in shown
    assert "Greet people by name." in shown
    assert "approve   bob: merge" in shown
    (value,) = greeting.json("greet.py:2")
    assert (value["run"], value["method"], value["person"], value["delivery"]) == ("run-1", "blob", "lovelace", "dlv-1")


def test_lines_of_which_nothing_is_known_are_unknown_and_nobodys(greeting: Room) -> None:
    assert "unknown: no run is known" in greeting("own.py:1")
    assert greeting.json("own.py")[0]["run"] is None
    assert "0 of 1 lines were written by runs." in greeting("own.py")


def test_a_file_that_is_not_committed_or_was_renamed_is_traced_all_the_same(greeting: Room) -> None:
    greeting.git("mv", "greet.py", "hello.py")
    assert [line["run"] for line in greeting.json("hello.py")] == ["run-1", "run-1"]
    greeting.commit()
    assert [line["run"] for line in greeting.json("hello.py:1-2")] == ["run-1", "run-1"]
    greeting.write("hello.py", MORE)
    assert [line["run"] for line in greeting.json("hello.py")][-2:] == ["run-1", "run-1"]


def test_a_deleted_file_is_traced_where_it_was(greeting: Room) -> None:
    (greeting.root / "greet.py").unlink()
    greeting.commit()
    greeting("greet.py", ends=ExitCode.USAGE)
    assert "no file and no commit 'greet.py'" in greeting.said
    assert len(greeting.json("greet.py", "--at", "HEAD~1")) == 2


def test_a_commit_tells_what_it_brought_in_and_a_binary_file_has_no_lines(greeting: Room) -> None:
    assert "greet.py: 2 of 2 lines by run-1" in greeting("HEAD")
    (greeting.root / "data.bin").write_bytes(bytes(range(256)) * 4)
    greeting.commit()
    assert "no lines that are text" in greeting("HEAD")
    assert greeting.json("HEAD")["files"] == {}
    assert "written by 1 known runs" in greeting("--summary")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing.py",), "no file and no commit"),
        (("greet.py:9",), "has 2 lines"),
        (("/etc/hostname",), "not in the repository"),
        ((), "Name a file"),
        (("greet.py", "--summary"), "Name a file"),
        (("greet.py", "HEAD~1..HEAD"), "goes with"),
        (("--summary", "--people"), "not counted by person"),
        (("map", "HEAD..nowhere"), "no file and no commit"),
    ],
)
def test_what_is_not_there_is_said(greeting: Room, words: tuple[str, ...], said: str) -> None:
    greeting(*words, ends=ExitCode.USAGE)
    assert said in greeting.said


def test_a_repository_without_a_commit_has_nothing_to_tell(room: Room) -> None:
    room.prompt("begin")
    assert "0 of 0 lines" in room("--summary")
    assert "no commit to be mapped" in room("map")
    room.write("first.py", CODE)
    assert [line["run"] for line in room.json("first.py")] == ["run-1", "run-1"]


def test_a_summary_says_by_model_and_age_what_is_still_there(greeting: Room) -> None:
    greeting.write("greet.py", MORE)
    (greeting.root / "greet.py").write_text(MORE.replace("goodbye", "farewell"), encoding="utf-8")
    greeting.commit()
    share = greeting.json("--summary")
    # Of the four that say something the person changed one, and the blank lines between tell nothing.
    assert share["models"]["acme/m"]["ever_written"] == 6
    assert share["models"]["acme/m"]["lines"] == share["ages"]["under 30 days"]["lines"] == share["by_runs"]
    assert 3 <= share["by_runs"] <= 5
    assert "people" not in share
    assert "by age" in greeting("--summary")


def test_lines_are_counted_by_person_only_where_that_is_switched_on(greeting: Room, tmp_path: Path) -> None:
    (tmp_path / "state" / "mohist.toml").write_text("[ledger]\npeople_statistics = true\n", encoding="utf-8")
    share = greeting.json("--summary", "--people")
    assert share["people"]["lovelace"]["lines"] == 2


def test_commits_are_mapped_once_and_again_only_when_more_is_known(greeting: Room) -> None:
    first = greeting.json("map")
    assert [(one["runs"], one["confidence"]) for one in first] == [({}, "none"), ({"run-1": 2}, "exact")]
    assert "no commit to be mapped" in greeting("map")
    assert greeting.json("map", "HEAD~1..HEAD") == first[1:]
    assert greeting("map", "HEAD~1..HEAD").startswith(first[1]["commit"][:12])


def test_notes_are_written_on_demand_read_by_git_and_leave_those_of_others_alone(greeting: Room) -> None:
    assert greeting.git("for-each-ref", "refs/notes") == ""
    theirs = greeting.git("rev-parse", "HEAD~1")
    greeting.git("notes", "--ref=ai", "add", "-m", "src/x.rs\n  d9978a8723e02b52 1\n---\n{}", "HEAD~1")
    done = {one["ref"]: one for one in greeting.json("notes")}
    assert done["refs/notes/ai"]["written"] == done["refs/notes/agent-trace"]["written"] == 1
    note = greeting.git("notes", "--ref=ai", "show", "HEAD")
    files, _, about = note.partition("\n---\n")
    name, line = files.split("\n")
    key, spans = line.split()
    assert (name, spans) == ("greet.py", "1-2")
    metadata = json.loads(about)
    assert metadata["schema_version"] == "authorship/3.0.0"
    assert metadata["base_commit_sha"] == greeting.git("rev-parse", "HEAD")
    assert metadata["sessions"][key.partition("::")[0]]["agent_id"] == {
        "tool": "mohist",
        "id": "run-1",
        "model": "acme/m",
    }
    assert "lovelace" not in note
    assert "example.org" not in note
    trace = json.loads(greeting.git("notes", "--ref=agent-trace", "show", "HEAD"))
    (told,) = trace["files"][0]["conversations"]
    assert told["contributor"] == {"type": "ai", "model_id": "acme/m"}
    assert told["ranges"] == [{"start_line": 1, "end_line": 2}]
    assert greeting.git("notes", "--ref=ai", "show", theirs).startswith("src/x.rs")
    assert [one["written"] for one in greeting.json("notes")] == [0, 0]
    # A note that another program wrote on a commit with lines of runs stays, and that is said.
    other = note.replace('"tool": "mohist"', '"tool": "cursor"')
    for text in ("mine", other):
        greeting.git("notes", "--ref=ai", "add", "-f", "-m", text, "HEAD")
        assert greeting.json("notes")[0]["others"] == [greeting.git("rev-parse", "HEAD")]
        assert greeting.git("notes", "--ref=ai", "show", "HEAD") == text


def test_a_statement_is_signed_names_commit_and_tree_and_its_digest_is_entered(greeting: Room) -> None:
    envelope = json.loads(greeting("attest", "HEAD"))
    key = signing_key(greeting.evidence.home.folder)
    statement = opened(envelope, key.public_key())
    assert statement["predicateType"] == AUTHORSHIP
    assert [one["digest"] for one in statement["subject"]] == [
        {"gitCommit": greeting.git("rev-parse", "HEAD")},
        {"gitTree": greeting.git("rev-parse", "HEAD^{tree}")},
    ]
    assert statement["predicate"]["runs"] == [{"run": "run-1", "lines": 2, "model": "acme/m"}]
    assert [one["kind"] for one in statement["predicate"]["decisions"]] == ["approval"]
    assert "lovelace" not in b64decode(envelope["payload"]).decode()
    with pytest.raises(ReportError, match="No signature"):
        opened(envelope, ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(ReportError, match="No signature"):
        opened(sealed(b"{}", key) | {"payload": envelope["payload"]}, key.public_key())
    with pytest.raises(ReportError, match="no DSSE envelope"):
        opened({"payload": "!"}, key.public_key())
    assert (greeting.evidence.home.folder / KEY).stat().st_mode & 0o077 == 0


def test_a_bill_of_materials_holds_to_the_schema_and_names_models_prompts_and_runs(greeting: Room) -> None:
    text = greeting("bom", "HEAD~1..HEAD")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert {(one["type"], one["name"]) for one in bill["components"]} == {
        ("machine-learning-model", "m"),
        ("data", f"prompt {bill['components'][1]['bom-ref'].partition(':')[2]}"),
    }
    (workflow,) = bill["formulation"][0]["workflows"]
    assert workflow["uid"] == "run-1"
    assert "Greet people" not in text


def test_provenance_is_made_of_what_was_entered_of_a_build(greeting: Room, tmp_path: Path) -> None:
    (tmp_path / "built" / "sub").mkdir(parents=True)
    (tmp_path / "built" / "a").write_bytes(b"one")
    (tmp_path / "built" / "sub" / "b").write_bytes(b"two")
    digest = dir_hash(tmp_path / "built")
    rows = f"{sha256(b'one').hexdigest()}  a\n{sha256(b'two').hexdigest()}  sub/b\n"
    assert digest == sha256(rows.encode()).hexdigest()
    greeting("provenance", "dlv-1", ends=ExitCode.USAGE)
    chronicle = DeliveryChronicle(greeting.evidence, greeting.evidence.name)
    chronicle.about_to(f"dlv-1/1/artefact/{'c' * 40}", "artefact")
    chronicle.happened(f"dlv-1/1/artefact/{'c' * 40}", {"folder": "x", "dir_hash": digest, "build": "make"})
    (line,) = greeting("provenance", "dlv-1").splitlines()
    said = opened(json.loads(line), signing_key(greeting.evidence.home.folder).public_key())
    assert said["subject"] == [{"name": "dlv-1", "digest": {"dirHash1": digest}}]
    definition = said["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["command"] == "make"
    assert definition["resolvedDependencies"] == [{"digest": {"gitCommit": "c" * 40}}]


def held(room: Room, text: str, name: str = "said.json", ends: ExitCode = ExitCode.DONE) -> Any:
    """What `verify` says of a file with this text."""
    path = room.root.parent / name
    path.write_text(text, encoding="utf-8")
    return json.loads(room("verify", str(path), "--json", ends=ends))


def test_statements_and_bills_are_verified_by_signature_and_by_the_ledger(greeting: Room) -> None:
    envelope, bill = greeting("attest", "HEAD"), greeting("bom", "HEAD~1..HEAD")
    (one,) = held(greeting, envelope)["statements"]
    assert (one["what"], one["about"]["gitCommit"]) == (AUTHORSHIP, greeting.git("rev-parse", "HEAD"))
    (entry,) = json.loads(_shown(greeting, one["entry"]))
    assert (entry["kind"], entry["data"]["what"]) == ("export", "attestation")
    # However it is laid out, it is the same bill.
    for text in (bill, json.dumps(json.loads(bill))):
        (one,) = held(greeting, text)["statements"]
        assert (one["what"], one["faults"]) == ("CycloneDX 1.6", [])
    assert (
        len(held(greeting, f"{json.dumps(json.loads(envelope))}\n{json.dumps(json.loads(bill))}\n")["statements"]) == 2
    )
    greeting("verify", str(greeting.root.parent / "said.json"))


def _shown(room: Room, index: int) -> str:
    log = room.evidence.home.read()
    (leaf,) = log.leaves(index, index + 1)
    log.close()
    return f"[{leaf.decode()}]"


def test_a_changed_statement_a_strangers_and_one_that_was_never_entered_do_not_hold(
    greeting: Room, tmp_path: Path
) -> None:
    envelope, bill = json.loads(greeting("attest", "HEAD")), json.loads(greeting("bom"))
    payload = b64decode(envelope["payload"])
    changed = payload.replace(b'"lines":2', b'"lines":9')
    assert changed != payload
    forged = envelope | {"payload": b64encode(changed).decode()}
    (one,) = held(greeting, json.dumps(forged), ends=ExitCode.FAILED)["statements"]
    assert "No signature" in one["faults"][0]
    assert "not in this ledger" in one["faults"][1]
    # Whoever has the key may sign another one; the ledger does not know it.
    signed = sealed(changed, signing_key(greeting.evidence.home.folder))
    (one,) = held(greeting, json.dumps(signed), ends=ExitCode.FAILED)["statements"]
    assert (len(one["faults"]), one["entry"]) == (1, None)
    stranger = ec.generate_private_key(ec.SECP256R1())
    (one,) = held(greeting, json.dumps(sealed(payload, stranger)), ends=ExitCode.FAILED)["statements"]
    assert "No signature" in one["faults"][0]
    bill["components"][0]["name"] = "another model"
    (one,) = held(greeting, json.dumps(bill), ends=ExitCode.FAILED)["statements"]
    assert "not in this ledger" in one["faults"][0]
    for nothing in ("", "no", "[]", "7", '{"payload": "!"}', '{"payload": 7}'):
        path = tmp_path / "nothing.json"
        path.write_text(nothing, encoding="utf-8")
        greeting("verify", str(path), ends=ExitCode.FAILED)
    greeting("verify", ends=ExitCode.USAGE)
    greeting("verify", str(tmp_path / "missing.json"), ends=ExitCode.FAILED)
    greeting("verify", str(path), "--key", str(path), ends=ExitCode.FAILED)
