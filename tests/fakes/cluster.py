"""A Kubernetes API server in memory, as far as `kubectl apply --server-side`, `rollout status`, `create`, `get` and `delete` ask.

Answers as the published API does (https://kubernetes.io/docs/reference/using-api/): discovery, server-side apply with a
field manager and dry runs, conflicts for what exists. Controllers are played: a Deployment whose image is `sick` never
gets ready.

`tests/data/cluster/operations.json` says which routes, queries, content types and statuses there are. What it does not
know, of kubectl or of this fake, is a fault; a test ends with `faults` empty.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

_OPERATIONS: Final = json.loads(
    (Path(__file__).parent.parent / "data" / "cluster" / "operations.json").read_text(encoding="utf-8")
)["operations"]
_EVERYWHERE: Final = frozenset({"timeout"})
"""Of every request, by `--request-timeout`; the server's deadline filter reads it, and no description names it."""
_REFUSALS: Final = frozenset({400, 404, 409, 422})
"""Of `metav1.Status`; the description names none of them."""
_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_KINDS = {
    "v1": [("configmaps", "configmap", "ConfigMap")],
    "apps/v1": [("deployments", "deployment", "Deployment")],
}


def _resources(group: str) -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group,
        "resources": [
            {"name": plural, "singularName": single, "namespaced": True, "kind": kind, "verbs": _VERBS}
            for plural, single, kind in _KINDS[group]
        ],
    }


_OPENAPI = {
    "paths": {
        "api/v1": {"serverRelativeURL": "/openapi/v3/api/v1"},
        "apis/apps/v1": {"serverRelativeURL": "/openapi/v3/apis/apps/v1"},
    }
}
_FIELD_VALIDATION = {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": True}}


def _schema(group: str) -> dict[str, Any]:
    base = "/api/v1" if group == "v1" else f"/apis/{group}"
    paths = {}
    for plural, _, kind in _KINDS[group]:
        of = {"group": "" if group == "v1" else group.split("/")[0], "version": "v1", "kind": kind}
        paths[f"{base}/namespaces/{{namespace}}/{plural}/{{name}}"] = {
            "patch": {
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": of,
                "parameters": [_FIELD_VALIDATION],
                "responses": {"200": {"description": "OK"}},
            },
        }
        paths[f"{base}/namespaces/{{namespace}}/{plural}"] = {
            "post": {
                "x-kubernetes-action": "post",
                "x-kubernetes-group-version-kind": of,
                "parameters": [_FIELD_VALIDATION],
                "responses": {"201": {"description": "Created"}},
            },
        }
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.32.0"}, "paths": paths}


class FakeCluster:
    """Listens on loopback until `close`."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.faults: list[str] = []
        self.given: list[dict[str, Any]] = []
        """Every object that was answered with."""
        self.revision = 0
        self.lock = threading.Lock()
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536  # head and body in one segment, or each waits for an acknowledgement

            def _do(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                with cluster.lock:
                    status, answer = cluster.answer(self.command, self.path, body, self.headers.get("content-type", ""))
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = _do  # noqa: N815 - the standard library's names
            do_POST = _do  # noqa: N815
            do_PATCH = _do  # noqa: N815
            do_DELETE = _do  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(60)

    def answer(self, method: str, address: str, body: Any, content_type: str) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(address)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        fixed: dict[str, dict[str, Any]] = {
            "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [
                    {
                        "name": "apps",
                        "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
                        "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"},
                    }
                ],
            },
            "/api/v1": _resources("v1"),
            "/apis/apps/v1": _resources("apps/v1"),
            "/openapi/v3": _OPENAPI,
            "/openapi/v3/api/v1": _schema("v1"),
            "/openapi/v3/apis/apps/v1": _schema("apps/v1"),
        }
        if parts.path in fixed:
            return 200, fixed[parts.path]
        if "/namespaces/" not in parts.path:
            return self._refuse(404, "NotFound", f"the server could not find the requested resource {parts.path}")
        self.calls.append(f"{method} {parts.path} {'dry' if query.get('dryRun') == 'All' else ''}".strip())
        status, said = self._object(method, parts.path, query, body, content_type)
        self._hold(method, parts.path, query, content_type if body else "", status)
        self.given += [said] if status < 300 and said["kind"] in ("Deployment", "ConfigMap") else []
        return status, said

    def _hold(self, method: str, path: str, query: dict[str, str], content_type: str, status: int) -> None:
        for name, operation in _OPERATIONS.items():
            verb, _, template = name.partition(" ")
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            if verb != method or not re.fullmatch(pattern, path):
                continue
            if strange := set(query) - set(operation["query"]) - _EVERYWHERE:
                self.faults.append(f"{name}: query {sorted(strange)}")
            if content_type and content_type not in operation.get("content_types", [content_type]):
                self.faults.append(f"{name}: content type {content_type}")
            if status not in operation["statuses"] and status not in _REFUSALS:
                self.faults.append(f"{name}: status {status}")
            return
        self.faults.append(f"no such route: {method} {path}")

    def _object(
        self, method: str, path: str, query: dict[str, str], body: Any, content_type: str
    ) -> tuple[int, dict[str, Any]]:
        known = self.objects.get(path)
        if method == "GET" and path.count("/") == 4 and path.startswith("/api/v1/namespaces/"):
            name = path.rpartition("/")[2]
            return 200, {
                "kind": "Namespace",
                "apiVersion": "v1",
                "metadata": {"name": name},
                "status": {"phase": "Active"},
            }
        match method:
            case "PATCH":
                assert content_type == "application/apply-patch+yaml", content_type
                assert query["fieldManager"] == "mohist"
                made = self._made(body)
                if query.get("dryRun") != "All":
                    self.objects[path] = made
                return (200 if known else 201), made
            case "POST":
                path = f"{path}/{body['metadata']['name']}"
                if path in self.objects:
                    return self._refuse(409, "AlreadyExists", f"{path.rpartition('/')[2]} already exists")
                self.objects[path] = self._made(body)
                return 201, self.objects[path]
            case "DELETE" if known:
                return 200, self.objects.pop(path)
            case "GET" if known:
                return 200, known
            case "GET" if "fieldSelector" in query:
                name = query["fieldSelector"].partition("=")[2]
                found = self.objects.get(f"{path}/{name}")
                items = [found] if found else []
                kind = "DeploymentList" if "/deployments" in path else "ConfigMapList"
                version = "apps/v1" if "/deployments" in path else "v1"
                meta = {"resourceVersion": str(self.revision)}
                return 200, {"kind": kind, "apiVersion": version, "metadata": meta, "items": items}
        return self._refuse(404, "NotFound", f"{path.rpartition('/')[2]} not found")

    def _made(self, body: dict[str, Any]) -> dict[str, Any]:
        self.revision += 1
        meta = {**body["metadata"], "resourceVersion": str(self.revision), "uid": "u", "generation": 1}
        made = {**body, "metadata": meta}
        if body["kind"] == "Deployment":
            image = body["spec"]["template"]["spec"]["containers"][0]["image"]
            count = body["spec"].get("replicas", 1)
            ready = 0 if "sick" in image else count
            made["status"] = {
                "observedGeneration": 1,
                "replicas": count,
                "updatedReplicas": count,
                "availableReplicas": ready,
                "readyReplicas": ready,
                "conditions": []
                if ready
                else [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}],
            }
        return made

    @staticmethod
    def _refuse(code: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        return code, {**status, "message": message, "reason": reason, "code": code}
