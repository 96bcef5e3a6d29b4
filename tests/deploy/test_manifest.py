"""What is in deploy/, by the linters and validators of its own formats."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.deploy

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "mohist"
TOOLS = Path(sys.executable).parent

DATABASE = ("--set", "database.url=postgresql://mohist@db:5432/mohist", "--set", "database.passwordSecret=s")


def run(tool: str, *args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOOLS / tool, *args],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
        check=False,
        env={**os.environ, **env},
    )


def passed(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def rendered(tmp_path: Path, *args: str) -> Path:
    done = run("helm", "template", "site", str(CHART), *args)
    passed(done)
    path = tmp_path / "rendered.yaml"
    path.write_text(done.stdout, encoding="utf-8")
    return path


def test_the_dockerfile_has_no_finding():
    passed(run("hadolint", "--failure-threshold", "info", DEPLOY / "Dockerfile"))


def test_the_dockerfile_copies_only_what_the_build_context_holds():
    kept = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    ]
    sources = [
        line.split()[1]
        for line in (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if line.startswith("COPY ") and "--from" not in line
    ]
    assert sources
    assert set(sources) == set(kept)
    assert all((ROOT / source).exists() for source in sources)


def test_the_compose_file_is_valid_and_hardened():
    done = run("compose-lint", "check", "--format", "json", "--no-env", DEPLOY / "compose.yaml")
    assert done.returncode in (0, 1), done.stderr
    found = {(each["rule_id"], each["service"]) for each in json.loads(done.stdout)["findings"]}
    # Digests of images are the user's to pin: which ones they trust is not known here.
    assert {rule for rule, _ in found} <= {"CL-0019"}
    assert {service for _, service in found} == {"gateway-1", "gateway-2", "caddy", "postgres"}


def test_every_yaml_file_is_well_formed():
    passed(run("yamllint", "--strict", "-c", DEPLOY / ".yamllint", DEPLOY))


def test_the_caddyfile_is_valid():
    passed(run("caddy", "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile"))


def test_the_caddyfile_is_formatted():
    done = run("caddy", "fmt", "--diff", DEPLOY / "Caddyfile")
    passed(done)


def test_the_chart_passes_its_linter():
    passed(run("helm", "lint", "--strict", str(CHART), "-f", str(CHART / "ci-values.yaml")))


def test_the_rendered_chart_fits_the_schemas_of_kubernetes(tmp_path):
    for args in (("-f", str(CHART / "ci-values.yaml")), DATABASE):
        passed(run("kubernetes-validate", "--strict", rendered(tmp_path, *args)))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((), "database.url"),
        (("--set", "database.url=postgresql://mohist:word@db/mohist"), "database.url"),
        ((*DATABASE, "--set", "ingress.enabled=true", "--set", "ingress.host=a.example"), "tlsSecret"),
        ((*DATABASE, "--set", "replicsa=3"), "replicsa"),
    ],
)
def test_values_that_are_wrong_are_refused_by_name(values, named):
    done = run("helm", "template", "site", str(CHART), *values)
    assert done.returncode != 0
    assert named in done.stderr


def test_no_secret_is_rendered_into_a_manifest(tmp_path):
    text = rendered(tmp_path, *DATABASE, "--set", "providerKeysSecret=keys").read_text(encoding="utf-8")
    assert "kind: Secret" not in text
    assert "secretName: keys" in text
