"""`aura keys` as a person and a script meet it: what it says, its exit codes, and that no key or token is in anything it says."""

import json
import re
import stat
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from aura_cli.db.engine import reading
from aura_cli.vault.keyring import FALLBACK_SECRET
from aura_cli.vault.tables import reseals
from tests.parts.program import Aura
from tests.vault.world import NEW, OLD, STRANGE, environment, fill, opened, stored, under

TOKEN = "xoxb-a-token-that-nobody-may-see"
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # where the database makes no difference
RETIRED_LINE = re.compile(r"first \(retired\) +[0-9a-f]{16} +2 +3 ")


@pytest.fixture
def before(engine: Engine, database_url: str) -> dict[str, str]:
    """The web app's environment, with two connections in the database."""
    fill(engine, [{"access_token": under(OLD, TOKEN), "refresh_token": under(OLD, TOKEN)}, {"metadata": {"apiKey": under(OLD, TOKEN)}}])
    return environment(database_url, OLD)


def after(before: dict[str, str]) -> dict[str, str]:
    """The same with the new key deployed."""
    return {**before, **environment(before["DATABASE_URL"], NEW, first=OLD)}


def test_generate(aura: Aura) -> None:
    """A strong key on standard output and nothing else, another each time; every key that it makes is one that seals."""
    one, two = aura("keys", "generate"), aura("keys", "generate", "--json")
    assert (one.exit, one.err, two.exit, two.err) == (0, "", 0, "")
    keys = {one.out.strip(), two.json["key"], aura("keys", "generate", "-q").out.strip()}
    assert len(keys) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", key) for key in keys)


def test_the_whole_way(aura: Aura, engine: Engine, before: dict[str, str], tmp_path: Path) -> None:
    """Status, stage from standard input, switch refused until the new key is there, switch, sweep, undo; what to know at each step."""
    assert aura("keys", "status", env=before).exit == 0
    staged = aura("keys", "rotate", "--stage", env=before, input=f"{NEW}\n")
    assert (staged.exit, staged.out) == (0, "2 connections were staged, sealed under the new key; their rows stay as they are.\n"), (
        staged.err
    )
    assert "reads everything with the key that it has" in staged.err
    assert "Consents that are being given at that moment fail" in staged.err
    waiting = aura("keys", "status", "--json", env=before)
    assert (waiting.exit, waiting.json["rotation"]["state"], waiting.json["rotation"]["staged"]) == (3, "staged", 2)
    early = aura("keys", "rotate", "--switch", env=before)
    assert early.exit == 4
    assert "still is the old key" in early.err
    foreign = aura("keys", "rotate", "--switch", env={**before, "INTEGRATION_ENCRYPTION_KEY": STRANGE})
    assert foreign.exit == 4
    dead = aura("keys", "status", env=after(before))
    assert dead.exit == 3
    assert RETIRED_LINE.search(dead.out)
    assert "Now, at once: aura keys rotate --switch" in dead.err
    alone = aura("keys", "status", env={**before, "INTEGRATION_ENCRYPTION_KEY": NEW})
    assert (alone.exit, "Put the old key into AURA_RETIRED_ENCRYPTION_KEYS" in alone.err) == (3, True)
    foreseen = aura("keys", "rotate", "--switch", "-n", "--json", env=after(before)).json
    switched = aura("keys", "rotate", "--switch", "--json", env=after(before))
    assert {**switched.json, "dry_run": True} == foreseen
    assert (switched.exit, switched.json["rows"], switched.json["left"]) == (0, 2, {})
    for known in (
        "reads these with the new key alone",
        "aura integrations refresh --force --rotating",
        "connections have to be made again",
    ):
        assert known in switched.err
    assert aura("keys", "status", env=after(before)).exit == 0
    assert aura("keys", "status", env=before).exit == 3
    assert [opened(NEW, row.access) for row in stored(engine)] == [TOKEN, None]
    undone = aura("keys", "rotate", "--undo", env=environment(before["DATABASE_URL"], OLD, second=NEW))
    assert undone.exit == 0
    assert "with the old key alone" in undone.err
    assert aura("keys", "status", env=before).exit == 0
    assert aura("keys", "rotate", "--switch", env=after(before)).exit == 4  # the database belongs to the old key again


