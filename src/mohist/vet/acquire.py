"""The first step: the exact artefact, what vouches for it, what is in it, and what of it runs without being called.

Nothing that is fetched is run here. What a subject would fetch later is named, not fetched.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from mohist.vet import sbom
from mohist.vet.artefact import Artefact, Declared, Listed, Voucher
from mohist.vet.dossier import Dossier, Record, Unread
from mohist.vet.errors import DossierError, IntegrityError, SubjectError
from mohist.vet.evidence import Evidence, printable
from mohist.vet.finding import Finding, ranked
from mohist.vet.hook import Hook, findings, hooks, read_manifest
from mohist.vet.limit import DEFAULT, Limits
from mohist.vet.native import identify
from mohist.vet.registry import npm, pypi, voucher
from mohist.vet.registry.fetch import Fetcher, fetcher
from mohist.vet.registry.platform import Platform, here
from mohist.vet.registry.setting import npm_settings, pip_settings
from mohist.vet.subject import Subject
from mohist.vet.unpack import Unpacker, is_archive, members_of

_HEAD_BYTES = 4096
_ENTRY_DEPTH = 3
"""Deeper ones are of packages that are bundled."""
_NONE = Voucher("absent", "Nothing vouches for a file of this machine.")
_STRONG = ("sha512", "sha384", "sha256")


@dataclass(frozen=True, slots=True)
class Acquired:
    """What the other steps work on."""

    subject: Subject
    """With its exact version."""
    tree: Path
    """What was unpacked, or the subject's own folder or file; to be read only."""
    artefacts: tuple[Artefact, ...]
    hooks: tuple[Hook, ...]
    programs: tuple[tuple[str, str], ...]
    """Name and file (below `tree`) of what a package puts on the path; a Python one's file is "module:function"."""
    dependencies: Mapping[str, str]
    findings: tuple[Finding, ...]


async def acquire(
    subject: Subject,
    dossier: Dossier,
    *,
    into: Path,
    env: Mapping[str, str],
    home: Path,
    limits: Limits = DEFAULT,
    platform: Platform | None = None,
) -> Acquired:
    """Fetches a subject, or takes what is there, and writes the step's evidence.

    Args:
        subject: from `parse`.
        dossier: gets "acquire.json" and "files/sbom.cdx.json".
        into: downloads go to `into/fetched`, what is unpacked to `into/tree`; both are emptied first.
        env: the user's environment: where registries and proxies are named.
        home: the user's home, with .npmrc and pip.conf.
        limits: of sizes and numbers.
        platform: whose native packages are fetched; this machine's.

    Raises:
        SubjectError: no such package or version.
        RegistryError: a registry does not answer.
        IntegrityError: what came is not what the registry names.
        UnpackError: the archive is damaged or over a bound.
        DossierError: evidence can't be written.
    """
    wanted = subject.package or subject
    listed: Listed | None = None
    artefacts: tuple[Artefact, ...] = ()
    unread: list[Unread] = []
    if wanted.kind in ("npm", "pypi"):
        await anyio.to_thread.run_sync(_emptied, into)
        listed, artefacts = await _fetched(wanted, into / "fetched", env, home, limits, platform or here())
        tree = into / "tree"
        artefacts, left = await anyio.to_thread.run_sync(_unpacked, artefacts, into / "fetched", tree, limits)
        unread += left
        exact = Subject(
            wanted.kind,
            f"{wanted.kind}:{wanted.name}{'@' if wanted.kind == 'npm' else '=='}{listed.version}",
            wanted.name,
            listed.version,
        )
        subject = (
            exact
            if subject.package is None
            else Subject("server", subject.text, exact.name, exact.version, argv=subject.argv, package=exact)
        )
    else:
        if wanted.path is None or not wanted.path.exists():
            raise SubjectError(f"{wanted.text!r} is not there.")
        await anyio.to_thread.run_sync(_emptied, into)
        tree, left = await anyio.to_thread.run_sync(_local, wanted, into, limits)
        unread += left
    return await anyio.to_thread.run_sync(_described, subject, dossier, tree, listed, artefacts, unread, limits)


