# Sourced by ./mohist and the scripts beside this file, with $root set to the checkout.
# find_environment KIND (runtime or dev) sets $env_python to a Python that has exactly what requirements/KIND.txt
# locks. A warm call starts no Python: it compares the lock with the copy that the environment was made from.

say() {
    printf 'mohist: %s\n' "$*" >&2
}

# The folder for environments when the checkout can't be written; the same rule as mohist.base.StatePaths.
state_folder() {
    if [ -n "${MOHIST_HOME:-}" ]; then
        printf '%s\n' "$MOHIST_HOME"
    elif [ "$os" = Darwin ]; then
        printf '%s\n' "${HOME:-}/Library/Application Support/mohist"
    else
        printf '%s\n' "${XDG_STATE_HOME:-${HOME:-}/.local/state}/mohist"
    fi
}

# Is there a finished environment for this lock in folder $1? Sets $env_python.
is_warm() {
    [ -r "$1/$pointer" ] || return 1
    { IFS= read -r name && IFS= read -r asked_python; } <"$1/$pointer" || return 1
    [ -z "${MOHIST_PYTHON:-}" ] || [ "$MOHIST_PYTHON" = "$asked_python" ] || return 1
    env_python=$1/$name/bin/python
    [ -x "$env_python" ] && cmp -s "$lock" "$1/$name/lock.txt"
}

# Sets $base_python to the first CPython that the lock holds for (3.11 to 3.14), or ends with one line that says what to do.
find_python() {
    rejected=
    if [ -n "${MOHIST_PYTHON:-}" ]; then
        is_fitting "$MOHIST_PYTHON" && return
    else
        for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
            is_fitting "$candidate" && return
        done
        if command -v uv >/dev/null 2>&1; then
            candidate=$(uv python find --no-python-downloads '>=3.11,<3.15' 2>/dev/null) && is_fitting "$candidate" && return
        fi
    fi
    say "needs Python 3.11 to 3.14, found ${rejected:-none}. Install one (Debian, Ubuntu: apt install python3;" \
        "macOS: brew install python), or set MOHIST_PYTHON to the path of one."
    exit 2
}

is_fitting() {
    command -v "$1" >/dev/null 2>&1 || return 1
    if "$1" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14) or sys.implementation.name != "cpython")' 2>/dev/null; then
        base_python=$1
        return 0
    fi
    # A version manager's shim for a Python that is not there answers nothing: not worth a mention.
    version=$("$1" --version 2>/dev/null) && rejected=${rejected:+$rejected, }"$version ($1)"
    return 1
}

find_environment() {
    kind=$1
    lock=$root/requirements/$kind.txt
    # The machine's kind is part of the name: a checkout may be mounted on two kinds at once.
    set -- $(uname -sm)
    os=$1
    pointer=$kind-$1-$2
    is_warm "$root/.mohist-env" && return
    if [ -w "$root/.mohist-env" ] || { [ ! -e "$root/.mohist-env" ] && [ -w "$root" ]; }; then
        environments=$root/.mohist-env
    else
        set -- $(printf '%s' "$root" | cksum)
        environments=$(state_folder)/environments/$1
        is_warm "$environments" && return
    fi
    find_python
    env_python=$("$base_python" -I "$root/scripts/environment.py" "$kind" "$lock" "$environments" "$pointer") || exit $?
}