@ON_SQLITE
def test_switch_where_nothing_was_staged(aura: Aura, before: dict[str, str]) -> None:
    """It says so, and nothing of a new key that the web app would need; status names the setting that lacks."""
    for more in ((), ("-n",)):
        done = aura("keys", "rotate", "--switch", *more, env=before)
        assert (done.exit, "Nothing was staged" in done.err, "--undo" in done.err) == (0, True, False), done.err
    missing = aura("keys", "status", env={**before, "INTEGRATION_ENCRYPTION_KEY": ""})
    assert (missing.exit, "Set INTEGRATION_ENCRYPTION_KEY" in missing.err) == (3, True), missing.err


@ON_SQLITE
def test_a_dry_run_writes_nothing(aura: Aura, engine: Engine, before: dict[str, str], tmp_path: Path) -> None:
    """Not even the binding; staging needs no key for it, and says of one that is given whether it would do."""
    for args in ((), ("--new-key-file", str(tmp_path / "new"))):
        (tmp_path / "new").write_text(NEW)
        found = aura("keys", "rotate", "--stage", "-n", *args, "--json", env=before)
        assert (found.exit, found.json["rows"], found.json["dry_run"]) == (0, 2, True), found.err
    (tmp_path / "new").write_text(OLD)
    assert aura("keys", "rotate", "--stage", "-n", "--new-key-file", str(tmp_path / "new"), env=before).exit == 4
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(reseals)).scalar_one() == 0
    assert aura("keys", "rotate", "--undo", "-n", env=before).exit == 5


@ON_SQLITE
@pytest.mark.parametrize("key", ["", "k3y", f"'{NEW}'", FALLBACK_SECRET, OLD])
def test_a_new_key_that_is_no_good(aura: Aura, before: dict[str, str], tmp_path: Path, key: str) -> None:
    """It is refused before anything is staged, in words without it."""
    (tmp_path / "new").write_text(key)
    refused = aura("keys", "rotate", "--stage", "--new-key-file", str(tmp_path / "new"), env=before)
    assert refused.exit == 4
    assert not key or key not in refused.err
    assert aura("keys", "status", "--json", env=before).json["rotation"] is None


BAD = {"white space": f" {OLD}", "quotes": f'"{OLD}"', "short": "fifteen-letters", "public fallback": FALLBACK_SECRET, "not set": ""}


@ON_SQLITE
@pytest.mark.parametrize(("what", "key"), BAD.items())
def test_a_web_app_with_a_bad_key_can_still_be_helped(aura: Aura, engine: Engine, database_url: str, what: str, key: str) -> None:
    """Status says what is wrong (3) and reads; nothing is swept under it (4); rotation to a good key is the way out."""
    fill(engine, [{"access_token": under(OLD, TOKEN)}])
    env = environment(database_url, key, good=OLD)
    status = aura("keys", "status", "--json", env=env)
    assert status.exit == 3
    assert what in status.json["problem"]
    assert [one["values"] for one in status.json["keys"] if one["key"] == "good"] == [1]
    swept = aura("keys", "rotate", "--switch", env=env)
    assert swept.exit == 4
    assert what in swept.err
    assert aura("keys", "rotate", "--stage", env=env, input=NEW).exit == 0
    switched = aura("keys", "rotate", "--switch", env=environment(database_url, NEW, good=OLD, **({"was": key} if key else {})))
    assert switched.exit == 0, switched.err
    assert opened(NEW, stored(engine)[0].access) == TOKEN


@ON_SQLITE
@pytest.mark.parametrize(
    ("args", "exit"),
    [
        (["rotate"], 2),
        (["rotate", "--stage", "--switch"], 2),
        (["rotate", "--switch", "--new-key-file", "x"], 2),
        (["rotate", "--stage", "--seal-plaintext"], 2),
        (["rotate", "--stage", "--new-key-file", "missing"], 2),
        (["rotate", "--stage"], 2),
        (["rotate", "--stage", "--new-key", NEW], 2),
        (["rotate", "--undo"], 5),
    ],
)
def test_wrong_command_lines(aura: Aura, before: dict[str, str], args: list[str], exit: int) -> None:  # noqa: A002
    """Each is an error of its kind, and changes nothing."""
    assert aura("keys", *args, env=before).exit == exit


