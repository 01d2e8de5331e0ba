"""A plan file says what will be done, to nobody but its owner, and is applied only where and when it was meant to be, unedited."""

import json
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from aura_cli.db.binding import Identity
from aura_cli.db.engine import writing
from aura_cli.db.migrate import upgrade
from aura_cli.drift import plan
from aura_cli.drift.apply import Applied
from aura_cli.drift.planfile import FORMAT, read, save, take_in
from aura_cli.errors import AuraError, UsageError
from tests.drift.fabricated import KINDS, NAME, SCAN, carry_out, make_plan, outcome, people
from tests.parts.migrated import engine_of
from tests.parts.sampling import sample

HERE = Identity("staging", "acct_1", "test", "app", "00ff")


def now(later: timedelta = timedelta()) -> datetime:
    """This moment: a file is judged by when it is read, and a run of the tests is long."""
    return datetime.now(UTC) + later


def saved(engine: Engine, path: Path, **options: Any) -> str:
    people(engine, 2)
    plan_id = make_plan(engine, **options)
    save(engine, plan_id, HERE, path)
    return plan_id


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good plan file."""
    folder = tmp_path_factory.mktemp("plan")
    with engine_of(f"sqlite:///{folder / 'aura.db'}") as engine:
        upgrade(engine)
        saved(engine, folder / "plan.jsonl")
    return folder / "plan.jsonl"


def refusal(path: Path, identity: Identity = HERE, later: timedelta = timedelta(), kinds: Any = KINDS) -> AuraError:
    with pytest.raises(AuraError) as refused:
        read(path, identity, now(later), kinds)
    return refused.value


def test_what_a_file_holds(engine: Engine, tmp_path: Path) -> None:
    """0600, whatever stood there before; a header and a line for each change; values to the character; nothing left beside it."""
    path = tmp_path / "plan.jsonl"
    path.write_text("something older")
    path.chmod(0o666)
    plan_id = saved(engine, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {found.name for found in tmp_path.iterdir() if not found.name.startswith("aura.db")} == {"plan.jsonl"}
    header, rows = read(path, HERE, now(), KINDS)
    assert (header["format"], header["plan"], header["scan"], header["complete"]) == (FORMAT, plan_id, SCAN, True)
    assert [row["number"] for row in rows] == list(range(1, 9))
    first = next(row for row in rows if row["kind"] == "renamed")
    assert first["before"] == {"name": NAME, "stripe_customer_id": None}
    inserted = next(row for row in rows if row["kind"] == "added")["after"]
    assert inserted["cancel_at_period_end"] is False
    assert inserted["trial_end"] is None
    assert inserted["created_at"] == "2023-11-14T22:13:21.000000Z"


def test_applied_from_the_file(engine: Engine, tmp_path: Path) -> None:
    """A plan that the database has forgotten comes back from its file; taken in twice, what was applied stays applied."""
    path = tmp_path / "plan.jsonl"
    plan_id = saved(engine, path)
    with writing(engine) as connection:
        plan.create(connection, "test", SCAN, complete=True, rows_here=0)
    header, rows = read(path, HERE, now(), KINDS)
    with writing(engine) as connection:
        assert take_in(connection, header, rows, KINDS) == plan_id
    assert carry_out(engine, plan_id) == Applied(6, 0)
    found = outcome(engine)
    assert found["names"][0] == ("did:privy:0", f"{NAME}!", "cus_new")
    with writing(engine) as connection:
        assert take_in(connection, header, rows, KINDS) == plan_id
    assert carry_out(engine, plan_id) == Applied(0, 0)
    assert outcome(engine) == found


def test_every_edit_is_refused(file: Path, tmp_path: Path) -> None:
    """Whichever byte is another, missing or added, the file is refused as usage."""
    good = file.read_bytes()
    copy = tmp_path / "plan.jsonl"
    flips = sample(((at, 1 << bit) for at in range(len(good)) for bit in range(8)), 300)
    edits = [good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :] for at, bit in flips]
    edits += [good[:at] + good[at + 1 :] for at in sample(range(len(good)), 50)]
    edits += [good + b"\n", good + b" ", good[:-1], good.replace(b", ", b",  ", 1), good.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + good]
    edits += [good.replace(b'{"number": 1, ', b'{"number": 1, "extra": 1, ')]
    for edited in edits:
        copy.write_bytes(edited)
        assert isinstance(refusal(copy), UsageError)


NO_PLANS = [
    b"",
    b"\n",
    b"{}",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    b"not json",
    b"\xff\xfe",
    b"\0" * 100,
    b"[" * 100_000,
    b'{"format": "aura-plan-1"}',
]
NO_PLANS += [
    b'{"sha256": 1, "format": "aura-plan-0"}',
    b'{"sha256": "x", "format": ["aura-plan-1"]}',
    b'{"a": "' + b"x" * 5_000_000 + b'"}',
]


@pytest.mark.parametrize("content", NO_PLANS, ids=lambda content: content[:12].decode(errors="replace").replace("\0", "0"))
def test_what_is_no_plan(tmp_path: Path, content: bytes) -> None:
    """Anything else is told as no plan file, without a traceback."""
    path = tmp_path / "plan.jsonl"
    path.write_bytes(content)
    assert refusal(path).exit_code == 2


def test_paths_that_cannot_be_read_or_written(engine: Engine, tmp_path: Path) -> None:
    """A folder, nothing, a place that does not exist: usage."""
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "plan.jsonl" / "x"):
        assert refusal(path).exit_code == 2
    (tmp_path / "folder").mkdir()
    people(engine, 1)
    plan_id = make_plan(engine)
    for path in (tmp_path / "nowhere" / "plan", Path(), Path("/"), tmp_path / "folder"):
        with pytest.raises(UsageError, match="cannot be written"):
            save(engine, plan_id, HERE, path)
    assert not list((tmp_path / "folder").iterdir())


@pytest.mark.parametrize(
    ("identity", "later", "code", "said"),
    [
        (replace(HERE, environment="production"), timedelta(0), 4, "another environment"),
        (replace(HERE, stripe_mode="live"), timedelta(0), 4, "another environment"),
        (replace(HERE, key_fingerprint=None), timedelta(0), 4, "another environment"),
        (HERE, timedelta(hours=25), 6, "too old"),
        (HERE, -timedelta(hours=1), 6, "too old"),
    ],
)
def test_elsewhere_and_later(file: Path, identity: Identity, later: timedelta, code: int, said: str) -> None:
    """Another binding is configuration (4); a stale plan, or one out of the future, a conflict (6)."""
    error = refusal(file, identity, later)
    assert (error.exit_code, said in error.message) == (code, True)


def test_incomplete_and_unknown(sqlite_database: str, tmp_path: Path, file: Path) -> None:
    """A plan from a scan that did not complete is a conflict (6); a kind that this program does not know is usage (2)."""
    with engine_of(sqlite_database) as engine:
        upgrade(engine)
        saved(engine, tmp_path / "plan.jsonl", complete=False)
    assert refusal(tmp_path / "plan.jsonl").exit_code == 6
    error = refusal(file, kinds={name: kind for name, kind in KINDS.items() if name != "odd"})
    assert (error.exit_code, "odd" in error.message) == (2, True)


def test_a_copy_is_as_good(file: Path, tmp_path: Path) -> None:
    """Carried elsewhere, a file is the same plan."""
    copy: Callable[..., Any] = shutil.copy
    copy(file, tmp_path / "copy")
    assert read(tmp_path / "copy", HERE, now(), KINDS) == read(file, HERE, now(), KINDS)
    assert all(json.loads(line) for line in (tmp_path / "copy").read_text().splitlines())
