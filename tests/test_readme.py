"""The README says what the program does."""

import re
from pathlib import Path

from aura_cli.app import COMMANDS
from tests.parts.program import Aura
from tests.parts.reference import README, written


def test_the_generated_sections_are_what_the_program_says() -> None:
    """Commands, exit codes and settings stand in the README as the program has them; `make docs` writes them."""
    text = README.read_text(encoding="utf-8")
    assert written(text) == text


def test_every_command_in_the_readme_exists(aura: Aura) -> None:
    """A command line that a reader would copy out of a shell block is one that the program knows."""
    shells = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    lines = {line for block in shells for line in re.findall(r"^(?:\.venv/bin/)?aura ([a-z][^#\n|>&;]*)", block, re.MULTILINE)}
    assert lines
    for line in sorted(lines):
        words = line.split(" -- ")[0].split()
        nouns = words[: 2 if len(words) > 1 and re.fullmatch(r"[a-z-]+", words[1]) and words[0] in GROUPS else 1]
        done = aura(*nouns, "--help")
        assert done.exit == 0, line
        for option in (word for word in words if word.startswith("--") and word not in GLOBAL):
            assert option.partition("=")[0] in done.out, line


def test_every_path_in_the_readme_exists() -> None:
    """The folders and files that the README names are there."""
    text = README.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:aura_cli|tests|migrations|\.lock|\.ci)[\w/.-]*)`", text):
        assert (Path(README).parent / path).exists(), path


GROUPS = {name for name, (place, _) in COMMANDS.items() if place.endswith(":app")}
GLOBAL = {"--json", "--yes", "--dry-run", "--env", "--env-file", "--quiet", "--debug"}
