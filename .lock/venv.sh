#!/bin/sh
# Makes the virtual environment $1 with the interpreter $PYTHON, or says what is missing. One that works is kept.
set -eu
python=${PYTHON:-python3}

say() {
    printf 'make: %s\n' "$1" >&2
    exit 1
}

recent='import sys; sys.exit(sys.version_info < (3, 11))'
if [ -x "$1/bin/python" ] && "$1/bin/python" -c "$recent" && "$1/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi
command -v "$python" >/dev/null || say "there is no '$python' here: install Python 3.11 or newer, or name one with 'make PYTHON=/path/to/python3.11'"
"$python" -c "$recent" ||
    say "$("$python" --version 2>&1) is too old: aura needs Python 3.11 or newer; name one with 'make PYTHON=/path/to/python3.11'"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    say "this Python cannot make virtual environments; on Debian and Ubuntu: apt install $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
"$python" -m venv --clear "$1"
