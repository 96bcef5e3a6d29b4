"""Other scanners' test texts are read out of their sources, and nothing of them is run."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks/guard"

GO_RULE = r"""
package rules

const prefix = "acme"

func AcmeToken() *config.Rule {
	r := config.Rule{
		RuleID: "acme-token", // of acme
		Regex:  regexp.MustCompile(`acme_[a-f]{4}`),
	}
	tps := []string{
		prefix + "_" + "one", // a comment, with "quotes"
		`raw	two`,
		"es\"caped\u0021",
		unknown(3),
		fmt.Sprintf("%s-%s", "form", "ed"),
		"acme_" + secrets.NewSecret(utils.Hex("4")),
	}
	tps = append(tps, utils.GenerateSampleSecrets("acme", "three")...)
	fps := []string{"none", strings.Repeat("ab", 2)}
	return utils.Validate(r, tps, fps)
}
"""
GO_HELPER = """
package utils

func GenerateSampleSecrets(identifier string, secret string) []string {
	samples := map[string]string{
		// "left out": "{s}",
		"ini":  "{i}Token={s}",
		"json": `{"{I}": "{s}"}`,
	}
	return nil
}
"""
GO_PATTERNS = """
package utils

func Hex(size string) string {
	return fmt.Sprintf(`[a-f0-9]{%s}`, size)
}
"""
GO_TABLE = """
package acme

var validPattern = "key-1"

func TestPattern(t *testing.T) {
	tests := []struct {
		name  string
		input string
		want  []string
	}{
		{
			name:  "valid",
			input: fmt.Sprintf("acme token = '%s'", validPattern),
			want:  []string{validPattern},
		},
		{
			name:  "invalid",
			input: `nothing here`,
			want:  nil,
		},
	}
}
"""
RULES = """
rules:
- id: np.acme.1
  pattern: x
  examples: ['acme = 1']
  negative_examples: ['acme']
"""
PLUGIN = """
@pytest.mark.parametrize('payload, should_flag', [('acme-1', True), ('acme', False), (made(), True)])
def test_one(payload, should_flag): ...
@pytest.mark.parametrize('line', ['acme-2'])
def test_two(line): ...
@pytest.mark.parametrize('other, thing', [('acme-3', True)])
def test_three(other, thing): ...
"""


@pytest.fixture
def vectorset(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("vectorset")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def put(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    put("betterleaks/cmd/generate/config/rules/acme.go", GO_RULE)
    put("betterleaks/cmd/generate/config/utils/generate.go", GO_HELPER)
    put("betterleaks/cmd/generate/config/utils/patterns.go", GO_PATTERNS)
    put("kingfisher/data/rules/acme.yml", RULES)
    put("detect-secrets/tests/plugins/acme_key_test.py", PLUGIN)
    shots = "secretlint/packages/@secretlint/secretlint-rule-acme/test/snapshots"
    for name, messages in (("ng.found", [{"message": "found"}]), ("ok.clean", []), ("ng.allowed", [])):
        put(f"{shots}/{name}/input.txt", f"text of {name}")
        put(f"{shots}/{name}/output.json", json.dumps({"messages": messages}))
    put("trufflehog/pkg/detectors/acme/acme_test.go", GO_TABLE)
    return tmp_path


def texts(vectorset: ModuleType, folder: Path, scanner: str, *, positive: bool) -> list[str]:
    return [
        vector.text for vector in vectorset.vectors(folder) if vector.scanner == scanner and vector.positive is positive
    ]


def test_go_s_constants_are_read_and_what_a_test_makes_is_told_apart(vectorset: ModuleType, folder: Path) -> None:
    assert texts(vectorset, folder, "betterleaks", positive=True) == ["acme_one", "raw\ttwo", 'es"caped!', "form-ed"]
    assert texts(vectorset, folder, "betterleaks", positive=False) == ["none", "abab"]
    first, *samples = texts(vectorset, folder, "betterleaks, made", positive=True)
    assert first.startswith("acme_")
    assert all(character in "0123456789abcdef" for character in first[5:])
    assert samples == ["acmeToken=three", '{"ACME": "three"}']


@pytest.mark.parametrize(
    ("scanner", "right", "wrong"),
    [
        ("kingfisher", ["acme = 1"], ["acme"]),
        ("detect-secrets", ["acme-1", "acme-2"], ["acme"]),
        ("secretlint", ["text of ng.found"], ["text of ok.clean"]),
        ("trufflehog", ["acme token = 'key-1'"], ["nothing here"]),
    ],
)
def test_each_scanner_s_form_is_read(
    vectorset: ModuleType, folder: Path, scanner: str, right: list[str], wrong: list[str]
) -> None:
    assert texts(vectorset, folder, scanner, positive=True) == right
    assert texts(vectorset, folder, scanner, positive=False) == wrong


def test_one_provider_is_in_one_half_for_all_scanners(vectorset: ModuleType, folder: Path) -> None:
    every = list(vectorset.vectors(folder))
    assert {vector.provider for vector in every} == {"acme"}
    assert len({vector.held for vector in every}) == 1


def test_what_is_missed_is_shown_of_the_dev_half_alone(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "vectors.py"), str(folder), "--half", "held", "--missed"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "can't be judged" in done.stderr
