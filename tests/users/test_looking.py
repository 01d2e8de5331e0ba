"""`aura users list`, `show`, `export`."""

import csv
import io
import json
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from aura_cli.db.engine import writing
from aura_cli.db.shared import subscriptions, users
from aura_cli.users.tables import privy_users
from tests.parts.program import Aura, Completed

NOW = datetime.now(UTC).replace(microsecond=0)
IDS = [f"0000000{number}-0000-4000-8000-000000000000" for number in range(3)]


@pytest.fixture
def run(aura: Aura, engine: Engine, database_url: str) -> "Run":
    """`aura users …` on a database with three people: the newest has paid and lapsed before, the oldest is gone at Privy."""
    with writing(engine) as connection:
        for number, identifier in enumerate(IDS):
            row = {"id": identifier, "privy_user_id": f"did:privy:c{number}", "email": f"user_{number}@example.com"}
            names = [None, "=cmd()|x\x1b[31m", "Zoë"]
            connection.execute(users.insert().values(**row, name=names[number], created_at=NOW - timedelta(days=10 - number)))
        connection.execute(users.update().where(users.c.id == IDS[2]).values(stripe_customer_id="cus_Two"))
        facts = {"privy_user_id": "did:privy:c2", "verified_email": "user_2@example.com", "linked_accounts": [{"type": "email"}, 5]}
        connection.execute(privy_users.insert().values(facts))
        connection.execute(privy_users.insert().values(privy_user_id="did:privy:c0", missing_since=NOW))
        subscription = {"user_id": IDS[2], "stripe_price_id": "price_1", "trial_end": NOW + timedelta(days=2)}
        for number, status in enumerate(("canceled", "trialing")):
            created = NOW - timedelta(days=5 - number)
            connection.execute(
                subscriptions.insert().values(stripe_subscription_id=f"sub_{number}", status=status, created_at=created, **subscription)
            )
    return Run(aura, {"AURA_ENV": "development", "DATABASE_URL": database_url})


class Run:
    """The program on this test's database."""

    def __init__(self, aura: Aura, environment: dict[str, str]) -> None:
        self.aura, self.environment = aura, environment

    def __call__(self, *args: str) -> Completed:
        return self.aura("users", *args, env=self.environment)


def test_list(run: Run) -> None:
    """The newest first, in each format; a pipe gets everything, JSON every field."""
    found = run("list", "--json").json
    assert [one["id"] for one in found] == IDS[::-1]
    expected = "id privy_user_id email name avatar_url stripe_customer_id created_at updated_at verified_email missing_since".split()
    assert list(found[0]) == expected
    assert (found[2]["missing_since"], found[0]["missing_since"]) == (NOW.isoformat().replace("+00:00", "Z"), None)
    assert [json.loads(line) for line in run("list", "--format", "jsonl").out.splitlines()] == found
    table = run("list").out.splitlines()
    assert [line.split("\t")[0] for line in table] == IDS[::-1]
    assert "\x1b" not in run("list").out
    rows = list(csv.DictReader(io.StringIO(run("list", "--format", "csv", "--columns", "email,id").out)))
    assert rows == [{"email": one["email"], "id": one["id"]} for one in found]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--missing"], [0]),
        (["--limit", "2"], [2, 1]),
        (["--limit", "0"], []),
        (["--search", "USER_1@"], [1]),
        (["--search", "cus_t"], [2]),
        (["--search", "privy:c"], [2, 1, 0]),
        (["--search", "zo"], [2]),
        (["--search", "%"], []),
        (["--search", "user.1"], []),
        (["--search", "user_1", "--missing"], []),
    ],
)
def test_list_of_some(run: Run, arguments: list[str], expected: list[int]) -> None:
    """Filters and a limit; what is looked for is meant literally. An empty list is no error."""
    done = run("list", "--json", *arguments)
    assert (done.exit, [one["id"] for one in done.json]) == (0, [IDS[number] for number in expected])


