"""What holds on this machine and what doesn't."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anyio import to_thread

from mohist.app import machine as machines
from mohist.app.config import Config, load_config
from mohist.app.connect import load_rules
from mohist.app.presence import is_there
from mohist.app.rulebook import describe, policy_path, read_text
from mohist.app.server import find_model
from mohist.app.trust import TrustStore
from mohist.base import MohistError, StatePaths
from mohist.policy import RuleError, load_rulebook
from mohist.sandbox import find_repository


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the screen."""

    area: str
    name: str
    holds: Literal["yes", "weak", "no"]
    detail: str
    needed: bool = True
    """A run can't start without it."""


async def examine(env: Mapping[str, str]) -> list[Finding]:
    """Looks at sandbox, model, configuration and state; changes nothing but the state folder."""
    machine = machines.build(env, lambda _event: None, None, None)
    findings: list[Finding] = []
    try:
        repository = find_repository(Path.cwd())
        root = repository.root if repository else None
        try:
            trust = TrustStore(machine.paths.home / "trust.json", machine.clock)
            config = load_config(env=env, paths=machine.paths, project_root=root, trust=trust)
            findings.append(
                Finding("configuration", "settings", "yes", f"mode {config.mode}, network {config.network}")
            )
            machine = machines.confined_by(machine, config.sandbox, config.readable)
            rules = load_rules(machine.paths, root or Path("/nonexistent"))
            findings.append(Finding("configuration", "rules", "yes", f"{len(rules.rules)} rules, all examples hold"))
        except MohistError as error:
            findings.append(Finding("configuration", "settings", "no", str(error)))
        else:
            findings.append(await _model(config, env))
            findings.append(_pipeline(config))
            findings.append(_guard(config, machine.paths))
        report = await machine.sandbox_report() if machine.sandbox_report is not None else []
        findings = [Finding("sandbox", item.name, item.holds, item.detail) for item in report] + findings
        where = f"{root}" if root else "this folder is in none; a run needs one"
        findings.append(Finding("machine", "git repository", "yes" if root else "weak", where, needed=False))
        findings.append(Finding("machine", "state", "yes", str(machine.paths.home)))
        findings.append(
            Finding(
                "machine", "toolchains shown to commands", "yes", ", ".join(map(str, machine.readable)) or "system only"
            )
        )
    finally:
        machine.close()
    findings.append(await to_thread.run_sync(_gateway_policy, machine.paths.home))
    findings.append(await to_thread.run_sync(_ledger, machine.paths.home, env))
    return findings


def _gateway_policy(home: Path) -> Finding:
    path = policy_path(home, None)
    try:
        rulebook = load_rulebook(read_text(path), str(path)) if is_there(path) else None
    except RuleError as error:
        return Finding("gateway", "policy", "no", str(error), needed=False)
    return Finding("gateway", "policy", "yes" if rulebook else "weak", describe(rulebook), needed=False)


def _ledger(home: Path, env: Mapping[str, str]) -> Finding:
    from mohist.app.database import owner_config
    from mohist.app.ledger import LedgerHome
    from mohist.app.stretch import in_force

    try:
        settings = owner_config(env).ledger
        line, taken = in_force(LedgerHome(home / "ledger", settings, env))
    except MohistError as error:
        return Finding("evidence", "ledger", "no", str(error))
    if not taken:
        return Finding("evidence", "ledger", "no", line)
    return Finding("evidence", "ledger", "yes" if settings.on and settings.witnesses else "weak", line, needed=False)


def _pipeline(config: Config) -> Finding:
    where = "the gateway in the run's own process" if config.server is None else f"the server {config.server.url}"
    return Finding("model", "gateway", "yes", f"calls are decided, metered and recorded by {where}")


def _guard(config: Config, paths: StatePaths) -> Finding:
    """What is looked at; nothing is compiled here."""
    from mohist.app.detector import detectors
    from mohist.app.guard import describe, guard_key, rulebook

    settings = config.guard
    try:
        names = [detector.name for detector in detectors(settings, paths.home, guard_key(settings, paths))]
        rulebook(settings)
    except MohistError as error:
        return Finding("model", "guard", "no", str(error))
    line = describe(settings).removeprefix("guard: ")
    holds: Literal["yes", "weak"] = "yes" if settings.mode == "enforce" and settings.preset != "observe" else "weak"
    told = line if settings.mode == "off" else f"{line}; looks for {', '.join(names)}"
    if config.server is not None:
        told += "; the calls of runs are looked at by the server"
    return Finding("model", "guard", holds, told)


async def _model(config: Config, env: Mapping[str, str]) -> Finding:
    try:
        model = await find_model(None, config, env)
    except MohistError as error:
        return Finding("model", "connected", "no", str(error), needed=False)
    return Finding("model", "connected", "yes", "; ".join((model.name, *model.notes)), needed=False)
