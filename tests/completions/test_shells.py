"""The completion scripts in the shells themselves: what is typed, a TAB, and what the shell then calls `aura` with."""

import re
import shutil
from pathlib import Path

import pytest

from aura_cli.completions.scripts import SHELLS
from tests.parts.completions import FOLDER
from tests.parts.terminal import on_a_terminal

CASES = {  # typed before the TAB → what it becomes
    "db stat": "db status",
    "serve-w": "serve-webhooks",
    "--json integrations prov": "--json integrations providers",
    "integrations connect trel": "integrations connect trello",
    "integrations list --provider trel": "integrations list --provider trello",
    "email send wel": "email send welcome",
    "webhooks endpoints ena": "webhooks endpoints enable",
    "users list --form": "users list --format",
    "users list --format cs": "users list --format csv",
    "db check --js": "db check --json",
    "--env stag": "--env staging",
    "db status --env stag": "db status --env staging",
    "apply plan-": "apply plan-of-a-night.jsonl",
    "subscriptions reconcile --save-plan plan-": "subscriptions reconcile --save-plan plan-of-a-night.jsonl",
}
START = {  # a prompt to wait for, and an `aura` that says what it was called with
    "bash": "PS1='READY> '; bind 'set enable-bracketed-paste off'; aura() { echo \"CALLED:$*:\"; }; . {script}",
    "zsh": "fpath=({folder} $fpath); autoload -U compinit; compinit -u -D; aura() { echo \"CALLED:$*:\" }; PS1='READY> '",
    "fish": "function aura; echo \"CALLED:$argv:\"; end; source {script}; function fish_prompt; echo -n 'READY> '; end",
}
OPTIONS = {"bash": ["--noprofile", "--rcfile", ".zshrc", "-i"], "zsh": ["-d", "-i"], "fish": ["--no-config", "-i", "-C", "source .zshrc"]}


@pytest.fixture(params=list(START))
def shell(request: pytest.FixtureRequest) -> str:
    """One of the shells that are installed here."""
    name: str = request.param
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed (apt: {name})")
    return name


def typed(shell: str, lines: list[str], folder: Path) -> list[str]:
    """What an interactive shell calls `aura` with, for each line and a TAB. No program but ls, which fish asks for files, is in reach."""
    program, ls = shutil.which(shell), shutil.which("ls")
    assert program
    assert ls
    (folder / "bin").mkdir()
    (folder / "bin" / "ls").symlink_to(ls)
    env = {"PATH": str(folder / "bin"), "HOME": str(folder), "TERM": "xterm", "LANG": "C.UTF-8", "COLUMNS": "200", "LINES": "50"}
    (folder / ".zshrc").write_text(
        START[shell].replace("{script}", str(FOLDER / SHELLS[shell].file)).replace("{folder}", str(FOLDER)) + "\n"
    )
    dialogue = [*[("READY> ", f"aura {line}\t\r") for line in lines], ("READY> ", "exit\r")]
    _, shown = on_a_terminal([program, *OPTIONS[shell]], env, folder, dialogue=dialogue, timeout=120)
    return [found.strip() for found in re.findall(r"CALLED:([^:$]*):", shown)]


def test_a_tab_completes_in_the_real_shell(shell: str, tmp_path: Path) -> None:
    """Commands, options before and after the verb, choices, providers, templates and files, without a Python in reach."""
    (tmp_path / "plan-of-a-night.jsonl").touch()
    found = typed(shell, list(CASES), tmp_path)
    assert found == list(CASES.values())


def test_powershell_knows_every_command() -> None:
    """No PowerShell runs in the tests: its script is at least whole, registered for `aura`, and names every command, provider and job."""
    text = (FOLDER / SHELLS["powershell"].file).read_text(encoding="utf-8")
    assert "Register-ArgumentCompleter" in text
    code = re.sub(r"^\s*#.*$|'(?:[^'\n]|'')*'|\"[^\"\n]*\"", "", text, flags=re.MULTILINE)  # without comments and strings
    assert all(code.count(opening) == code.count(closing) for opening, closing in ("{}", "()", "[]"))
    for word in ("serve-webhooks", "reconcile", "trello", "welcome", "refresh-tokens", "--dry-run", "staging"):
        assert f"'{word}'" in text, word
