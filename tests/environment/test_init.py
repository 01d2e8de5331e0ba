"""`aura init`: asks, merges into what is there, keeps comments, and writes for its owner alone."""

import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from aura_cli.dotenv import expand, parse
from aura_cli.environment.variables import VARIABLES
from tests.environment.complete import COMPLETE, dotenv_of
from tests.parts.program import Aura
from tests.parts.terminal import on_a_terminal

ASKED = ["AURA_ENV", *(name for name, one in VARIABLES.items() if one.need != "optional")]


@pytest.fixture
def file(aura: Aura) -> Path:
    return aura.work / ".env.local"


def dialogue(aura: Aura, answers: Mapping[str, Sequence[str]]) -> tuple[int, str]:
    """Answer each question in turn, those without an answer with Enter."""
    typed = [(f"\n{name}", f"{text}\n") for name in ASKED for text in answers.get(name, [""])]
    return on_a_terminal([sys.executable, "-m", "aura_cli", "init"], aura.environment, aura.work, dialogue=typed, timeout=30)


def test_by_asking(aura: Aura, file: Path) -> None:
    """Every variable that is needed is asked for; secrets are not shown as they are typed; the file is the owner's alone."""
    code, shown = dialogue(aura, {name: [COMPLETE[name]] for name in ASKED})
    assert code == 0, shown
    assert expand(parse(file.read_text()), {}) == COMPLETE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for name in ("STRIPE_SECRET_KEY", "DATABASE_URL", "INTEGRATION_ENCRYPTION_KEY"):
        assert COMPLETE[name] not in shown
    assert "Check everything with: aura env check" in shown
    assert aura("env", "check").exit == 0


def test_what_cannot_be_right_is_asked_again(aura: Aura, file: Path) -> None:
    """A publishable key, then the right one; what is kept stays; `new` makes an encryption key."""
    file.write_text("# mine\nOPENAI_API_KEY='sk-test-environment-0000000000' # from Ada\nMINE=1\n")
    file.chmod(0o600)
    answers = {"STRIPE_SECRET_KEY": ["pk_test_environment0000000", COMPLETE["STRIPE_SECRET_KEY"]], "INTEGRATION_ENCRYPTION_KEY": ["new"]}
    code, shown = dialogue(aura, answers)
    assert code == 0, shown
    assert "It is the publishable key" in shown
    assert "OPENAI_API_KEY [sk-****]" in shown
    lines = file.read_text().splitlines()
    assert lines[:3] == ["# mine", "OPENAI_API_KEY='sk-test-environment-0000000000' # from Ada", "MINE=1"]
    assert lines[3] == f"STRIPE_SECRET_KEY={COMPLETE['STRIPE_SECRET_KEY']}"
    assert lines[4].startswith("INTEGRATION_ENCRYPTION_KEY=")
    assert len(lines[4].partition("=")[2]) >= 40
    assert "Still missing, though the web app needs it: DATABASE_URL" in shown


def test_ctrl_c_writes_nothing(aura: Aura, file: Path) -> None:
    """In the middle of the questions: exit 130, no file."""
    words = [sys.executable, "-m", "aura_cli", "init"]
    code, shown = on_a_terminal(words, aura.environment, aura.work, dialogue=[("\nAURA_ENV", "staging\n"), ("\nDATABASE_URL", "\x03")])
    assert (code, file.exists()) == (130, False), shown


def test_out_of_another_file(aura: Aura, file: Path) -> None:
    """Merged in its place, whatever characters are in it; what nobody reads is left out; -n writes nothing; --json says what was done."""
    file.write_text("# head\r\nSTRIPE_SECRET_KEY=sk_test_old00000000 # keep\r\n\r\nMINE=yes\r\n")
    file.chmod(0o600)
    values = {**COMPLETE, "PRIVY_APP_SECRET": "with $dollar #hash 'and' \"quotes\"".replace(" ", "")}
    other = "".join(f"{name}={_quoted(value)}\n" for name, value in values.items()) + "SOMETHING_ELSE=1\nGITHUB_CLIENT_ID=an-id\n"
    before = file.read_bytes()
    dry = aura("init", "--from", "-", "-n", input=other)
    assert (dry.exit, file.read_bytes()) == (0, before)
    done = aura("init", "--from", "-", "--json", input=other)
    assert done.exit == 0, done.err
    assert done.json["changed"] == ["STRIPE_SECRET_KEY"]
    assert {*done.json["added"]} == {*COMPLETE, "GITHUB_CLIENT_ID"} - {"STRIPE_SECRET_KEY"}
    assert (done.json["missing"], done.json["ignored_by_git"], done.json["dry_run"]) == ([], True, False)
    assert "SOMETHING_ELSE" in done.err
    text = file.read_bytes().decode()
    assert text.startswith(f"# head\r\nSTRIPE_SECRET_KEY={COMPLETE['STRIPE_SECRET_KEY']} # keep\r\n\r\nMINE=yes\r\n")
    assert expand(parse(text), {}) == {**values, "GITHUB_CLIENT_ID": "an-id", "MINE": "yes"}