def _emptied(into: Path) -> None:
    """Makes room for a subject: what an earlier attempt left is of no use, and may be of another version."""
    try:
        for name in ("fetched", "tree"):
            shutil.rmtree(into / name, ignore_errors=True)
        (into / "fetched").mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise DossierError(f"{into} can't be used: {error.strerror}.", "Name another folder.") from None


async def _fetched(
    subject: Subject, folder: Path, env: Mapping[str, str], home: Path, limits: Limits, platform: Platform
) -> tuple[Listed, tuple[Artefact, ...]]:
    if subject.kind == "npm":
        settings = npm_settings(env, home)
        registry = settings.registry_of(subject.name)
        async with fetcher(settings.headers, settings.ca_file, settings.proxy, limits) as fetch:
            listed = await npm.listed(fetch, registry, subject, platform)
            return listed, tuple(
                [await _one(fetch, one, folder, registry) for one in listed.files if one.role != "other-platform"]
            )
    pip = pip_settings(env, home)
    async with fetcher(pip.headers, pip.ca_file, pip.proxy, limits) as fetch:
        listed = await pypi.listed(fetch, pip.indexes, pip.find_links, subject, platform)
        return listed, tuple(
            [await _one(fetch, one, folder, "") for one in listed.files if one.role != "other-platform"]
        )


async def _one(fetch: Fetcher, declared: Declared, folder: Path, registry: str) -> Artefact:
    saved = await fetch.save(declared.url, folder / declared.file.replace("/", "-"))
    checked = _checked(declared, saved.digests)
    if registry:
        signature = await voucher.npm_signature(fetch, registry, declared)
        provenance = await voucher.npm_provenance(fetch, declared, saved.digests)
    else:
        signature = Voucher("absent", "Indexes of Python packages hold attestations in place of signatures.")
        provenance = await voucher.pypi_provenance(fetch, declared, saved.digests)
    return Artefact(declared, saved.size_bytes, saved.digests, checked, signature, provenance)


def _checked(declared: Declared, digests: Mapping[str, str]) -> tuple[str, ...]:
    """The digests that were compared.

    Raises:
        IntegrityError: one differs.
    """
    known = [name for name in declared.digests if name in digests]
    for name in known:
        if declared.digests[name] != digests[name]:
            raise IntegrityError(
                f"{declared.file} has {name} {digests[name][:16]}…, and the registry names {declared.digests[name][:16]}….",
                "Don't install it; ask whoever runs the registry or the proxy in front of it.",
            )
    return tuple(known)


def _unpacked(
    artefacts: Sequence[Artefact], fetched: Path, tree: Path, limits: Limits
) -> tuple[tuple[Artefact, ...], list[Unread]]:
    unpacker = Unpacker(limits)
    done: list[Artefact] = []
    left: list[Unread] = []
    for one in artefacts:
        folder = one.declared.file.replace("/", "-")
        left += unpacker.unpack(fetched / folder, tree / folder)
        done.append(
            Artefact(one.declared, one.size_bytes, one.digests, one.checked, one.signature, one.provenance, folder)
        )
    return tuple(done), left


def _local(subject: Subject, into: Path, limits: Limits) -> tuple[Path, list[Unread]]:
    path = subject.path
    if path is None:
        raise SubjectError(f"{subject.text!r} is not there.")
    if path.is_dir():
        return path, []
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not is_archive(head):
        # A program alone: its folder may hold anything, so it gets one of its own.
        tree = into / "tree"
        tree.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy2(path, tree / path.name)
        return tree, []
    return into / "tree", list(Unpacker(limits).unpack(path, into / "tree" / path.name))


