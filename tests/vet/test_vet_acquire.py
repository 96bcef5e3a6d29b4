"""Subjects are fetched as npm and pip are configured, compared with what the registry names, and unpacked; nothing of them runs."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mohist.vet import (
    Acquired,
    Dossier,
    IntegrityError,
    Limits,
    RegistryError,
    SubjectError,
    UnpackError,
    acquire,
    parse,
)
from mohist.vet.registry.platform import Platform
from mohist.vet.registry.setting import pip_settings

pytestmark = pytest.mark.enable_socket
LINUX = Platform("linux", "x86_64", "glibc", (3, 11))


def tgz(files: Mapping[str, str | bytes], root: str = "package/") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            member = tarfile.TarInfo(root + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def wheel(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Registry:
    """A registry of both kinds on this machine: address -> answer; notes what it was asked with."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str, bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append((self.path, self.headers.get("authorization", "")))
                status, kind, body = registry.answers.get(self.path, (404, "text/plain", b"no"))
                self.send_response(status)
                self.send_header("content-type", kind)
                if status in (301, 302):
                    self.send_header("location", body.decode())
                    body = b""
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.key = ec.generate_private_key(ec.SECP256R1())

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def json(self, path: str, value: Any) -> None:
        self.answers[path] = (200, "application/json", json.dumps(value).encode())

    def npm(self, name: str, versions: Mapping[str, tuple[Mapping[str, Any], bytes]], **dist: Any) -> None:
        """Publishes versions: manifest and file; signed with the registry's key."""
        document: dict[str, Any] = {
            "name": name,
            "dist-tags": {"latest": list(versions)[-1]},
            "versions": {},
            "time": {},
        }
        for version, (manifest, data) in versions.items():
            path = f"/{name}/-/{version}.tgz"
            self.answers[path] = (200, "application/octet-stream", data)
            integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
            signed = self.key.sign(f"{name}@{version}:{integrity}".encode(), ec.ECDSA(SHA256()))
            signatures = [{"keyid": "SHA256:registry", "sig": base64.b64encode(signed).decode()}]
            document["versions"][version] = {
                "name": name, "version": version, **manifest,
                "dist": {"tarball": self.url + path, "integrity": integrity, "signatures": signatures, **dist},
            }  # fmt: skip
        self.json("/" + name.replace("/", "%2F"), document)
        self.json("/" + name, document)

    def publish_keys(self, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        public = (
            (key or self.key)
            .public_key()
            .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        self.json("/-/npm/v1/keys", {"keys": [{"keyid": "SHA256:registry", "key": base64.b64encode(public).decode()}]})

    def pypi(self, name: str, files: Mapping[str, bytes], **extra: Any) -> None:
        listed = []
        for file, data in files.items():
            self.answers[f"/files/{file}"] = (200, "application/octet-stream", data)
            listed.append(
                {
                    "filename": file,
                    "url": f"{self.url}/files/{file}",
                    "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
                    **extra,
                }
            )
        self.answers[f"/simple/{name}/"] = (
            200,
            "application/vnd.pypi.simple.v1+json",
            json.dumps({"files": listed}).encode(),
        )


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    yield made
    made.close()


async def got(
    registry: Registry,
    text: str,
    folder: Path,
    *,
    limits: Limits | None = None,
    npmrc: str = "",
    env: Mapping[str, str] | None = None,
) -> tuple[Acquired, dict[str, Any]]:
    home = folder / "home"
    home.mkdir(parents=True)
    (home / ".npmrc").write_text(npmrc or f"registry={registry.url}/\n", encoding="utf-8")
    dossier = Dossier(folder / "dossier")
    settings = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": f"{registry.url}/simple", **(env or {})}
    acquired = await acquire(
        parse(text, cwd=folder),
        dossier,
        into=folder / "into",
        env=settings,
        home=home,
        limits=limits or Limits(),
        platform=LINUX,
    )
    record = dossier.read("acquire")
    assert record is not None
    assert record.findings == acquired.findings
    return acquired, dict(record.facts)


def manifest(**more: Any) -> dict[str, Any]:
    return {"name": "some-client", "version": "1.2.3", **more}


async def test_a_package_of_npm_is_fetched_with_its_native_part_for_this_machine(
    tmp_path: Path, registry: Registry
) -> None:
    optional = {f"some-client-{os_}": "1.2.3" for os_ in ("linux", "mac")} | {"alias": "npm:some-client@1.2.3-linux"}
    own = manifest(optionalDependencies=optional, dependencies={"needed": "^2"}, bin={"client": "./cli.js"})
    registry.npm(
        "some-client-linux",
        {
            "1.2.3": (
                {"os": ["linux"], "cpu": ["x64"]},
                tgz({"bin/client": b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0"}),
            )
        },
    )
    registry.npm("some-client-mac", {"1.2.3": ({"os": ["darwin"], "cpu": ["arm64"]}, b"not fetched")})
    registry.npm(
        "some-client",
        {
            "1.2.3-linux": ({"os": ["linux"], "cpu": ["x64"]}, tgz({"x": "1"})),
            "1.2.3": (own, tgz({"package.json": json.dumps(own), "cli.js": "1"})),
        },
    )
    registry.publish_keys()
    acquired, facts = await got(registry, "npm:some-client@1.2.3", tmp_path)
    assert [(one.declared.name, one.declared.role, one.signature.standing) for one in acquired.artefacts] == [
        ("some-client", "main", "verified"), ("some-client-linux", "platform", "verified"), ("some-client", "platform", "verified"),
    ]  # fmt: skip
    assert [one["platform"] for one in facts["not_fetched"]] == ["darwin/arm64"]
    assert acquired.programs == (("client", "some-client-1.2.3.tgz/package/cli.js"),)
    assert (acquired.tree / acquired.programs[0][1]).read_text(encoding="utf-8") == "1"
    assert [one["where"] for one in facts["natives"]] == ["some-client-linux-1.2.3.tgz/package/bin/client"]
    assert not any(path == "/some-client-mac/-/1.2.3.tgz" for path, _ in registry.asked)


async def test_the_bill_of_materials_is_one(tmp_path: Path, registry: Registry) -> None:
    own = manifest(dependencies={"needed": "^2"})
    bundled = json.dumps({"name": "@scope/inner", "version": "0.1.0", "license": "MIT"})
    registry.npm(
        "some-client",
        {"1.2.3": (own, tgz({"package.json": json.dumps(own), "node_modules/@scope/inner/package.json": bundled}))},
    )
    await got(registry, "npm:some-client@1.2.3", tmp_path)
    document = Dossier(tmp_path / "dossier").attached("files/sbom.cdx.json").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    bill = json.loads(document)
    assert {one.get("purl") for one in bill["components"]} == {None, "pkg:npm/needed", "pkg:npm/%40scope/inner@0.1.0"}
    assert bill["metadata"]["component"]["purl"] == "pkg:npm/some-client@1.2.3"


@pytest.mark.parametrize("version", ["", "@latest", "@^1.0.0", "@9.9.9"])
async def test_a_version_that_is_none_is_answered_with_the_newest(
    tmp_path: Path, registry: Registry, version: str
) -> None:
    registry.npm("some-client", {f"1.{minor}.0": (manifest(), b"") for minor in range(9, 12)})
    with pytest.raises(SubjectError, match=r"The newest are 1\.11\.0, 1\.10\.0, 1\.9\.0; latest is 1\.11\.0"):
        await got(registry, f"npm:some-client{version}", tmp_path)


async def test_a_file_that_is_not_what_the_registry_names_is_refused(tmp_path: Path, registry: Registry) -> None:
    registry.npm("some-client", {"1.2.3": (manifest(), tgz({"package.json": "{}"}))})
    registry.answers["/some-client/-/1.2.3.tgz"] = (200, "", tgz({"package.json": "{}", "more.js": "1"}))
    with pytest.raises(IntegrityError, match="sha512"):
        await got(registry, "npm:some-client@1.2.3", tmp_path)
    assert not (tmp_path / "into" / "tree").exists()


async def test_a_signature_by_another_key_is_a_finding(tmp_path: Path, registry: Registry) -> None:
    registry.npm("some-client", {"1.2.3": (manifest(), tgz({"package.json": json.dumps(manifest())}))})
    registry.publish_keys(ec.generate_private_key(ec.SECP256R1()))
    acquired, _ = await got(registry, "npm:some-client@1.2.3", tmp_path)
    assert [(one.rule, one.severity) for one in acquired.findings if one.severity != "info"] == [
        ("acquire/signature-fails", "high")
    ]


def attested(data: bytes, algorithm: str, *, tamper: bool = False) -> tuple[str, str, str]:
    """Statement, signature and certificate of an attestation, in base64."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + timedelta(minutes=10))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier("https://forge.dev/team/client/build.yml")]), critical=False)
        .sign(key, SHA256())
    )  # fmt: skip
    workflow = {"repository": "https://forge.dev/team/client", "ref": "refs/tags/v1"}
    statement = json.dumps({
        "predicateType": "https://slsa.dev/provenance/v1", "subject": [{"digest": {algorithm: hashlib.new(algorithm, data).hexdigest()}}],
        "predicate": {"buildDefinition": {"externalParameters": {"workflow": workflow}}},
    }).encode()  # fmt: skip
    kind = b"application/vnd.in-toto+json"
    signature = key.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(statement), statement), ec.ECDSA(SHA256()))
    if tamper:
        statement = statement.replace(b"refs/tags/v1", b"refs/tags/v2")
    encoded = (
        base64.b64encode(part).decode()
        for part in (statement, signature, certificate.public_bytes(serialization.Encoding.DER))
    )
    return next(encoded), next(encoded), next(encoded)


@pytest.mark.parametrize(("tamper", "standing"), [(False, "consistent"), (True, "failed")])
async def test_provenance_of_npm_is_compared_with_the_file(
    tmp_path: Path, registry: Registry, tamper: bool, standing: str
) -> None:
    data = tgz({"package.json": json.dumps(manifest())})
    statement, signature, certificate = attested(data, "sha512", tamper=tamper)
    bundle = {
        "dsseEnvelope": {"payload": statement, "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": signature}]},
        "verificationMaterial": {"certificate": {"rawBytes": certificate}},
    }  # fmt: skip
    registry.json(
        "/attestations", {"attestations": [{"predicateType": "https://slsa.dev/provenance/v1", "bundle": bundle}]}
    )
    registry.npm("some-client", {"1.2.3": (manifest(), data)}, attestations={"url": registry.url + "/attestations"})
    acquired, _ = await got(registry, "npm:some-client@1.2.3", tmp_path)
    provenance = acquired.artefacts[0].provenance
    assert provenance.standing == standing
    assert provenance.facts["repository"] == "https://forge.dev/team/client"
    assert ("acquire/provenance-fails" in [one.rule for one in acquired.findings]) == tamper


async def test_provenance_of_another_file_fails(tmp_path: Path, registry: Registry) -> None:
    statement, signature, certificate = attested(b"another", "sha256")
    attestation = {
        "envelope": {"statement": statement, "signature": signature},
        "verification_material": {"certificate": certificate},
    }
    registry.json(
        "/provenance", {"attestation_bundles": [{"publisher": {"kind": "Forge"}, "attestations": [attestation]}]}
    )
    registry.pypi(
        "client",
        {"client-1.0-py3-none-any.whl": wheel({"client/__init__.py": ""})},
        provenance=registry.url + "/provenance",
    )
    acquired, _ = await got(registry, "pypi:client==1.0", tmp_path)
    assert acquired.artefacts[0].provenance.standing == "failed"


async def test_a_package_of_python_gives_wheel_source_and_what_starts_by_itself(
    tmp_path: Path, registry: Registry
) -> None:
    metadata = "Name: client\nVersion: 1.0\nRequires-Dist: needed>=2\nRequires-Dist: extra-one; extra == 'x'\n"
    files = {
        "client-1.0-cp311-cp311-manylinux_2_17_x86_64.whl": wheel({
            "client/__init__.py": "", "client.pth": "import client.start\n", "plain.pth": "../lib\n",
            "client-1.0.dist-info/METADATA": metadata, "client-1.0.dist-info/entry_points.txt": "[console_scripts]\nclient = client.main:main\n",
        }),
        "client-1.0-cp311-cp311-macosx_11_0_arm64.whl": b"not fetched",
        "client-1.0-py3-none-any.whl": b"fits less, not fetched",
        "client-1.0.tar.gz": tgz({"setup.py": "import urllib.request\nurllib.request.urlopen('https://stage.vendor.dev/two')\n"}, "client-1.0/"),
        "client-0.9.tar.gz": b"",
    }  # fmt: skip
    registry.pypi("client", files)
    acquired, facts = await got(registry, "pypi:Client==1.0.0", tmp_path)
    assert [(one.declared.file, one.declared.role) for one in acquired.artefacts] == [
        ("client-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "main"),
        ("client-1.0.tar.gz", "source"),
    ]
    assert acquired.programs == (("client", "client.main:main"),)
    assert facts["dependencies"] == {"needed": ">=2"}
    assert sorted((one.when, one.what) for one in acquired.hooks) == [
        ("build", "python setup.py"),
        ("interpreter-start", "import client.start"),
    ]
    assert {one.rule: one.severity for one in acquired.findings if one.severity != "info"} == {
        "acquire/runs-at-start": "medium",
        "acquire/second-stage": "low",
    }


async def test_code_hidden_in_what_every_start_runs_weighs_more(tmp_path: Path, registry: Registry) -> None:
    registry.pypi(
        "client",
        {
            "client-1.0-py3-none-any.whl": wheel(
                {"client.pth": "import base64; exec(base64.b64decode('cHJpbnQoMSk='))\n"}
            )
        },
    )
    acquired, _ = await got(registry, "pypi:client==1.0", tmp_path)
    assert [(one.rule, one.severity) for one in acquired.findings if one.severity != "info"] == [
        ("acquire/runs-at-start", "high")
    ]


async def test_an_index_in_html_is_understood(tmp_path: Path, registry: Registry) -> None:
    data = wheel({"client/__init__.py": ""})
    page = f'<html><a href="../../files/c.whl#sha256={hashlib.sha256(data).hexdigest()}">x</a><a data-yanked="broken" href="../../files/client-1.0-py3-none-any.whl#sha256={hashlib.sha256(data).hexdigest()}">y</a>'
    registry.answers["/simple/client/"] = (200, "text/html", page.encode())
    registry.answers["/files/client-1.0-py3-none-any.whl"] = (200, "", data)
    acquired, facts = await got(registry, "pypi:client==1.0", tmp_path)
    assert acquired.artefacts[0].checked == ("sha256",)
    assert facts["notice"] == "yanked: broken"


async def test_a_script_at_installation_is_followed_to_what_it_fetches(tmp_path: Path, registry: Registry) -> None:
    own = manifest(scripts={"postinstall": "node ./install.js", "test": "node test.js"})
    files = {
        "package.json": json.dumps(own), "install.js": 'const get=require("./lib/get");get()', "test.js": 'fetch("https://no.vendor.dev/")',
        "lib/get.js": '// https://docs.vendor.dev/\nmodule.exports=()=>require("https").get("https://cdn.vendor.dev/bin.tar.gz")',
    }  # fmt: skip
    registry.npm("some-client", {"1.2.3": (own, tgz(files))})
    acquired, facts = await got(registry, "npm:some-client@1.2.3", tmp_path)
    assert facts["hooks"][0]["fetches"] == ["https://cdn.vendor.dev/bin.tar.gz"]
    assert {one.rule for one in acquired.findings} >= {"acquire/second-stage", "acquire/runs-at-install"}


async def test_a_manifest_that_differs_from_the_registrys_is_a_finding(tmp_path: Path, registry: Registry) -> None:
    own = manifest(scripts={"postinstall": "node x.js"}, dependencies={"other": "1"})
    registry.npm("some-client", {"1.2.3": (manifest(), tgz({"package.json": json.dumps(own)}))})
    acquired, _ = await got(registry, "npm:some-client@1.2.3", tmp_path)
    differs = next(one for one in acquired.findings if one.rule == "acquire/manifest-differs")
    assert differs.what.startswith("dependencies, scripts in the package's own manifest")


async def test_credentials_go_to_the_registry_that_they_are_configured_for_alone(
    tmp_path: Path, registry: Registry
) -> None:
    other = Registry()
    try:
        token = base64.b64encode(b"made for this test").decode()
        registry.npm("@team/client", {"1.2.3": ({}, b"")})
        data = tgz({"package.json": json.dumps({"name": "@team/client", "version": "1.2.3"})})
        registry.npm("@team/client", {"1.2.3": ({}, data)})
        registry.answers["/@team/client/-/1.2.3.tgz"] = (302, "", (other.url + "/file.tgz").encode())
        other.answers["/file.tgz"] = (200, "", data)
        place = registry.url.removeprefix("http:")
        npmrc = f"registry={other.url}/\n@team:registry={registry.url}/\n{place}/:_authToken=${{SOME_TOKEN_NAME}}\n"
        await got(registry, "npm:@team/client@1.2.3", tmp_path, npmrc=npmrc, env={"SOME_TOKEN_NAME": token})
        assert {authorization for _, authorization in registry.asked} == {f"Bearer {token}"}
        assert other.asked == [("/file.tgz", "")]
        other.npm("plain", {"1.0.0": ({}, tgz({"package.json": "{}"}))})
        await got(other, "npm:plain@1.0.0", tmp_path / "plain", npmrc=npmrc, env={"SOME_TOKEN_NAME": token})
        assert {authorization for _, authorization in other.asked} == {""}
    finally:
        other.close()


async def test_the_proxy_that_npm_is_configured_with_is_taken(tmp_path: Path, registry: Registry) -> None:
    registry.npm("some-client", {"1.2.3": (manifest(), tgz({"package.json": json.dumps(manifest())}))})
    far = "http://registry.vendor.test"
    document = registry.answers["/some-client"][2].replace(registry.url.encode(), far.encode())
    registry.answers |= {
        f"{far}/some-client": (200, "application/json", document),
        f"{far}/some-client/-/1.2.3.tgz": registry.answers["/some-client/-/1.2.3.tgz"],
    }
    acquired, _ = await got(
        registry, "npm:some-client@1.2.3", tmp_path, npmrc=f"registry={far}/\nproxy={registry.url}\n"
    )
    assert acquired.artefacts[0].checked == ("sha512",)
    assert all(path.startswith(far) for path, _ in registry.asked)


async def test_pips_credentials_come_from_the_address_or_from_netrc(tmp_path: Path, registry: Registry) -> None:
    registry.pypi("client", {"client-1.0-py3-none-any.whl": wheel({"client/__init__.py": ""})})
    password = base64.b64encode(b"made for this").decode()
    address = registry.url.replace("//", f"//someone:{password}@")
    await got(registry, "pypi:client==1.0", tmp_path / "a", env={"PIP_INDEX_URL": f"{address}/simple"})
    expected = "Basic " + base64.b64encode(f"someone:{password}".encode()).decode()
    assert {authorization for _, authorization in registry.asked} == {expected}
    registry.asked.clear()
    settings = tmp_path / "netrc-home"
    settings.mkdir()
    (settings / ".netrc").write_text(f"machine 127.0.0.1 login someone password {password}\n", encoding="utf-8")
    (settings / ".netrc").chmod(0o600)
    assert pip_settings({"PIP_INDEX_URL": f"{registry.url}/simple"}, settings, ()).headers(registry.url + "/x") == {
        "authorization": expected
    }


async def test_what_is_longer_than_the_limit_is_refused(tmp_path: Path, registry: Registry) -> None:
    registry.npm("some-client", {"1.2.3": (manifest(), tgz({"a": bytes(range(256)) * 100}))})
    with pytest.raises(RegistryError, match="longer than 100 bytes"):
        await got(registry, "npm:some-client@1.2.3", tmp_path, limits=Limits(max_download_bytes=100))


def _below(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


async def test_a_bomb_is_refused_and_names_that_lead_out_are_told(tmp_path: Path, registry: Registry) -> None:
    registry.npm("bomb", {"1.0.0": ({}, tgz({"a": bytes(5_000_000)}))})
    registry.npm("leads", {"1.0.0": ({}, tgz({"../../../out": "1", "in": "2"}))})
    with pytest.raises(UnpackError, match="more than 20 times"):
        await got(registry, "npm:bomb@1.0.0", tmp_path / "a", limits=Limits(max_ratio=20, max_ratio_free_bytes=1000))
    acquired, _ = await got(registry, "npm:leads@1.0.0", tmp_path / "b")
    assert "acquire/path-leads-out" in [one.rule for one in acquired.findings]
    assert sorted(path.name for path in _below(tmp_path / "b") if path.parent.name == "package") == ["in"]
    assert "out" not in {path.name for path in _below(tmp_path)}


async def test_a_registry_that_is_not_there_is_said(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(RegistryError, match="does not answer"):
        await got(registry, "npm:x@1.0.0", tmp_path, npmrc="registry=http://127.0.0.1:9/\n")


async def test_an_extension_a_folder_a_skill_and_a_server_are_taken_as_they_are(
    tmp_path: Path, registry: Registry
) -> None:
    own = {
        "name": "ext",
        "engines": {"vscode": "^1"},
        "activationEvents": ["*"],
        "main": "./out/main.js",
        "scripts": {"vscode:uninstall": "node gone.js"},
    }
    (tmp_path / "a.vsix").write_bytes(wheel({"extension/package.json": json.dumps(own), "extension/out/main.js": "1"}))
    acquired, _ = await got(registry, "a.vsix", tmp_path)
    assert acquired.subject.kind == "extension"
    assert sorted(one.when for one in acquired.hooks) == ["editor-start", "uninstall"]
    assert (acquired.tree / "a.vsix" / "extension" / "out" / "main.js").exists()


async def test_a_servers_package_is_what_is_fetched(tmp_path: Path, registry: Registry) -> None:
    registry.npm("@team/server", {"2.0.0": ({}, tgz({"package.json": "{}"}))})
    acquired, facts = await got(registry, "mcp:npx -y @team/server@2.0.0 /data", tmp_path)
    assert acquired.subject.kind == "server"
    assert facts["argv"] == ["npx", "-y", "@team/server@2.0.0", "/data"]
    assert acquired.artefacts[0].declared.name == "@team/server"
