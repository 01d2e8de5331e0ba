"""Secrets in files that git tracks are found by their values: file and line, and nothing of the value."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.environment.complete import COMPLETE, dotenv_of
from tests.parts.program import Aura


@pytest.fixture
def repository(aura: Aura) -> Path:
    """A repository with the complete environment in a file that git ignores."""
    git(aura.work, "init", "-q", ".")
    (aura.work / ".gitignore").write_text(".env*.local\n")
    file = aura.work / ".env.staging.local"
    file.write_text(dotenv_of(COMPLETE))
    file.chmod(0o600)
    git(aura.work, "add", ".")
    return aura.work


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


def checked(aura: Aura, cwd: Path | None = None) -> dict[str, object]:
    done = aura("env", "check", "--env", "staging", "--json", cwd=cwd)
    found = done.json
    assert done.exit == (3 if found["bad"] else 0)
    return {name: found[name] for name in ("exposed", "unignored", "bad")}


def test_a_clean_repository(aura: Aura, repository: Path) -> None:
    """What git ignores may hold secrets; a name alone is none."""
    (repository / "README.md").write_text("Set STRIPE_SECRET_KEY=sk_test_… and aura\n")
    git(repository, "add", ".")
    assert checked(aura) == {"exposed": [], "unignored": [], "bad": 0}
    assert "searched for the values of secrets: 2." in aura("env", "check", "--env", "staging").out


def test_wherever_and_however_they_stand_there(aura: Aura, repository: Path) -> None:
    """In code, in binary files, under names that git quotes, more than once; the database's password alone, too; from a folder below."""
    below = repository / "src" / "größe ñ"
    below.mkdir(parents=True)
    (below / "config.ts").write_text(f'\n\nconst key = "{COMPLETE["STRIPE_SECRET_KEY"]}"\n// {COMPLETE["STRIPE_SECRET_KEY"]}\n')
    (repository / "dump.bin").write_bytes(b"\0\xff\n" + COMPLETE["INTEGRATION_ENCRYPTION_KEY"].encode() + b"\0")
    (repository / "compose.yaml").write_text("password: Test-password-1\n")
    git(repository, "add", ".")
    (repository / "untracked.txt").write_text(COMPLETE["RESEND_API_KEY"])
    for cwd in (repository, below):
        found = aura("env", "check", "--env", "staging", "--json", cwd=cwd)
        assert [(one["name"], one["file"], one["line"]) for one in found.json["exposed"]] == [
            ("DATABASE_URL", "compose.yaml", 1),
            ("INTEGRATION_ENCRYPTION_KEY", "dump.bin", 2),
            ("STRIPE_SECRET_KEY", "src/größe ñ/config.ts", 3),
            ("STRIPE_SECRET_KEY", "src/größe ñ/config.ts", 4),
        ]
        assert found.exit == 3
    said = aura("env", "check", "--env", "staging")
    assert re.search(r"exposed +STRIPE_SECRET_KEY +stands in src/größe ñ/config.ts, line 3, which git tracks", said.out)
    for value in COMPLETE.values():
        assert value == "staging" or value not in said.out


@pytest.mark.parametrize(
    ("password", "lines"),
    [
        ("hunter2", [1, 2]),  # short: not inside of words, as the name of a file or a digest would hold it
        ("correcthorsebatterystaple", [1, 2, 3]),
        ("qwmznxbcvlaksjdhf", [1, 2, 3]),
        ("authentication", []),
        ("secret", []),
        ("Aurora", []),
        ("123456", []),
        ("ab-1", []),
    ],
)
def test_short_passwords_and_words(aura: Aura, repository: Path, password: str, lines: list[int]) -> None:
    """What nobody writes by chance is found, short or in small letters; a word, a short number and what is shorter still are not."""
    (repository / ".env.staging.local").write_text(
        dotenv_of({**COMPLETE, "DATABASE_URL": f"postgresql://aura:{password}@db.example.test/aura"})
    )
    (repository / "a.py").write_text(f'connect(password="{password}")\n{password}\nx{password}9 = 0\n')
    git(repository, "add", ".")
    assert checked(aura)["exposed"] == [{"name": "DATABASE_URL", "file": "a.py", "line": line} for line in lines]


def test_a_file_that_is_one_step_from_being_tracked(aura: Aura, repository: Path) -> None:
    """Neither tracked nor ignored: `git add .` would take it in. Tracked: every secret in it is exposed."""
    (repository / ".gitignore").write_text("")
    assert checked(aura) == {"exposed": [], "unignored": [".env.staging.local"], "bad": 1}
    git(repository, "add", ".")
    found = checked(aura)
    assert found["unignored"] == []
    assert {one["name"] for one in found["exposed"]} == {  # type: ignore[attr-defined]
        "DATABASE_URL", "OPENAI_API_KEY", "PRIVY_APP_SECRET", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "RESEND_API_KEY",
        "UPSTASH_REDIS_REST_TOKEN", "INTEGRATION_ENCRYPTION_KEY",
    }  # fmt: skip


def test_no_repository_and_no_git(aura: Aura, tmp_path: Path) -> None:
    """Nothing is looked at, which is said."""
    for path in (None, str(tmp_path)):
        env = {**COMPLETE, **({"PATH": path} if path else {})}
        done = aura("env", "check", env=env)
        assert (done.exit, "no tracked files were looked at" in done.out) == (0, True)


def test_odd_files(aura: Aura, repository: Path) -> None:
    """A link that leads nowhere, a file that is gone, one that may not be read: passed over."""
    (repository / "link").symlink_to("/nowhere")
    (repository / "gone").write_text("x")
    (repository / "closed").write_text("x")
    git(repository, "add", ".")
    (repository / "gone").unlink()
    (repository / "closed").chmod(0)
    assert checked(aura)["bad"] == 0