def _described(
    subject: Subject,
    dossier: Dossier,
    tree: Path,
    listed: Listed | None,
    artefacts: tuple[Artefact, ...],
    unread: list[Unread],
    limits: Limits,
) -> Acquired:
    files = list(members_of(tree))[: limits.max_files] if tree.is_dir() else [tree]
    roots = _roots(tree, files)
    found = tuple(hooks(tree, files, roots))
    natives = _natives(tree, files)
    declared = {
        **(listed.dependencies if listed else {}),
        **(
            sbom.requirements(files)
            if subject.kind == "pypi" or (subject.package and subject.package.kind == "pypi")
            else {}
        ),
    }
    if listed is None:
        declared |= _declared_here(tree, roots)
    kind = subject.package.kind if subject.package else subject.kind
    bundled = list(sbom.components(tree, files))
    document = sbom.bill(kind, subject.name or tree.name, subject.version, artefacts, declared, bundled, natives, "")
    attached = dossier.attach("sbom.cdx.json", sbom.as_bytes(document))
    said = ranked(
        [*_said(listed, artefacts, tree), *_refused(unread), *(one for hook in found for one in findings(hook))]
    )
    programs = tuple(dict.fromkeys(_programs(tree, files, roots)))
    facts: dict[str, Any] = {
        "kind": subject.kind,
        "name": subject.name,
        "version": subject.version,
        "registry": listed.registry if listed else "",
        "published": listed.published if listed else "",
        "notice": printable(listed.notice) if listed else "",
        "artefacts": [one.json() for one in artefacts],
        "not_fetched": [
            {"file": one.file, "platform": one.platform, "digests": dict(one.digests)}
            for one in (listed.files if listed else ())
            if one.role == "other-platform"
        ],
        "tree_sha256": _tree_digest(tree, files),
        "files": len(files),
        "hooks": [hook.json() for hook in found],
        "programs": [{"name": name, "file": file} for name, file in programs],
        "dependencies": dict(sorted(declared.items())),
        "bundled": len(bundled),
        "natives": [{"where": where, "sha256": digest} for where, digest in natives],
        "argv": list(subject.argv),
        "sbom": attached,
    }
    dossier.write(Record("acquire", subject.text, facts, said, tuple(unread)))
    return Acquired(subject, tree, artefacts, found, programs, declared, said)


def _roots(tree: Path, files: Sequence[Path]) -> frozenset[str]:
    """The folders that are packages as a whole: the tree, what each artefact unpacks to, an extension's."""
    found = {""}
    for path in files:
        parts = path.relative_to(tree).parts[:-1]
        if len(parts) <= 2 and "node_modules" not in parts:
            found.add("/".join(parts))
    return frozenset(found)


