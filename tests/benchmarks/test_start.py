"""How long the program takes to begin, against an interpreter that does nothing and against the smallest Typer program.

The list of providers reads an index and nothing else, so it stands here too.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.figures import Figure, interleaved, show
from tests.parts.program import REPOSITORY
from tests.parts.terminal import on_a_terminal

ROUNDS = 21
GROUPS = ("users", "subscriptions", "integrations", "db")
HELLO = '''import typer

app = typer.Typer()


@app.command()
def hello(name: str = "you") -> None:
    """Say hello."""
    typer.echo(name)


app()
'''


def test_starting(tmp_path: Path) -> None:
    """`--version` against `python -c pass`, and the helps against the help of a one-command Typer program."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path), "TERM": "dumb"}
    hello = tmp_path / "hello.py"
    hello.write_text(HELLO)
    script = Path(sys.executable).with_name("aura")
    providers = [sys.executable, "-m", "aura_cli", "integrations", "providers"]
    module = [sys.executable, "-m", "aura_cli"]

    def running(*command: object) -> Callable[[], object]:
        words = [str(word) for word in command]
        return lambda: subprocess.run(words, env=env, check=True, capture_output=True)

    works = {
        "pass": running(sys.executable, "-c", "pass"),
        "hello": running(sys.executable, hello, "--help"),
        "hello runs": running(sys.executable, hello),
        "aura integrations providers": running(*providers),
        "aura integrations providers (table)": lambda: on_a_terminal(providers, {**env, "COLUMNS": "120"}, tmp_path),
        "aura --version": running(*module, "--version"),
        "aura --help": running(*module, "--help"),
        **{f"aura {group} --help": running(*module, group, "--help") for group in GROUPS},
    }
    if script.exists():
        works |= {"aura --version (script)": running(script, "--version"), "aura --help (script)": running(script, "--help")}
    for start in works.values():
        start()  # compiles what was not compiled yet
    middle = interleaved(works, ROUNDS)

    def figure(work: str, limit: str, named: str, hold: str) -> Figure:
        return Figure(work, f"{named} {middle[limit] * 1000:.0f} ms", f"{middle[work] * 1000:.0f} ms", middle[work] / middle[limit], hold)

    found = []
    for work in [name for name in works if name.startswith("aura")]:
        if "--version" in work:
            found.append(figure(work, "pass", "python -c pass", "≤1.5"))
        elif "providers" in work:
            found.append(figure(work, "hello runs", "Typer program that runs", "≤2" if "table" in work else "≤1.5"))
        else:
            found.append(figure(work, "hello", "Typer program's help", "≤1.1" if work.startswith("aura --help") else "≤1.3"))
    show(*found)
