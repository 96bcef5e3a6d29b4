"""The objects that the tests' Kubernetes API server answers with, by Kubernetes' own schemas."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.cluster import FakeCluster

pytestmark = [pytest.mark.deploy, pytest.mark.enable_socket]


@pytest.mark.parametrize("image", ["web@sha256:11", "sick@sha256:22"])
def test_what_the_fake_cluster_answers_is_what_kubernetes_would(image: str, tmp_path: Path) -> None:
    cluster = FakeCluster()
    base = "/apis/apps/v1/namespaces/shop/deployments"
    web = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    }
    mark = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mohist-lock"}, "data": {"owner": "rel-1"}}
    try:
        apply = "?fieldManager=mohist&force=false"
        assert cluster.answer("PATCH", f"{base}/web{apply}", web, "application/apply-patch+yaml")[0] == 201
        assert cluster.answer("POST", "/api/v1/namespaces/shop/configmaps", mark, "application/json")[0] == 201
        listed = cluster.answer("GET", f"{base}?fieldSelector=metadata.name%3Dweb", None, "")[1]
        assert cluster.faults == []
        for number, made in enumerate([*cluster.given, *listed["items"]]):
            path = tmp_path / f"{number}.json"
            path.write_text(json.dumps(made), encoding="utf-8")
            done = subprocess.run(
                [Path(sys.executable).parent / "kubernetes-validate", "--strict", path],
                capture_output=True,
                text=True,
                timeout=100,
                check=False,
            )
            assert done.returncode == 0, f"{made['kind']}: {done.stdout}{done.stderr}"
    finally:
        cluster.close()
