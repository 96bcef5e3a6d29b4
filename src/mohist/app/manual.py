"""Writes what the reference pages take from the code: docs/configuration.md, and the table of docs/models.md.

Tests hold the pages to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mohist.app import guard_table, ledger_table, setting
from mohist.app import key as keys
from mohist.provider.catalogue import Catalogue

_HEAD = """\
# Configuration

<!-- Written from the code: scripts/test tests/app --renew-pins -->

`mohist.toml` is read from three places; a variable or a flag can say some of it too. The stronger wins:

| strength | where |
|---|---|
| 1 | managed: `/etc/mohist/mohist.toml` |
| 2 | flags of the command |
| 3 | environment: the variables below |
| 4 | project: `.mohist/mohist.toml` in the repository |
| 5 | user: `mohist.toml` in Mohist's state folder (`$MOHIST_HOME`, else the platform's: `~/.local/state/mohist`) |
| 6 | default |

Two rules bend that order.

- **Strictness.** Where "a project may" says *tighten*, a project's file is heard only if it is stricter than the user's
  and the default, and the managed file is a bound: what is stricter than it stays.
- **Trust.** Where it says *after trust*, a project's file has no effect until you trust the project (`mohist trust`). Trust is
  bound to the repository's place and to what its file would put in force; when that changes, you are asked again.
  Where it says *nothing*, a project's file is not heard.

An unknown key is an error that names the nearest one. `mohist config explain` shows each value, where it comes from, and
who else had something to say. A key for a model is never put in a file: the file names the variable that holds it.
"""

_EXAMPLE = """\
## Example

```toml
model = "office/qwen3-coder"
mode = "edit"
max_cost_usd = 2.5
checks = ["python -m pytest -q"]

[limits]
output_tokens = 6000

[endpoints.office]
url = "https://models.example.com/v1"
dialect = "openai-chat"
key_env = "OFFICE_MODEL_KEY"
context_tokens = 131072

[endpoints.office.price]
input = 0.4
cache_read = 0.04
output = 1.6
```
"""

_ENDPOINT = """\
An endpoint of your own; called `NAME` or `NAME/MODEL`. Named like a provider of the catalogue it is another way to that
provider, and what it leaves out is the provider's. A project may say these after trust.
"""

_GUARD = """\
What is looked for in calls, and what happens to it: [guard.md](guard.md). A project may tighten `mode`, `preset`, `on_failure`
and `answers`, and has no say in the other keys. Variable of `mode`: `MOHIST_GUARD_MODE`.
"""

_RULES = """\
The managed file's rules come first, then the user's, then the preset's; the first that fits decides. A project's are asked
beside them, and the stricter word counts.
"""

_MAY = {keys.TIGHTEN: "tighten", keys.TRUST: "after trust", keys.OWNER: "nothing"}


def configuration_manual() -> str:
    """The page as Markdown."""
    parts = [_HEAD, "## Keys\n", _table(setting.SettingFile, top=True)]
    parts += ["## `[limits]`\n", "A project may say these after trust.\n", _table(setting.LimitsTable)]
    parts += [
        "## `[endpoints.NAME]`\n",
        _ENDPOINT,
        _table(setting.EndpointTable),
        "## `[endpoints.NAME.price]`\n",
        "US dollars per million tokens. What is left out is unknown, never free.\n",
        _table(setting.PriceTable),
        "## `[server]`\n",
        "A project has no say in these: a repository must not send the calls of a run elsewhere.\n",
        _table(setting.ServerTable),
        "## `[gateway]`\n",
        "A project has no say in these. The order is that of all keys: the managed file, the variable, the user's file.\n",
        _table(setting.GatewayTable),
        "## `[guard]`\n",
        _GUARD,
        _table(guard_table.GuardTable),
        "## `[[guard.rules]]`\n",
        _RULES,
        _table(guard_table.GuardRuleTable),
        "## `[ledger]`\n",
        "The evidence of what happened: [ledger.md](ledger.md). A project has no say in these.\n",
        _table(ledger_table.LedgerTable),
        _EXAMPLE,
    ]
    return "\n".join(parts)


def provider_table(table: Catalogue) -> str:
    """The providers of the catalogue as a Markdown table."""
    rows = [["name", "provider", "key", "wire format", "default model"], ["---"] * 5]
    for entry in table.providers():
        model = table.default_model(entry.name)
        keys = " or ".join(f"`{name}`" for name in entry.key_env)
        named = f"`{model.name}`" if model else "any, by name"
        rows.append([f"`{entry.name}`", entry.title, keys, ", ".join(entry.urls), named])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _table(model: type[BaseModel], *, top: bool = False) -> str:
    head = ["key", "type", "default", *(["variable", "a project may"] if top else []), "meaning"]
    rows = [head, ["---"] * len(head)]
    defaults: Mapping[str, Any] = setting.SettingFile.model_validate({}).model_dump() if top else {}
    for name, field in model.model_fields.items():
        if not field.description:
            continue
        default = defaults.get(name) if top else _default(field)
        row = [f"`{name}`", _type(field.annotation), _shown(field, default)]
        if top:
            variable = keys.KEYS[name].variable
            row += [f"`{variable}`" if variable else "", _MAY[keys.guard(name)]]
        rows.append([*row, field.description])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})


def _shown(field: FieldInfo, default: Any) -> str:
    if field.is_required():
        return "*needed*"
    if default is None:
        return ""
    if isinstance(default, str):
        return f'`"{default}"`'
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default else ""


def _type(annotation: Any) -> str:
    """In words of TOML."""
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in get_args(annotation))
    words = {str: "text", int: "integer", float: "number", bool: "true or false"}
    if annotation in words:
        return words[annotation]
    inner = [arg for arg in get_args(annotation) if arg is not type(None)]
    origin = get_origin(annotation)
    if origin is list:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return "table of text"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return _type(inner[0])
