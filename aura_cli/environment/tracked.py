"""Secrets in files that git tracks: by their values, so that it does not matter under which name they stand there, or under any.

In files of settings by their names as well: what is hidden by a stronger file, or is another environment's, has no value here.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aura_cli.environment.declared import declared, is_file_of_settings
from aura_cli.settings import Settings

SHORTEST, LONG, LONGEST_WORD = 6, 8, 15  # characters: of what is looked for, of what is looked for inside of words, too, of what is one
LARGEST = 32 << 20  # bytes of a file worth looking into
_GIT_SECONDS = 30


@dataclass(frozen=True)
class Exposed:
    """The value of `name` stands in `file` (from the repository's root), in `line` (from 1)."""

    name: str
    file: str
    line: int


@dataclass(frozen=True)
class Search:
    """What was found in how many files of the repository at `root`; None: there is none, or no git, and nothing was looked at.

    `unignored` are files with settings in them that git would take in with the next `git add .`.
    """

    root: str | None
    files: int = 0
    exposed: tuple[Exposed, ...] = ()
    unignored: tuple[str, ...] = ()


def search(settings: Settings, cwd: Path) -> Search:
    """Look for every secret in every file that git tracks around `cwd`, as it lies there now; history is not looked at."""
    top = _git(cwd, "rev-parse", "--show-toplevel")
    if not top:
        return Search(None)
    root = Path(top[0].rstrip("\n"))
    names = [name for name in "".join(_git(root, "ls-files", "-z")).split("\0") if name]
    secrets = wanted(settings)
    found = {(one.file, one.line, one.name): one for name in names for one in _in_file(root, name, secrets)}
    return Search(str(root), len(names), tuple(found[key] for key in sorted(found)), tuple(_unignored(settings, root, set(names))))


def wanted(settings: Settings) -> dict[bytes, str]:
    """What to look for, with the name of the variable; parts of values too. A word that anybody would write is not looked for."""
    return {text.encode(errors="surrogatepass"): name for name, text in settings.named_secrets() if _is_telling(text)}


def _is_telling(text: str) -> bool:
    """Whether a text stands nowhere by chance: no word in small letters, and where it is short no word or number at all."""
    if len(text) < LONG:
        return len(text) >= SHORTEST and not text.isalpha() and not text.isdigit()
    return len(text) > LONGEST_WORD or not (text.isalpha() and text.islower())


def _in_file(root: Path, name: str, secrets: dict[bytes, str]) -> Iterator[Exposed]:
    path = root / name
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            return
        content = path.read_bytes()
    except OSError:
        return
    if is_file_of_settings(name):
        yield from (Exposed(variable, name, line) for variable, line in declared(name, content.decode(errors="replace")))
    for secret, variable in secrets.items():
        place = content.find(secret)
        while place >= 0:
            end = place + len(secret)
            if len(secret) >= LONG or not (content[place - 1 : place].isalnum() or content[end : end + 1].isalnum()):
                yield Exposed(variable, name, content.count(b"\n", 0, place) + 1)
            place = content.find(secret, end)


def _unignored(settings: Settings, root: Path, tracked: set[str]) -> Iterator[str]:
    for looked_in in settings.looked_in:
        path = Path(looked_in)
        if not path.is_file() or not path.is_relative_to(root):
            continue
        name = path.relative_to(root).as_posix()
        if name not in tracked and _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", name):
            yield name


def is_safe_from_git(path: Path) -> bool:
    """Whether no `git add .` takes this file in: git ignores it, or there is no repository around it."""
    place = path.resolve()
    inside = place.parent.is_dir() and _git(place.parent, "rev-parse", "--show-toplevel")
    return not inside or bool(_git(place.parent, "check-ignore", "--", place.name))


def _git(folder: Path, *words: str) -> list[str]:
    """What git says, or nothing where it cannot: no secret is among the words, which others on this machine may see."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=_GIT_SECONDS, check=False)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired):
        return []
    text = done.stdout.decode(errors="surrogateescape")
    return [text] if done.returncode == 0 and text else []
