"""Checkpoints and proofs as text: the specification's own example, round trips, and what is refused."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mohist.ledger import ProofError, note, tree
from mohist.ledger.proof import Proof

LOG = "log.example/test"
WITNESS = "witness.example/w1"


def keys() -> tuple[Ed25519PrivateKey, note.VerifierKey]:
    private = Ed25519PrivateKey.generate()
    return private, note.VerifierKey(LOG, note.ED25519, private.public_key().public_bytes_raw())


def test_the_example_of_the_specification_verifies() -> None:
    # https://c2sp.org/signed-note, "Example".
    key = note.VerifierKey.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    (line,) = note.parse_signatures(
        "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    )
    assert line.key_id == key.key_id
    assert key.verify(line.signature, b"This is an example message.\n")
    assert not key.verify(line.signature, b"This is another message.\n")
    assert str(key).endswith("+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")


def test_a_signed_and_witnessed_checkpoint_reads_back_and_holds() -> None:
    private, key = keys()
    witness_private = Ed25519PrivateKey.generate()
    witness = note.VerifierKey(WITNESS, note.COSIGNATURE, witness_private.public_key().public_bytes_raw())
    checkpoint = note.Checkpoint(LOG, 5, tree.leaf_hash(b"root"))
    signed = note.SignedCheckpoint(
        checkpoint,
        (note.sign(checkpoint, LOG, private), note.cosign(checkpoint, WITNESS, witness_private, 1_700_000_000)),
    )
    read = note.parse(str(signed))
    assert read == signed
    assert read.signed_by(key)
    assert read.witnessed_by(witness) == 1_700_000_000
    assert not read.signed_by(keys()[1])
    assert read.witnessed_by(note.VerifierKey(WITNESS, note.COSIGNATURE, bytes(32))) is None


def test_a_signature_that_bears_a_known_key_and_is_false_is_an_error() -> None:
    private, key = keys()
    checkpoint = note.Checkpoint(LOG, 5, tree.leaf_hash(b"root"))
    signature = note.sign(checkpoint, LOG, private)
    for other in (note.Checkpoint(LOG, 6, checkpoint.root), note.Checkpoint(LOG, 5, bytes(32))):
        with pytest.raises(ProofError, match="false signature"):
            note.SignedCheckpoint(other, (signature,)).signed_by(key)


def test_a_witness_can_not_be_moved_in_time() -> None:
    private = Ed25519PrivateKey.generate()
    key = note.VerifierKey(WITNESS, note.COSIGNATURE, private.public_key().public_bytes_raw())
    checkpoint = note.Checkpoint(LOG, 5, tree.leaf_hash(b"root"))
    line = note.cosign(checkpoint, WITNESS, private, 1_700_000_000)
    later = note.Signature(line.name, line.key_id, (1_800_000_000).to_bytes(8) + line.signature[8:])
    with pytest.raises(ProofError, match="false signature"):
        note.SignedCheckpoint(checkpoint, (later,)).witnessed_by(key)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("\n\n", "\n"), "an empty line"),
        (lambda text: text.replace("\n5\n", "\n05\n"), "size '05'"),
        (lambda text: text.replace("\n5\n", "\n-5\n"), "size '-5'"),
        (lambda text: text.replace("\n5\n", "\nfive\n"), "size 'five'"),
        (lambda text: text.replace("\n\n", "\nextension\n\n"), "extension lines"),
        (lambda text: text.replace(LOG, "log\texample"), "control character"),
        (lambda text: text.replace("\u2014", "-"), "no signature line"),
        (lambda text: text[:-10] + "\n", "no signature line"),
        (lambda text: text.replace("\n5\n", "\n5\nAAAA"), "no SHA-256"),
    ],
)
def test_what_is_no_checkpoint_is_said_to_be_none(change: object, said: str) -> None:
    private, _ = keys()
    checkpoint = note.Checkpoint(LOG, 5, tree.leaf_hash(b"root"))
    text = str(note.SignedCheckpoint(checkpoint, (note.sign(checkpoint, LOG, private),)))
    with pytest.raises(ProofError, match=said):
        note.parse(change(text))  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    ["", "name", "name+00000000+AAAA", "name+530d903a+!!!!", "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"],
)
def test_what_is_no_key_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ProofError, match="key"):
        note.VerifierKey.parse(text)


@given(st.text(max_size=400))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (note.parse, Proof.parse, note.VerifierKey.parse):
        try:
            read(text)
        except ProofError:
            continue


def test_a_proof_reads_back_and_holds_for_its_entry_alone() -> None:
    private, _ = keys()
    leaves = [b"one", b"two", b"three"]
    edge = tree.Edge()
    nodes = {(level, index): node for leaf in leaves for level, index, node in edge.append(tree.leaf_hash(leaf))}
    checkpoint = note.Checkpoint(LOG, 3, edge.root())
    signed = note.SignedCheckpoint(checkpoint, (note.sign(checkpoint, LOG, private),))
    path = tree.inclusion_proof(1, 3, lambda level, index: nodes[level, index])
    proof = Proof(1, tuple(path), signed)
    read = Proof.parse(str(proof))
    assert read == proof
    read.verify(b"two")
    with pytest.raises(ProofError, match="Entry 1 is not in"):
        read.verify(b"one")
    with pytest.raises(ProofError, match="can't be followed"):
        Proof(1, (*proof.path, bytes(32)), signed).verify(b"two")
    assert Proof.parse(str(proof).replace("\nindex", "\nextra AAAA\nindex")) == proof
