"""`aura users takeout` gives somebody everything that is kept about them, and nothing that is a secret or somebody else's."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.parts.program import Aura
from tests.users.lives import BOB, EMAIL, MARKER, SECRETS, Life, life_of


@pytest.fixture
def life(aura: Aura, engine: Engine, database_url: str) -> Iterator[Life]:
    """Ada, with traces everywhere, on a database of each kind."""
    with life_of(aura, engine, database_url) as made:
        yield made


def test_everything_of_one_person(life: Life, tmp_path: Path) -> None:
    """A file for each table in which something of hers stands, those that nobody here knows included; and nothing of Bob's."""
    folder = tmp_path / "ada"
    done = life("takeout", EMAIL, "--out", str(folder), "--json")
    assert done.exit == 0, done.err
    assert (done.json["user"], done.json["dry_run"]) == (life.ada, False)
    traced = set(life.traces(MARKER)) - {"outbox", "mails"}  # of the outbox it is what is about to be done
    rows = done.json["rows"]
    assert {"mails", "webhook_events", "agents", "channels", "voice_settings", "call_logs", "token_top_ups", "subscriptions"} <= set(rows)
    assert traced - {"user_aliases"} <= set(rows)
    assert (folder.stat().st_mode & 0o777, {path.stat().st_mode & 0o777 for path in folder.iterdir()}) == (0o700, {0o600})
    assert sorted(path.name for path in folder.iterdir()) == done.json["files"]
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert sorted(invite["email"] for invite in json.loads(files.pop("team_invites.json"))) == [
        EMAIL.upper(),
        BOB.email,
    ]  # whom she invited
    page, whole = files.pop("index.html"), "".join(files.values())
    for name, count in rows.items():
        assert len(json.loads((folder / f"{name}.json").read_text())) == count
    assert "bob" not in whole.lower()
    assert "person2@" not in whole
    assert "tester" not in whole + page  # who did it is a colleague's own
    assert not [secret for secret in SECRETS if secret in whole + page]
    assert "<h2>voice settings</h2>" in page
    assert "marker&#x27;s agent" in page
    assert life.value(f"SELECT count(*) FROM {life.ops('operator_log')} WHERE what = 'users.takeout'") == 1


def test_nothing_is_written_over(life: Life, tmp_path: Path) -> None:
    """A folder with something in it is left alone, -n leaves none, an empty one is taken; nobody by that name is 5."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert life("takeout", life.ada, "--out", str(tmp_path / "full")).exit == 2
    assert life("takeout", life.ada, "--out", str(tmp_path / "no" / "such")).exit == 2
    tried = life("takeout", "-n", life.ada, "--out", str(tmp_path / "dry"), "--json")
    assert (tried.exit, tried.json["dry_run"]) == (0, True)
    assert not (tmp_path / "dry").exists()
    (tmp_path / "empty").mkdir()
    assert life("takeout", life.ada, "--out", str(tmp_path / "empty")).exit == 0
    assert (tmp_path / "empty" / "users.json").exists()
    assert life("takeout", "nobody@example.com", "--out", str(tmp_path / "x")).exit == 5
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
