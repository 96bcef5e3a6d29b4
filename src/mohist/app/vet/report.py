"""Writes a vetting's report in its three forms, and enters it in the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mohist.app.evidence import evidence_here
from mohist.app.user import user_name
from mohist.vet import DossierError
from mohist.vet.account import Account
from mohist.vet.entry import vetting_draft
from mohist.vet.page import render_page
from mohist.vet.sarif import sarif

PAGE, DATA, SARIF = "report.html", "report.json", "report.sarif"


def publish(account: Account, folder: Path, env: Mapping[str, str]) -> None:
    """Puts `report.html`, `report.json` and `report.sarif` into a dossier, then enters their digests in the ledger.

    Args:
        account: what is reported.
        folder: the dossier's.
        env: says where the state and its ledger are.

    Raises:
        DossierError: a file can't be written.
        LedgerError: it can't be entered.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / PAGE).write_text(render_page(account), encoding="utf-8")
        (folder / DATA).write_text(json.dumps(account.as_json(), indent=2) + "\n", encoding="utf-8")
        (folder / SARIF).write_text(json.dumps(sarif(account), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DossierError(f"The report can't be written to {folder}: {error.strerror}.") from None
    with evidence_here(env) as evidence:
        if evidence is not None:
            evidence.append(vetting_draft(account, evidence.name("person", user_name())))
