"""The real kubectl against an API server in memory: apply on the server's side, rollout, and the way back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.cluster import FakeCluster
from mohist.delivery.errors import BusyError, TargetError, UnreachableError
from mohist.delivery.target import ReleaseFacts
from mohist.delivery.target.command import Shell
from mohist.delivery.target.kubernetes import KubernetesTarget
from mohist.delivery.target.probe import ProbeSpec
from mohist.sandbox import Bubblewrap

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]
WEB = "/apis/apps/v1/namespaces/shop/deployments/web"
LOCK = "/api/v1/namespaces/shop/configmaps/mohist-lock"


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster()
    yield made
    made.close()
    assert made.faults == []


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bubblewrap]:
    backend = Bubblewrap(state=tmp_path_factory.mktemp("state"), grace_s=0.3)
    yield backend
    backend.close()


@pytest.fixture
def target(cluster: FakeCluster, sandbox: Bubblewrap, tmp_path: Path) -> KubernetesTarget:
    config = tmp_path / "kubeconfig"
    config.write_text(
        f"""
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{cluster.port}"}}}}]
contexts: [{{name: staging, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{}}}}]
""",
        encoding="utf-8",
    )
    shell = Shell(sandbox, tmp_path / "work", "full", (config,), env={"KUBECONFIG": str(config)}, timeout_s=60)
    probing = ProbeSpec(url="http://127.0.0.1:1/")
    return KubernetesTarget(shell, "staging", "shop", "deploy", ("deployment/web",), probing, wait_s=5)


def facts(tmp_path: Path, name: str, image: str) -> ReleaseFacts:
    folder = tmp_path / name / "deploy"
    folder.mkdir(parents=True)
    (folder / "web.yaml").write_text(
        f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web, release: "${{MOHIST_RELEASE}}"}}}}
    spec: {{containers: [{{name: web, image: "{image}"}}]}}
""",
        encoding="utf-8",
    )
    return ReleaseFacts(name, "b" * 40, folder.parent, "b" * 40, "staging")


def image(cluster: FakeCluster) -> str:
    return str(cluster.objects[WEB]["spec"]["template"]["spec"]["containers"][0]["image"])


async def test_a_release_is_checked_applied_rolled_out_and_taken_back(
    cluster: FakeCluster, target: KubernetesTarget, tmp_path: Path
) -> None:
    first = facts(tmp_path, "rel-1", "web@sha256:11")
    await target.prepare(first)
    assert WEB not in cluster.objects, "a dry run changes nothing"
    assert f"PATCH {WEB} dry" in cluster.calls
    await target.activate(first)
    await target.commit(first)
    assert (await target.status()).active == "rel-1"
    assert cluster.objects[WEB]["spec"]["template"]["metadata"]["labels"]["release"] == "rel-1"
    assert LOCK not in cluster.objects
    second = facts(tmp_path, "rel-2", "sick@sha256:22")
    await target.prepare(second)
    with pytest.raises(BusyError, match="rel-2"):
        await target.prepare(facts(tmp_path, "rel-3", "x"))
    with pytest.raises(TargetError, match="rollout status"):
        await target.activate(second)
    assert image(cluster) == "sick@sha256:22"
    await target.rollback(second, "rel-1")
    assert (image(cluster), (await target.status()).active) == ("web@sha256:11", "rel-1")
    assert LOCK not in cluster.objects


async def test_the_first_release_goes_where_nothing_was_before(
    cluster: FakeCluster, target: KubernetesTarget, tmp_path: Path
) -> None:
    first = facts(tmp_path, "rel-1", "web@sha256:11")
    await target.prepare(first)
    await target.activate(first)
    await target.rollback(first, "")
    assert WEB not in cluster.objects
    assert (await target.status()).active == ""


async def test_a_cluster_that_is_away_is_worth_another_try(target: KubernetesTarget, cluster: FakeCluster) -> None:
    config = target.shell.readable[0]
    away = config.read_text(encoding="utf-8").replace(str(cluster.port), "1")
    config.write_text(away, encoding="utf-8")
    with pytest.raises(UnreachableError):
        await target.status()
    with pytest.raises(TargetError):
        await replace(target, context="production").status()
