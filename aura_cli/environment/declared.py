"""Secrets that a file of settings sets, whether or not anybody reads it here: by their names, where `tracked` goes by values."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from aura_cli import dotenv
from aura_cli.environment.variables import is_placeholder, wrong_with
from aura_cli.settings import is_secret, secret_parts

_SAMPLES = {"example", "sample", "template", "dist"}
_LEFT_OPEN = re.compile(
    r"[\s{}]*|(?:\$\{\w+(?::?-)?\}|\$[A-Z_][A-Z0-9_]*)+"  # nothing; what another variable says
    r"|(?i:(?:(?:your|my|db|database)[-_]?)?(?:pass|password|pwd))"
)
_LIVE = re.compile(r"[sr]k_live_(?!.*(?:x{4}|your|example|replace|placeholder))", re.IGNORECASE)
_RUN = re.compile(r"[A-Za-z0-9]{16,}")
_TYPED = re.compile(r"1234|abcd|x{4}|example|placeholder", re.IGNORECASE)
_VARIED = 10  # different characters, at least, of a run that nobody typed


def is_file_of_settings(file: str) -> bool:
    return PurePosixPath(file).name.startswith(".env")


def declared(file: str, text: str) -> Iterator[tuple[str, int]]:
    """The secrets that a file's `text` sets to more than a placeholder: name and line (from 1).

    Files that show what there is to set (`.env.example`) hold values of many looks: there only what can be a real one counts.
    """
    is_sample = not _SAMPLES.isdisjoint(re.split(r"[._-]", PurePosixPath(file).name))
    for name, value, line in dotenv.entries(text):
        found = [one for one in _secrets(name, value) if not is_placeholder(one) and not _LEFT_OPEN.fullmatch(one)]
        if found and (not is_sample or (wrong_with(name, value) is None and any(map(_looks_real, found)))):
            yield name, line


def _secrets(name: str, value: str) -> list[str]:
    """What is secret about a value; nothing, where it is a database's address without a password."""
    parts = [*secret_parts(name, value)]
    return parts if parts or name == "DATABASE_URL" or not is_secret(name) else [value]


def _looks_real(secret: str) -> bool:
    """Whether it is a key for real money, or has a run of characters as only a machine makes it."""
    return bool(_LIVE.match(secret)) or any(
        len({*run}) >= _VARIED and not run.isalpha() and not run.isdigit() and not _TYPED.search(run) for run in _RUN.findall(secret)
    )
