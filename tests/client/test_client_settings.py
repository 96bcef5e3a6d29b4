"""What the README says about clients is what the tests of real clients run."""

from __future__ import annotations

import json
import tomllib

from coding_client import ADDRESS, GUIDE, KEY, QUIET, README, SECTION, clients, section


def test_the_readme_has_settings_for_every_client_that_is_tried() -> None:
    for client in clients():
        assert client.settings.shell, client.title
        told = client.settings.shell + "".join(client.settings.files.values())
        assert ADDRESS in told, client.title
        assert KEY in told, client.title


def test_every_client_of_the_readme_is_tried() -> None:
    told = section(README.read_text("utf-8"))
    assert told.keys() - {client.title for client in clients()} == {"Mohist"}  # whose own tests are in tests/e2e


def test_every_block_of_the_section_is_read_as_a_file_or_as_commands() -> None:
    _, _, rest = README.read_text("utf-8").partition(f"## {SECTION}\n")
    fences = rest.partition("\n## ")[0].count("\n```") // 2
    told = section(README.read_text("utf-8")).values()
    assert fences == sum(len(settings.files) + 1 for settings in told)


def test_files_of_the_readme_are_valid() -> None:
    readers = {".toml": tomllib.loads, ".json": json.loads}
    for client in clients():
        for name, text in client.settings.files.items():
            readers[name[name.rindex(".") :]](text)


def test_settings_are_read_from_a_section_by_client() -> None:
    text = f"## {SECTION}\nx\n### A\n\nIn `~/.a/b.json`:\n\n```json\n{{}}\n```\n\n```sh\nexport X=1\na\n```\n## Next\n### B\n"
    told = section(text)
    assert told.keys() == {"A"}
    assert told["A"].files == {"~/.a/b.json": "{}\n"}
    assert told["A"].shell == "export X=1\na\n"


def test_the_guide_tells_what_is_tried_and_how_to_keep_it_quiet() -> None:
    guide = GUIDE.read_text("utf-8")
    for client in clients():
        session = "header" if client.session else "none"
        row = f"| {client.title} | {client.version} | {client.dialect} | `{client.agent}` | {session} |"
        assert row in guide
    assert section(guide, QUIET).keys() == {client.title for client in clients()}
