"""The README says what the program does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from aura_cli.app import COMMANDS
from tests.integrations.connecting import Waiting, consent, visit
from tests.parts.program import Aura
from tests.parts.reference import README, written
from tests.parts.service import program


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


def test_what_runs_in_the_sandbox(aura: Aura, tmp_path: Path) -> None:
    """Line for line, in the order of the README, and each ends as it says: with 0, or as behind `exit`. One asks for a consent."""
    program("curl", "curl")
    blocks = re.findall(r"<!-- runs in the sandbox -->\n```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    with aura.start("sandbox", "--json") as sandbox:
        assert sandbox.stdout
        env = {**aura.environment, **json.loads(sandbox.stdout.readline())["env"]}
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        for line in (line.replace("/tmp/", f"{tmp_path}/") for block in blocks for line in block.splitlines() if line != "exit"):
            command = ["bash", "-c", f"set -o pipefail; {line}"]
            pipe = subprocess.PIPE
            with subprocess.Popen(
                command, env=env, cwd=aura.work, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
            ) as process:
                if " connect " in line:
                    visit(consent(Waiting(process).listen().url))
                out, err = process.communicate(timeout=60)
            told = re.search(r"#.*\bexit (\d)", line)
            assert process.returncode == (int(told[1]) if told else 0), (line, out, err)
            assert out, line
        sandbox.terminate()


def test_every_path_in_the_readme_exists() -> None:
    """The folders and files that the README names are there."""
    text = README.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:aura_cli|tests|migrations|\.lock|\.ci)[\w/.-]*)`", text):
        assert (Path(README).parent / path).exists(), path


GROUPS = {name for name, (place, _) in COMMANDS.items() if place.endswith(":app")}
GLOBAL = {"--json", "--yes", "--dry-run", "--env", "--env-file", "--quiet", "--debug"}
