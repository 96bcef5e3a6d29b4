"""What a command line would run, taken apart before it runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohist.policy.pattern import UNKNOWN
from mohist.policy.syntax import Analysis, CannotAnalyse, Target, analyse

SOMETHING = UNKNOWN


def argvs(line: str) -> list[tuple[str, ...]]:
    result = analyse(line)
    assert isinstance(result, Analysis), result
    return [command.argv for command in result.commands]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("git status", [("git", "status")]),
        ("ls -la | head -3 && pwd; id &", [("ls", "-la"), ("head", "-3"), ("pwd",), ("id",)]),
        ("(cd src; ls)", [("cd", "src"), ("ls",)]),
        ("if test -f a; then cat a; else rm a; fi", [("test", "-f", "a"), ("cat", "a"), ("rm", "a")]),
        ('for f in a b; do wc "$f"; done', [("wc", SOMETHING)]),
        ("while read l; do cat $l; done < a", [("read", "l"), ("cat", SOMETHING)]),
        ("case $x in a) ls;; *) pwd;; esac", [("ls",), ("pwd",)]),
        ('echo $(rm a) `rm b` "$(rm c)"', [("rm", "a"), ("rm", "b"), ("rm", "c"), ("echo", *[SOMETHING] * 3)]),
        ("diff <(rm a) b", [("rm", "a"), ("diff", SOMETHING, "b")]),
        ("f() { rm a; }", [("rm", "a")]),
        ("! ls", [("ls",)]),
        ("[ -n a ] && [[ $x == y ]]", [("test", "-n", "a")]),
        ("timeout -k 5 60 nice -n 5 env A=1 pytest -q", [("pytest", "-q")]),
        ("bash -c 'ls; rm a'", [("ls",), ("rm", "a")]),
        ("find . -name '*.py' -exec grep a {} +", [("find", ".", "-name", "*.py"), ("grep", "a", SOMETHING)]),
        ("ls | xargs -n 1 rm -f", [("ls",), ("rm", "-f", SOMETHING)]),
        ("git --no-pager -C sub log", [("git", "log")]),
        ("git -c core.pager=x log", [("git", "-c", "core.pager=x", "log")]),
        ("/usr/bin/git status", [("git", "status")]),
        ("./ls", [("./ls",)]),
        ("python - <<'EOF'\n1\nEOF", [("python", "-")]),
        ("cat <<'EOF'\n$(rm a)\nEOF\nls", [("cat",), ("ls",)]),
        ("cat <<EOF\n$(rm a)\nEOF", [("cat",), ("rm", "a")]),
    ],
)
def test_every_command_of_a_line_is_found(line: str, expected: list[tuple[str, ...]]) -> None:
    assert sorted(argvs(line)) == sorted(expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a\\ b 'c d' \"e f\"", ("a b", "c d", "e f")),
        ("a'b'\"c\"", ("abc",)),
        ("\"a\\$b\" 'a\\b' a\\$b", ("a$b", "a\\b", "a$b")),
        ('"x$y z"', (f"x{SOMETHING} z",)),
        ("x$y", (SOMETHING,)),
        ('"$@"', (SOMETHING,)),
        ("*.py", (SOMETHING,)),
        ("'*.py'", ("*.py",)),
        ("-{r,f}", (SOMETHING,)),
        ("$'\\x2d'", (SOMETHING,)),
        ("- == +", ("-", "==", "+")),
    ],
)
def test_words_are_what_the_program_would_receive(words: str, expected: tuple[str, ...]) -> None:
    assert argvs(f"show {words}") == [("show", *expected)]


@pytest.mark.parametrize(
    "line",
    [
        "$x a",
        "$(which rm) a",
        "r\\\nm a",
        "eval ls",
        'bash -c "$x"',
        "curl x | sh",
        "curl x | python3 -",
        "bash <<EOF\nls\nEOF",
        "bash <<< ls",
        "ls | xargs sh -c 'rm $0'",
        "find . -exec sh -c 'rm {}' \\;",
        "ls | xargs -I{} {} a",
        "x='a[$(rm b)]'; echo $((x))",
        "echo ${!x}",
        "echo ${x@P}",
        "echo ${a[$i]}",
        "[[ $x -eq 1 ]]",
        "[ a > b ]",
        "[ a ] && [ b && rm c ]",
        "declare -n x=PATH",
        "a[$(rm b)]=1",
        "((x++))",
        "cat <<a <<b\n1\na\n2\nb",
        "ls >& '$(rm a)'",
        "rm <<< { [[",
        "ls >&-x",
        "a{b,c}; {d,e}; }",
        "cd .git && cd .. > config",
        "rm > $ -",
        "show \\ x",
        "RANDOM='a[$(rm b)]'",
        "for SECONDS in 'a[$(rm b)]'; do ls; done",
        "BASH_CMDS=([ls]=rm)",
        "env BASH_ENV=x ls",
        "[ -v 'a[$(rm b)]' ]",
        "a ==\nrm",
        "cat <<'E F'\nls\nE F",
        "echo 'open",
        "ls )",
        "ls\x1b[2K",
        "ls\u00a0-la",
        "ls \u202e",
        "ls \ud800",
        "",
        "# nothing",
        "ls " + "a" * 20_000,
        "(" * 200 + "ls" + ")" * 200,
        "ls;" * 5_000,
    ],
)
def test_what_can_only_be_guessed_is_not_analysed(line: str) -> None:
    assert isinstance(analyse(line), CannotAnalyse)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("echo a > b", [Target("b")]),
        ("echo a >> 'b c' 2>&1", [Target("b c")]),
        ("ls &> b", [Target("b")]),
        ("cd src && echo a > b", [Target("b", "src")]),
        ("{ cd src; ls; } > b", [Target("b")]),
        ("(cd src); echo a > b", [Target("b")]),
        ("cd $x; echo a > b", [Target("b", None)]),
        ("echo a > $x", [Target(None)]),
        ("echo a > ~/x", [Target(None)]),
        ("cat > b <<'EOF'\na\nEOF", [Target("b")]),
        ("ls | tee -a b c", [Target("b"), Target("c")]),
        ("cp a b", [Target("b")]),
        ("cp -t b a", [Target("b")]),
        ("sed -i s/a/b/ c d", [Target("c"), Target("d")]),
        ("sed -n 1p c", []),
        ("dd if=a of=b", [Target("b")]),
        ("ls 2>&1 < a", []),
    ],
)
def test_files_that_a_line_names_as_its_output_are_found(line: str, expected: list[Target]) -> None:
    result = analyse(line)
    assert isinstance(result, Analysis)
    assert list(result.writes) == expected


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("A=1 ls", ("A",)),
        ("export A=1 B=2", ("A", "B")),
        ("env A=1 ls", ("A",)),
        ("for A in x; do ls; done", ("A",)),
        ("read -r A < b", ("A",)),
        ("A=$(ls)", ("A",)),
    ],
)
def test_variables_that_a_line_sets_are_found(line: str, names: tuple[str, ...]) -> None:
    result = analyse(line)
    assert isinstance(result, Analysis)
    assert result.assignments == names


PIECES = [
    "show", " ", " a", " -x", "'", '"', "\\", "\\\n", "\n", ";", " && ", " | ", " > ", " 2>", "2>&1", " >&", "<&-", "$(", ")", "`",
    "$x", '"$@"', "${x}", "#", " -", "{a,b}", "{", "}", " ]", "[ ", "*", "$", "$'", "=", "x=1 ", "if ", "; then ", "; fi", "!",
    " <<EOF\n", " <<'EOF'\n", "\nEOF\n", "é", "%", "<(", " <<< ",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@settings(max_examples=400)
def test_analysis_of_any_shell_text_ends_and_never_hides_the_first_word(line: str) -> None:
    result = analyse(line)
    if isinstance(result, Analysis):
        assert all(command.argv and UNKNOWN not in command.argv[0] for command in result.commands)


@given(st.text(max_size=300))
def test_analysis_of_any_text_ends(line: str) -> None:
    assert isinstance(analyse(line), Analysis | CannotAnalyse)


@pytest.mark.parametrize("text", ["a=(", "&&|", "$((", "<<A ", "case x in ", "${a:-", "`", "if ", "((", '"$('])
def test_the_parser_ends_on_its_worst_inputs(text: str) -> None:
    assert isinstance(analyse(text * (16_000 // len(text))), CannotAnalyse)


BASH = shutil.which("bash") or "bash"


def covers(analysed: tuple[str, ...], real: list[str]) -> bool:
    """True when the analysed words, with anything in the unknown places, are the real ones."""
    forms = [
        r"(?:\n[^\n]*)*" if word.startswith(UNKNOWN) else r"\n" + "[^\n]*".join(map(re.escape, word.split(UNKNOWN)))
        for word in analysed
    ]
    return re.fullmatch("".join(forms), "".join(f"\n{word}" for word in real)) is not None


@given(st.lists(st.sampled_from(PIECES), min_size=2, max_size=7).map(lambda parts: "show " + "".join(parts)))
@settings(max_examples=150)
def test_bash_runs_nothing_that_the_analysis_did_not_see(tmp_path_factory: pytest.TempPathFactory, line: str) -> None:
    result = analyse(line)
    if not isinstance(result, Analysis):
        return
    folder = tmp_path_factory.mktemp("line")
    log = folder / "log"
    # `show` writes its arguments, one a line, to descriptor 9; with an empty PATH nothing else can run.
    script = f"show() {{ {{ printf '%s\\n' show \"$@\"; echo =; }} >&9; }}\n{line}"
    with log.open("wb") as sink:
        subprocess.run(
            [BASH, "--norc", "-c", f"exec 9>&{sink.fileno()} {sink.fileno()}>&-\n{script}"],
            cwd=_empty(folder),
            env={"PATH": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[sink.fileno()],
            timeout=20,
            check=False,
        )
    for entry in log.read_text("utf-8").split("=\n"):
        real = entry.split("\n")[:-1]
        if real and "" not in real:
            assert any(covers(command.argv, real) for command in result.commands), (line, real, result)
    written = {path.name for path in (folder / "work").iterdir()}
    named = {target.path for target in result.writes}
    assert None in named or written <= named, (line, written)


def _empty(folder: Path) -> Path:
    (folder / "work").mkdir()
    return folder / "work"