def test_a_password_with_a_dollar(aura: Aura, file: Path) -> None:
    """What refers to nothing in what is handed over is no reference: kept, said, and written so that Next.js reads the same."""
    lines = [
        "PRIVY_APP_SECRET='privy-pa$word-of-a-test'",
        "GITHUB_CLIENT_SECRET=$PRIVY_APP_SECRET-$x",
        "SLACK_CLIENT_SECRET=an-\\$escaped-one",
    ]
    done = aura("init", "--from", "-", input="\n".join(lines))
    assert done.exit == 0, done.err
    assert "Taken as it stands, though it holds a $NAME that nothing there sets: PRIVY_APP_SECRET, GITHUB_CLIENT_SECRET\n" in done.err
    assert expand(parse(file.read_text()), {"word": "no", "x": "no"}) == {
        "PRIVY_APP_SECRET": "privy-pa$word-of-a-test",
        "GITHUB_CLIENT_SECRET": "privy-pa$word-of-a-test-$x",
        "SLACK_CLIENT_SECRET": "an-$escaped-one",
    }
    assert "PRIVY_APP_SECRET=privy-pa\\$word-of-a-test\n" in file.read_text()


def _quoted(value: str) -> str:
    return "`" + value.replace("$", "\\$") + "`"


def test_values_that_cannot_be_right_are_refused_together(aura: Aura, file: Path) -> None:
    """All are named, none is shown, nothing is written."""
    done = aura("init", "--from", "-", input="STRIPE_SECRET_KEY=pk_test_environment0000000\nSTRIPE_PRICE_ID=prod_Environment\n")
    assert (done.exit, file.exists()) == (2, False)
    assert "STRIPE_SECRET_KEY is the publishable key" in done.err
    assert "STRIPE_PRICE_ID is a product" in done.err
    assert "pk_test_environment0000000" not in done.err


def test_which_file(aura: Aura) -> None:
    """The one that counts for the environment, where settings are found; the one that is named; through a link what it leads to."""
    text = dotenv_of(COMPLETE)
    assert aura("init", "--from", "-", "--env", "staging", input=text).exit == 0
    assert aura("env", "check", "--env", "staging").exit == 0
    below = aura.work / "below"
    below.mkdir()
    (aura.work / ".git").mkdir()
    (aura.work / ".env").write_text("")
    assert aura("init", "--from", "-", input=text, cwd=below).exit == 0
    assert (aura.work / ".env.local").is_file()
    (below / "link").symlink_to(aura.work / "target")
    assert aura("init", "--from", "-", "--file", "link", input=text, cwd=below).exit == 0
    assert ((below / "link").is_symlink(), (aura.work / "target").is_file()) == (True, True)


def test_nobody_to_ask_and_places_that_cannot_be(aura: Aura) -> None:
    """No terminal: exit 2, and how it goes without one; a folder that is not there; the sandbox; a file that is no text."""
    nobody = aura("init")
    assert (nobody.exit, "--from" in nobody.err) == (2, True)
    assert aura("init", "--from", "missing.env").exit == 2
    assert aura("init", "--from", "-", "--file", "nowhere/.env", input="AURA_ENV=staging\n").exit == 2
    assert aura("init", "--from", "-", input="A=$A\n").exit == 2
    (aura.work / "binary").write_bytes(b"\xff\xfe\0")
    assert aura("init", "--from", "binary").exit == 4
    sandbox = {"AURA_ENV": "sandbox", "DATABASE_URL": f"sqlite:///{aura.directory}/data/x.db"}
    assert aura("init", "--from", "-", input="", env=sandbox).exit == 4


def test_a_file_that_git_would_take_in(aura: Aura) -> None:
    """Said at once, not only by the next check."""
    subprocess.run(["git", "-C", str(aura.work), "init", "-q"], check=True)
    done = aura("init", "--from", "-", input=dotenv_of(COMPLETE))
    assert "git does not ignore it" in done.out
    (aura.work / ".gitignore").write_text(".env*.local\n")
    assert "git does not ignore it" not in aura("init", "--from", "-", input=dotenv_of(COMPLETE)).out
