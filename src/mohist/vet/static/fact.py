"""Facts of the machine and its user that a program reads, by the names of what it reads them with.

A name in a program shows that it may be read, not that it is, nor what becomes of it: the step that runs the program says that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from mohist.vet.finding import Certainty, Severity
from mohist.vet.static.text import Language, Text

_AROUND_BYTES = 120
_TOOL = re.compile(
    r"claude|codex|gemini|qwen|cursor|windsurf|aider|opencode|copilot|continue|kiro|trae|qoder|roo|cline"
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One kind of fact."""

    name: str
    """ "time-zone"; the rule's id is "static/reads-time-zone"."""
    title: str
    severity: Severity
    certainty: Certainty
    calls: tuple[tuple[bytes, str], ...] = ()
    """What stands in programs: a word to find, and the expression around it that must fit (empty: none)."""
    names: tuple[tuple[bytes, str], ...] = ()
    """The same for files and variables, whose names stand in native programs as well."""


def _plain(*words: bytes) -> tuple[tuple[bytes, str], ...]:
    return tuple((word, "") for word in words)


_QUOTE = r"""["'`]"""

FACTS: tuple[Fact, ...] = (
    Fact(
        "time-zone", "Reads the time zone", "info", "likely",
        calls=(
            (b"resolvedOptions", r"resolvedOptions\(\)\s*(?:\?\.|\.)\s*timeZone\b|timeZone\s*:\s*[\w$]+\s*\}\s*=[^;]{0,60}resolvedOptions"),
            (b"getTimezoneOffset", r"\.getTimezoneOffset\("),
            (b".env.TZ", r"\.env\.TZ\b"),
            (b"time.tzname", ""), (b"tzlocal", r"\bget_localzone|\bimport tzlocal|from tzlocal|tzlocal\(\)"),
            (b"astimezone(", r"astimezone\(\s*\)"),
            (b"Get-TimeZone", ""),
        ),
        names=((b"/etc/localtime", ""), (b"/etc/timezone", "")),
    ),
    Fact(
        "locale", "Reads the language or region settings", "info", "likely",
        calls=(
            (b"resolvedOptions", r"resolvedOptions\(\)\s*(?:\?\.|\.)\s*locale\b"),
            (b".env.L", r"\.env\.(?:LANG|LC_ALL|LC_CTYPE|LC_MESSAGES|LANGUAGE)\b"),
            (b"getdefaultlocale", ""), (b"locale.getlocale", ""), (b"navigator.language", ""),
            (b"AppleLocale", ""), (b"Get-Culture", ""),
        ),
    ),
    Fact(
        "host-name", "Reads the machine's name", "info", "likely",
        calls=(
            (b".hostname(", r"\.hostname\(\s*\)"), (b"gethostname", ""), (b"platform.node(", ""), (b"getfqdn", ""),
            (b".env.", r"\.env\.(?:COMPUTERNAME|HOSTNAME)\b"), (b"getenv(", r"getenv\(\s*['\"](?:COMPUTERNAME|HOSTNAME)['\"]"),
        ),
        names=((b"/etc/hostname", ""),),
    ),
    Fact(
        "endpoint", "Looks at the host of the model endpoint that is configured", "info", "likely",
        calls=(
            (b"BASE_URL", r"new URL\([^)]{0,80}BASE_URL[^)]{0,40}\)\s*(?:\?\.|\.)\s*host|urlparse\([^)]{0,80}BASE_URL"),
            (b"_API_BASE", r"new URL\([^)]{0,80}_API_BASE[^)]{0,40}\)\s*(?:\?\.|\.)\s*host|urlparse\([^)]{0,80}_API_BASE"),
            (b"baseURL", r"new URL\([^)]{0,60}baseURL[^)]{0,20}\)\s*(?:\?\.|\.)\s*host"),
        ),
    ),
    Fact(
        "proxy", "Reads proxy settings", "info", "likely",
        names=(
            (b"HTTP_PROXY", ""), (b"HTTPS_PROXY", ""), (b"ALL_PROXY", ""), (b"NO_PROXY", ""), (b"https_proxy", ""),
        ),
    ),
    Fact(
        "user", "Reads who the user is", "info", "likely",
        calls=(
            (b"userInfo(", r"\.userInfo\("), (b"getpass.getuser", ""), (b"os.getlogin", ""),
            (b".env.", r"\.env\.(?:USER|USERNAME|LOGNAME)\b"), (b"pwd.getpwuid", ""),
            (b"user.email", r"(?:config|get)[^;\n]{0,40}user\.email"),
        ),
    ),
    Fact(
        "git", "Reads the remotes of a git repository", "info", "likely",
        calls=(
            (b"get-url", rf"{_QUOTE}?get-url{_QUOTE}?"),
            (b"remote", rf"git remote (?:-v|show|get-url)|{_QUOTE}remote{_QUOTE}\s*,\s*{_QUOTE}(?:-v|get-url|show)|remotes?\[?\.origin"),
            (b"remote.origin.url", ""),
        ),
    ),
    Fact(
        "machine", "Reads what identifies the machine", "low", "likely",
        calls=(
            (b"networkInterfaces(", r"\.networkInterfaces\("), (b"uuid.getnode", ""), (b"machineId", r"machineId(?:Sync)?\("),
            (b"wmic", r"wmic (?:csproduct|bios|diskdrive|baseboard)"),
        ),
        names=(
            (b"/etc/machine-id", ""), (b"dbus/machine-id", ""), (b"IOPlatformUUID", ""), (b"IOPlatformSerialNumber", ""),
            (b"MachineGuid", ""), (b"/sys/class/dmi", ""), (b"product_uuid", ""),
        ),
    ),
    Fact(
        "ci", "Asks whether it runs in continuous integration", "info", "likely",
        calls=((b".env.CI", r"\.env\.CI\b"), (b"environ", r"environ(?:\.get\(|\[)\s*['\"]CI['\"]")),
        names=((b"GITHUB_ACTIONS", ""), (b"GITLAB_CI", ""), (b"JENKINS_URL", ""), (b"CIRCLECI", ""), (b"BUILDKITE", "")),
    ),
    Fact(
        "container", "Asks whether it runs in a container or under a debugger", "info", "likely",
        calls=((b"inspector", r"inspector\.url\(\)"),),
        names=((b"/.dockerenv", ""), (b"/run/.containerenv", ""), (b"/proc/1/cgroup", ""), (b"TracerPid", ""), (b"IsDebuggerPresent", r"\bIsDebuggerPresent\b")),
    ),
    Fact(
        "credentials", "Names files or variables that hold credentials of other tools", "low", "possible",
        names=(
            (b".aws/credentials", ""), (b"AWS_SECRET_ACCESS_KEY", ""), (b"AWS_SHARED_CREDENTIALS_FILE", ""),
            (b".ssh", r"[/~]\.ssh/|" + _QUOTE + r"\.ssh" + _QUOTE), (b"id_rsa", ""), (b"id_ed25519", ""), (b".netrc", r"[/\"'`_]\.?netrc\b"),
            (b".npmrc", ""), (b".pypirc", ""), (b".git-credentials", ""), (b".docker", r"\.docker[/\\\"'`, ]{1,6}config\.json"),
            (b".kube", r"\.kube[/\\\"'`, ]{1,6}config"), (b"application_default_credentials", ""),
            (b".config/gh", ""), (b".gnupg", ""), (b".azure", r"[/\"'`]\.azure\b"), (b"Login Data", ""), (b"cookies.sqlite", ""),
        ),
    ),
    Fact(
        "assistants", "Names settings or credentials of other coding tools", "low", "possible",
        names=(
            (b".claude", r"[/\"'`\\~]\.claude(?:\.json|[/\\\"'`])"), (b".codex", r"[/\"'`\\~]\.codex(?:[/\\\"'`])"),
            (b".gemini", r"[/\"'`\\~]\.gemini(?:[/\\\"'`])"), (b".qwen", r"[/\"'`\\~]\.qwen(?:[/\\\"'`])"),
            (b".cursor", r"[/\"'`\\~]\.cursor(?:[/\\\"'`])"), (b".windsurf", r"[/\"'`\\~]\.windsurf|\.codeium[/\\]windsurf"),
            (b".aider", r"[/\"'`\\~]\.aider(?:\.conf|[/\\\"'`])"), (b"opencode", r"\.config[/\\]opencode|[/\"'`\\~]\.opencode(?:[/\\\"'`])"),
            (b"copilot", r"\.config[/\\]github-copilot|[/\"'`\\~]\.copilot(?:[/\\\"'`])"), (b".continue", r"[/\"'`\\~]\.continue[/\\]"),
            (b".kiro", r"[/\"'`\\~]\.kiro(?:[/\\\"'`])"), (b".trae", r"[/\"'`\\~]\.trae(?:[/\\\"'`])"), (b".qoder", r"[/\"'`\\~]\.qoder(?:[/\\\"'`])"),
            (b".roo", r"[/\"'`\\~]\.roo(?:[/\\\"'`])"), (b".cline", r"[/\"'`\\~]\.cline(?:rules)?(?:[/\\\"'`])"),
        ),
    ),
    Fact(
        "keychain", "Names the system's store of passwords", "low", "possible",
        calls=((b"keytar", r"require\(\s*['\"]keytar|from\s*['\"]keytar"), (b"keyring.get_password", ""), (b"import keyring", "")),
        names=(
            (b"find-generic-password", ""), (b"find-internet-password", ""), (b"secret-tool", r"\bsecret-tool\b"),
            (b"org.freedesktop.secrets", ""), (b"SecKeychain", ""), (b"SecItemCopyMatching", ""), (b"CredReadW", ""),
        ),
    ),
    Fact(
        "history", "Names files of the shell's history", "low", "possible",
        names=((b".bash_history", ""), (b".zsh_history", ""), (b"fish_history", ""), (b"ConsoleHost_history", "")),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Read:
    """One place where a fact is read, or may be."""

    fact: Fact
    start: int
    end: int
    word: str
    """What was found: "/etc/machine-id"."""


def reads(text: Text) -> Iterator[Read]:
    """Every place in a program that names what a fact is read with; nothing in prose and data."""
    if text.language in ("prose", "data"):
        return
    data = text.data
    for fact, word, expression in _searches(text.language):
        at = data.find(word)
        while at >= 0:
            end = at + len(word)
            if expression is None:
                yield Read(fact, at, end, word.decode("ascii"))
            else:
                match = expression.search(data, max(at - _AROUND_BYTES, 0), end + _AROUND_BYTES)
                if match is not None and match.start() <= end and match.end() >= at:
                    yield Read(fact, match.start(), match.end(), match[0][:60].decode("ascii", "replace"))
                    end = max(end, match.end())
            at = data.find(word, end)


def tools(word: str) -> tuple[str, ...]:
    """The coding tools that a path's name speaks of, in lower case."""
    return tuple(match[0] for match in _TOOL.finditer(word.lower()))


@cache
def _searches(language: Language) -> tuple[tuple[Fact, bytes, re.Pattern[bytes] | None], ...]:
    return tuple(
        (fact, word, re.compile(expression.encode("ascii")) if expression else None)
        for fact in FACTS
        for word, expression in ((*fact.names, *fact.calls) if language != "native" else fact.names)
    )
