"""The files that lie in a bundle beside the evidence: the verifier, a text for people, the log's proposal of witnesses.

Nothing signs them, and an auditor who brings their own needs none of them. But who runs a changed verifier believes what it says,
so `mohist ledger verify` compares them with what this program would have written.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from mohist.ledger.export import README, verifier
from mohist.ledger.trust import Policy, WrongError

VERIFIERS: frozenset[str] = frozenset(("246c87be78f307b9e5d2e5209da07a807900873310a1374b65e224a0432ee94c",))
"""SHA-256 of `verify.py` as versions of this program wrote it, the present one last."""


def strange(folder: Path, key_text: str) -> list[str]:
    """What is not as this program or an earlier version wrote it, a sentence each; empty: all is, or nothing is there.

    Args:
        folder: of a bundle whose evidence holds.
        key_text: the log's verifier key.
    """
    said: list[str] = []
    origin = key_text.split("+", 1)[0]
    checkpoint = _read(folder / "checkpoint") or b""
    size = checkpoint.split(b"\n")[1].decode("ascii", "replace") if checkpoint.count(b"\n") > 1 else ""
    code = _read(folder / "verify.py")
    if code is not None and sha256(code).hexdigest() not in VERIFIERS:
        own = verifier().encode("utf-8")
        if code != own:
            said.append(
                f"verify.py: not as any version of Mohist wrote it, from byte {_first(code, own)} on; don't run it"
            )
    text = _read(folder / "README.txt")
    if text is not None:
        own = README.format(origin=origin, size=size).encode("utf-8")
        if text != own:
            said.append(f"README.txt: not as Mohist wrote it, from byte {_first(text, own)} on")
    policy = _read(folder / "policy")
    if policy is not None and (wrong := _policy(policy, key_text)):
        said.append(f"policy: {wrong}")
    return said


def _policy(data: bytes, key_text: str) -> str:
    lines = data.decode("utf-8", "replace").split("\n")
    if lines[-1] or any(line != " ".join(line.split()) or not line.isprintable() for line in lines[:-1]):
        return "not in the form that Mohist writes"
    if lines[0] != f"log {key_text}":
        return "line 1: it is of another log"
    try:
        Policy("\n".join(lines))
    except WrongError as error:
        return f"{error.where}: {error.why}"
    return ""


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _first(data: bytes, own: bytes) -> int:
    """The first byte that differs."""
    same = min(len(data), len(own))
    return next((at for at in range(same) if data[at] != own[at]), same)
