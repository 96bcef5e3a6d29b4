"""From the configuration to a model that answers, and to the rules that bind a run."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mohist import __version__
from mohist.app.config import Config
from mohist.app.errors import ConfigError
from mohist.app.server import find_model
from mohist.base import Clock, IdSource, StatePaths
from mohist.policy import RuleSet, builtin_rules, parse_rules
from mohist.policy.rule import Layer
from mohist.provider.message import Provider
from mohist.provider.price import meter
from mohist.provider.resolution import ResolvedModel
from mohist.provider.substitution import VOLATILE, Substitution

if TYPE_CHECKING:
    import httpx2

    from mohist.app.evidence import Evidence
    from mohist.provider.exchange import Price

USER_AGENT = f"mohist/{__version__}"

MANAGED_RULES = Path("/etc/mohist/policy.toml")
PROJECT_RULES = Path(".mohist/policy.toml")

# What a replay compares must not hang on names that are made anew, or from contents or sizes of this machine's output.
_SPILLS = (
    (r"\bspill:[a-z-]+-[0-9a-f]{12}\.txt", "<spill>"),
    # Newer Pythons mark the place in a traceback with carets.
    (r"\n[ \t]*[~^]+[ \t]*(?=\n)", ""),
    (r"\ball \d+ bytes, sha256 [0-9a-f]{16}", "all <size>"),
    (r"\bdlv-[0-9a-z]{18}\b", "<delivery>"),
)


@dataclass(frozen=True, slots=True)
class Connected:
    """A model ready for a run."""

    provider: Provider
    wire_model: str
    notes: tuple[str, ...]
    """What was guessed or should be known."""
    close: Callable[[], Awaitable[int]]
    """Ends the calls under way; how many calls could not be put into usage."""


async def connect(
    name: str | None,
    config: Config,
    env: Mapping[str, str],
    clock: Clock,
    literals: Mapping[str, str],
    record: Path | None = None,
    *,
    home: Path,
    project: str,
    ids: IdSource,
    evidence: Evidence | None = None,
) -> Connected:
    """The model that `name`, else the configuration, else this machine offers.

    Args:
        name: as given by a flag; None: not given.
        config: endpoints and the configured model.
        env: for keys, read anew at each call.
        clock: for prices that hang on the hour.
        literals: text of this machine that a recording masks, e.g. the workspace's path.
        record: also write a recording there.
        home: the state folder, for budgets and usage.
        project: what usage says of it.
        ids: of calls.
        evidence: the ledger; None: calls are not entered.

    Raises:
        NoModelError, ModelNameError: there is none (exit code 5), or its name means nothing.
        RecordingError: the recording can't be read or written.
        StoreError: budgets can't be read.
    """
    resolved = await find_model(name, config, env)
    substitution = Substitution(literals, (*_SPILLS, *VOLATILE))
    provider: Provider
    close: Callable[[], Awaitable[int]] = _nothing_open
    if resolved.dialect == "replay":
        from mohist.provider import Replay

        provider = Replay(Path(resolved.base_url), substitution)
    elif config.server is not None:
        provider = _adapter(resolved, resolved.base_url, env, clock, meter(resolved.price, clock), None)
        close = _closing(provider)
    else:
        from mohist.app.pipeline import BASE_URL, Pipeline

        pipeline = Pipeline(resolved, env, config.gateway, home, project, clock, ids, config.guard, evidence)
        # The door drops the key and shows its own, which is the same; the adapter cuts it from what an endpoint says.
        provider = _adapter(resolved, BASE_URL, env, clock, pipeline.cost_microusd, pipeline.start())
        close = pipeline.close
    if record is not None:
        from mohist.provider import Recorder

        provider = Recorder(provider, record, substitution)
    return Connected(provider, resolved.wire, resolved.notes, close)


def _adapter(
    resolved: ResolvedModel,
    base_url: str,
    env: Mapping[str, str],
    clock: Clock,
    price: Price,
    client: httpx2.AsyncClient | None,
) -> Provider:
    """The model behind a gateway's door, in this process or on a server."""
    from mohist.provider import AnthropicMessages, OpenAIChat, TextTools

    kind = AnthropicMessages if resolved.dialect == "anthropic-messages" else OpenAIChat
    headers = {"user-agent": USER_AGENT}
    key = resolved.key(env)
    provider: Provider = kind(
        resolved.name, base_url, key, resolved.caps, price, headers=headers, clock=clock, client=client, governed=True
    )
    return provider if resolved.caps.native_tools else TextTools(provider)


def _closing(provider: Provider) -> Callable[[], Awaitable[int]]:
    async def close() -> int:
        await provider.aclose()
        return 0

    return close


async def _nothing_open() -> int:
    return 0


def load_rules(paths: StatePaths, root: Path, managed: Path = MANAGED_RULES) -> RuleSet:
    """The rules in force: built in, the user's, the project's (which can only tighten), the machine's.

    Raises RuleError naming the file, the rule and the example that fails; ConfigError for a file that can't be read.
    """
    rules = builtin_rules()
    layers: list[tuple[Layer, Path]] = [
        ("user", paths.home / "policy.toml"),
        ("project", root / PROJECT_RULES),
        ("managed", managed),
    ]
    for layer, path in layers:
        if layer == "project" and path.is_symlink():
            raise ConfigError(f"{path} is a link.", "Put the rules themselves there.")
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path} can't be read: {error}.", "Make it readable UTF-8 text, or remove it."
            ) from error
        rules = rules.plus(parse_rules(text, layer=layer, origin=str(path)))
    return rules


def find_run(paths: StatePaths, wanted: str) -> Path:
    """The folder of the run whose id is or ends with `wanted`; `last` is the newest.

    Raises ConfigError (exit code 2) naming the nearest ids.
    """
    names = run_names(paths)
    if wanted == "last" and names:
        return paths.runs / names[-1]
    found = [name for name in names if name == wanted] or [name for name in names if name.endswith(wanted)]
    if len(found) == 1:
        return paths.runs / found[0]
    near = difflib.get_close_matches(wanted, names, 3, 0.5) or names[-3:]
    what = f"Several runs end with {wanted!r}." if found else f"There is no run {wanted!r}."
    raise ConfigError(what, f"Nearest: {', '.join(near)}." if near else "There are no runs yet: mohist run")


def run_names(paths: StatePaths) -> list[str]:
    """Ids of all runs, oldest first."""
    if not paths.runs.is_dir():
        return []
    return sorted(path.name for path in paths.runs.iterdir() if (path / "log.jsonl").is_file())