@ON_SQLITE
@pytest.mark.parametrize("retired", ["{", "[]", '{"a": "s3cret-key", "a": "s3cret-other"}', '{"current": "s3cret-key"}'])
def test_malformed_retired_keys(aura: Aura, before: dict[str, str], retired: str) -> None:
    """Exit 4 everywhere, and nothing of them in it, with --debug either."""
    for args in (["status"], ["rotate", "--switch"], ["rotate", "--undo", "--debug"]):
        done = aura("keys", *args, env={**before, "AURA_RETIRED_ENCRYPTION_KEYS": retired})
        assert done.exit == 4
        assert "s3cret" not in done.out + done.err


@ON_SQLITE
def test_production_asks(aura: Aura, engine: Engine, before: dict[str, str]) -> None:
    """Nobody there to confirm: 6, and nothing is changed; with --yes it goes, and a dry run needs none."""
    env = {**before, "AURA_ENV": "production"}
    refused = aura("keys", "rotate", "--stage", env=env, input=NEW)
    assert refused.exit == 6
    assert aura("keys", "rotate", "--stage", "-n", env=env).exit == 0
    assert aura("keys", "rotate", "--stage", "--yes", env=env, input=NEW).exit == 0
    deployed = {**after(before), "AURA_ENV": "production"}
    first = stored(engine)
    refused = aura("keys", "rotate", "--switch", env=deployed)
    assert refused.exit == 6
    assert "2 connections to switch" in refused.err
    assert stored(engine) == first
    assert aura("keys", "rotate", "--switch", "-y", env=deployed).exit == 0
    assert aura("keys", "rotate", "--undo", env=deployed).exit == 6


def test_no_key_and_no_token_is_said(aura: Aura, engine: Engine, before: dict[str, str], tmp_path: Path) -> None:
    """Whatever is done, well or badly, with --debug and --json: neither keys nor tokens nor ciphertexts are in what is said."""
    strange, plain = under(STRANGE, TOKEN), "plaintext-token-0123456789"
    fill(engine, [{"provider": "x", "access_token": strange, "refresh_token": plain}, {"provider": "y", "access_token": strange[:-1]}])
    key = tmp_path / "new"
    key.write_text(NEW)
    key.chmod(stat.S_IRUSR | stat.S_IWUSR)
    odd = 'a key with "quotes" and \\ in it'
    said = ""
    runs = [
        (before, ["status"]),
        (before, ["status", "--json"]),
        (before, ["rotate", "--stage", "--new-key-file", str(key), "--debug"]),
        (before, ["rotate", "--stage", "--new-key-file", str(key), "--json"]),
        (before, ["rotate", "--switch", "--debug"]),
        (after(before), ["rotate", "--stage", "--new-key-file", str(key), "--debug"]),
        ({**after(before), "AURA_RETIRED_ENCRYPTION_KEYS": json.dumps({"odd": odd})}, ["rotate", "--switch", "--debug"]),
        (after(before), ["rotate", "--switch", "--seal-plaintext", "--debug", "-n"]),
        (after(before), ["rotate", "--switch", "--debug", "--json"]),
        (after(before), ["rotate", "--switch", "--seal-plaintext"]),
        (after(before), ["status", "--debug"]),
        (after(before), ["rotate", "--undo", "--json", "--debug"]),
        ({**before, "DATABASE_URL": before["DATABASE_URL"] + "-missing"}, ["status", "--debug"]),
        ({**before, "DATABASE_URL": before["DATABASE_URL"] + "-missing"}, ["rotate", "--stage", "--new-key-file", str(key), "--debug"]),
    ]
    for env, args in runs:
        done = aura("keys", *args, env=env)
        assert done.exit in (0, 3, 4), done.err
        said += done.out + done.err
    for secret in (OLD, NEW, odd, json.dumps(odd)[1:-1], TOKEN, plain, strange, strange.split(":")[2]):
        assert secret not in said
    assert not re.search(r"[0-9a-f]{32}:[0-9a-f]{32}:", said)
    assert "unreadable: x" in said
    assert "plaintext: x" in said