def _natives(tree: Path, files: Sequence[Path]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in files:
        try:
            with path.open("rb") as file:
                native = identify(file.read(_HEAD_BYTES))
                if native is not None:
                    file.seek(0)
                    where = path.relative_to(tree).as_posix() if path != tree else path.name
                    found.append((where, hashlib.file_digest(file, "sha256").hexdigest()))
        except OSError:
            continue
    return found


def _declared_here(tree: Path, roots: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for root in sorted(roots):
        manifest = read_manifest(tree / root / "package.json")
        for key in ("dependencies", "optionalDependencies"):
            table = manifest.get(key)
            if isinstance(table, dict):
                found |= {str(name): str(range_) for name, range_ in table.items()}
    return found


def _programs(tree: Path, files: Sequence[Path], roots: frozenset[str]) -> Iterable[tuple[str, str]]:
    for root in sorted(roots):
        manifest = read_manifest(tree / root / "package.json")
        table = manifest.get("bin")
        name = str(manifest.get("name", "")).rpartition("/")[2]
        entries = {name: table} if isinstance(table, str) else table if isinstance(table, dict) else {}
        for program, file in entries.items():
            if isinstance(file, str):
                yield str(program), "/".join(part for part in (root, file.removeprefix("./")) if part)
    for path in files:
        if (
            path.name == "entry_points.txt"
            and len(path.relative_to(tree).parts) <= _ENTRY_DEPTH
            and path.parent.suffix == ".dist-info"
        ):
            section = ""
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                if line.strip().startswith("["):
                    section = line.strip()
                elif section == "[console_scripts]" and "=" in line:
                    program, _, target = line.partition("=")
                    yield program.strip(), target.strip()


def _tree_digest(tree: Path, files: Sequence[Path]) -> str:
    """One digest for all names and contents."""
    whole = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            digest = "unreadable"
        name = path.relative_to(tree).as_posix() if path != tree else path.name
        whole.update(f"{digest}  {name}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _said(listed: Listed | None, artefacts: Sequence[Artefact], tree: Path) -> Iterable[Finding]:
    if listed is None:
        return
    if listed.notice:
        yield Finding(
            "acquire/withdrawn", "The registry advises against this version", "medium", "observed", "acquire",
            f"The registry {listed.registry} says of {listed.name} {listed.version}: {printable(listed.notice)}.",
            (Evidence(listed.registry, printable(listed.notice)),), f"Ask the registry for {listed.name} {listed.version}.",
        )  # fmt: skip
    for one in artefacts:
        how = f"Fetch {one.declared.url} and compare it with what the registry names."
        if not any(name in _STRONG for name in one.checked):
            yield Finding(
                "acquire/no-digest", "The registry names no strong digest", "medium", "observed", "acquire",
                f"{one.declared.file} could not be compared: the registry names {', '.join(one.checked) or 'no digest'} only.",
                (Evidence(one.declared.url, f"sha256 {one.digests.get('sha256', '')}"),), how,
            )  # fmt: skip
        for name, given in (("signature", one.signature), ("provenance", one.provenance)):
            if given.standing == "failed":
                yield Finding(
                    f"acquire/{name}-fails", f"The {name} does not fit", "high", "observed", "acquire",
                    f"{one.declared.file}: {given.what}", (Evidence(one.declared.attestations or one.declared.url, given.what, facts=tuple(given.facts.items())),), how,
                )  # fmt: skip
        vouchers = f"Signature: {one.signature.standing}. Provenance: {one.provenance.standing}."
        yield Finding(
            "acquire/vouched", "What vouches for the file", "info", "observed", "acquire",
            f"{one.declared.file}, sha256 {one.digests.get('sha256', '')}. {vouchers}",
            (Evidence(one.declared.url, one.signature.what), Evidence(one.declared.attestations or one.declared.url, one.provenance.what, facts=tuple(one.provenance.facts.items()))), how,
        )  # fmt: skip
    yield from _manifest_differs(listed, artefacts, tree)


def _manifest_differs(listed: Listed, artefacts: Sequence[Artefact], tree: Path) -> Iterable[Finding]:
    """Whether the package's own manifest says other things than the registry's, which is the one that tools read first."""
    main = next((one for one in artefacts if one.declared.role == "main"), None)
    if not listed.manifest or main is None:
        return
    own = next(
        (
            manifest
            for manifest in (read_manifest(path) for path in sorted((tree / main.folder).glob("*/package.json")))
            if manifest
        ),
        {},
    )
    differing = [
        key
        for key in ("name", "version", "dependencies", "scripts")
        if _relevant(key, own) != _relevant(key, listed.manifest)
    ]
    if differing:
        excerpt = "; ".join(
            f"{key}: {_relevant(key, own)!r}, and in the registry {_relevant(key, listed.manifest)!r}"
            for key in differing
        )
        yield Finding(
            "acquire/manifest-differs", "The package says other things than the registry", "medium", "observed", "acquire",
            f"{', '.join(differing)} in the package's own manifest differ from what the registry shows of it.",
            (Evidence(f"{main.folder}/package.json", printable(excerpt, 1200)),), "Compare package.json in the file with the registry's answer.",
        )  # fmt: skip


def _relevant(key: str, manifest: Mapping[str, Any]) -> Any:
    value = manifest.get(key)
    if key == "scripts":
        return (
            {name: command for name, command in value.items() if name in ("preinstall", "install", "postinstall")}
            if isinstance(value, dict)
            else {}
        )
    if key == "dependencies":
        # A registry adds to none; optional ones are listed in both places by some publishers.
        optional = manifest.get("optionalDependencies")
        return (
            {name: spec for name, spec in value.items() if not (isinstance(optional, dict) and name in optional)}
            if isinstance(value, dict)
            else {}
        )
    return value


def _refused(unread: Sequence[Unread]) -> Iterable[Finding]:
    """Members of archives that an unpacker must not follow."""
    leading = [one for one in unread if "leads out" in one.why]
    if leading:
        places = tuple(Evidence(printable(one.where), one.why) for one in leading[:8])
        yield Finding(
            "acquire/path-leads-out", "An archive holds names that lead out of it", "high", "observed", "acquire",
            f"{len(leading)} files of the archive have names that lead out of the folder that it is unpacked to.", places, "List the archive's members.",
        )  # fmt: skip