@pytest.mark.parametrize(
    "arguments", [["--columns", "id,nonsense"], ["--format", "xml"], ["--limit", "-1"], ["--search", "a\nb"], ["extra"]]
)
def test_list_refuses(run: Run, arguments: list[str]) -> None:
    """Mistakes on the command line."""
    assert run("list", *arguments).exit == 2


def test_show(run: Run) -> None:
    """The row, what Privy says, and the subscription that counts for the web app: the newest."""
    found = run("show", "sub_0", "--json").json
    assert (found["user"]["id"], found["user"]["verified_email"], found["subscriptions"]) == (IDS[2], "user_2@example.com", 2)
    assert found["linked_accounts"] == [{"type": "email"}, 5]
    assert (found["subscription"]["id"], found["subscription"]["status"], found["subscription"]["entitles"]) == ("sub_1", "trialing", True)
    assert found["subscription"]["trial_end"] == (NOW + timedelta(days=2)).isoformat().replace("+00:00", "Z")
    text = run("show", "USER_2@example.com").out
    assert re.search(r"^linked accounts +email$", text, re.MULTILINE)
    assert re.search(r"^subscription status +trialing$", text, re.MULTILINE)
    assert run("show", "did:privy:c1", "--json").json["subscription"] is None
    assert "\x1b" not in run("show", "did:privy:c1").out


@pytest.mark.parametrize(("who", "code"), [("nobody@example.com", 5), ("nonsense", 2), ("", 2)])
def test_show_nobody(run: Run, who: str, code: int) -> None:
    """Unknown 5, malformed 2."""
    done = run("show", who)
    assert (done.exit, done.out) == (code, "")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_export(run: Run, form: str, tmp_path: Path) -> None:
    """Personal data only where it is asked for; the file is its owner's, whole, and the same as what standard output gets."""
    neutral = run("export", "--format", form).out
    assert "example.com" not in neutral
    assert "Zoë" not in neutral
    assert all(identifier in neutral for identifier in IDS)
    personal = run("export", "--format", form, "--personal").out
    assert "user_1@example.com" in personal
    assert "Zoë" in personal
    path = tmp_path / "people"
    path.write_text("older")
    path.chmod(0o644)
    done = run("export", "--format", form, "--personal", "--out", str(path))
    assert (done.exit, done.out) == (0, "")
    assert path.read_text() == personal
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.glob(".people*")] == []


def test_export_to_nowhere(run: Run, tmp_path: Path) -> None:
    """A folder that is not there: exit 2, and nothing is left."""
    done = run("export", "--out", str(tmp_path / "absent" / "people.csv"))
    assert done.exit == 2
    assert not (tmp_path / "absent").exists()
    assert run("export", "--format", "json").exit == 2


def test_without_a_schema(aura: Aura, sqlite_database: str) -> None:
    """Exit 4, saying what to run; where nothing at all is configured the sandbox is another way."""
    done = aura("users", "list", env={"AURA_ENV": "development", "DATABASE_URL": sqlite_database})
    assert (done.exit, "aura db upgrade" in done.err, "aura sandbox" in done.err) == (4, True, False)
    assert "aura db upgrade. To try aura with nothing set: aura sandbox -- bash" in aura("users", "list").err


def test_listing_imports_little(aura: Aura, engine: Engine, database_url: str) -> None:
    """What `list` loads decides how long it takes: nothing for HTTP, JSON, tokens, migrations or tables on a terminal."""
    if engine.dialect.name != "sqlite":
        return
    script = "import sys; from aura_cli.app import run; run(['users', 'list']); print(*sys.modules, file=sys.stderr)"
    import subprocess
    import sys

    environment = {**aura.environment, "AURA_ENV": "development", "DATABASE_URL": database_url}
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=aura.work, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "sqlalchemy" in loaded
    assert not loaded & {"httpx", "msgspec", "alembic", "rich", "jwt", "cryptography", "psycopg", "pydantic", "stripe"}
