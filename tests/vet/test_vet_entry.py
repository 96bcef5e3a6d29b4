"""What the ledger takes of a vetting."""

from __future__ import annotations

from pathlib import Path

import pytest

from mohist.ledger.entry import Sealed, encode
from mohist.vet import Dossier, Evidence, Finding, Record
from mohist.vet.account import gather
from mohist.vet.entry import vetting_draft


@pytest.mark.parametrize(
    ("subject", "named"), [("npm:some-client@1.2.3", True), ("pypi:some-tool==1.0", True), ("/home/ann/tool", False)]
)
def test_it_holds_the_verdict_and_digests_and_names_only_what_is_public(
    tmp_path: Path, subject: str, named: bool
) -> None:
    found = Finding("differ/x", "X", "high", "observed", "differ", "Seen.", (Evidence("run 1", "x"),), "again")
    dossier = Dossier(tmp_path)
    digest = dossier.write(Record("differ", subject, findings=(found,)))
    account = gather(dossier, version="1")
    draft = vetting_draft(account, "person:abc")
    sealed = Sealed("subject", "application/json", 1, "0" * 64, "0" * 64, "k")
    leaf = encode(draft, at_us=1, log="log", sequence=0, previous="", sealed=[sealed])
    assert (subject.encode() in leaf) is named
    assert draft.data["recommended"] == "banned"
    assert draft.data["criteria"] == ["D1"]
    assert draft.data["evidence"] == {"differ": digest}
    assert draft.data["report"] == account.digest()
    assert subject.encode() in draft.contents[0].data
    assert len(leaf) < 2_000
