"""The commands as a person or a cron job meets them: exit codes, JSON, plan files, limits, lists, figures."""

import csv
import io
import json
import os
import pty
import re
import stat
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aura_cli.db.engine import reading
from aura_cli.errors import ConflictError
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.population import Population
from aura_cli.subscriptions import views
from tests.parts.books import NOW, Books, contract, opened, person, population
from tests.parts.program import Aura, Completed
from tests.parts.sampling import sample
from tests.subscriptions.conftest import Keep

PEOPLE = build(250, 3, NOW)


@pytest.fixture
def books(migrated: None, postgres_database: str, tmp_path: Path) -> Iterator[Books]:
    """250 people and every kind of drift."""
    with opened(postgres_database, PEOPLE, tmp_path, drift=True) as found:
        yield found


def run(aura: Aura, books: Books, *args: str) -> Completed:
    return aura(*args, env=books.variables)


def test_a_look_an_apply_a_look(aura: Aura, books: Books) -> None:
    """3, 0, 0; the report has its keys, in JSON that can be read back; -n and a look write nothing; -q says nothing."""
    before = books.shared()
    look = run(aura, books, "subscriptions", "reconcile", "--json")
    assert look.exit == 3
    assert {"complete", "remote", "local", "counts", "drift", "applied", "skipped"} <= look.json.keys()
    assert look.json["complete"] is True
    assert {frozenset(change) for change in look.json["drift"]} >= {frozenset({"kind", "subscription", "user", "key", "before", "after"})}
    assert Counter(change["kind"] for change in look.json["drift"]) == look.json["counts"]
    assert look.json["remote"] == sum(len(one.contracts) for one in PEOPLE.people)
    planned = run(aura, books, "subscriptions", "reconcile", "--apply", "-n")
    assert (planned.exit, planned.out.splitlines()[-1]) == (3, "Nothing was written; repair it with --apply without -n.")
    assert books.shared() == before
    done = run(aura, books, "subscriptions", "reconcile", "--apply", "--json")
    assert (done.exit, done.json["applied"], done.json["skipped"], done.json["left"]) == (0, sum(look.json["counts"].values()), 0, 0)
    assert done.json["counts"] == look.json["counts"]
    again = run(aura, books, "subscriptions", "reconcile", "-q")
    assert (again.exit, again.out, again.err) == (0, "", "")


def test_a_plan_file_is_looked_at_and_applied_later(aura: Aura, books: Books, tmp_path: Path) -> None:
    """--save-plan writes ids alone, for its owner's eyes; `aura apply` does what it says; an edited file is refused."""
    file = tmp_path / "work" / "plan.jsonl"
    assert run(aura, books, "subscriptions", "reconcile", "--save-plan", str(file), "--json").exit == 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert not [one.email for one in PEOPLE.people if one.email and one.email in text]
    changes = len(text.splitlines()) - 1
    before = books.shared()
    assert f"{changes:,} would be applied" in run(aura, books, "apply", str(file), "-n").out
    assert books.shared() == before
    assert run(aura, books, "apply", str(file), "--json").json["applied"] == changes
    again = run(aura, books, "apply", str(file))
    assert (again.exit, again.out.startswith("0 applied")) == (0, True)
    assert f"{changes:,} were settled by an earlier run" in again.out
    assert books.found() == []
    file.write_text(text.replace("price_", "prize_"))
    assert run(aura, books, "apply", str(file)).exit == 2


def test_a_place_for_the_plan_is_looked_for_first(aura: Aura, books: Books, tmp_path: Path) -> None:
    """A plan that could not be saved is found out before Stripe is asked for anything."""
    for place in (tmp_path / "nowhere" / "plan.jsonl", tmp_path, Path("/")):
        done = run(aura, books, "subscriptions", "reconcile", "--save-plan", str(place))
        assert (done.exit, "cannot be written" in done.err) == (2, True)
    assert books.stripe.asked == []


def test_a_look_remembers_whose_the_database_is(aura: Aura, books: Books) -> None:
    """What is seen at Stripe is kept, so the first look binds the database, and asks nobody; a plan's dry run leaves no plan behind."""
    account, plans = "SELECT stripe_account FROM aura_ops.binding", "SELECT COUNT(*) FROM aura_ops.plans"
    assert books.value(account) is None
    assert run(aura, books, "subscriptions", "reconcile", "--save-plan", "plan.jsonl").exit == 3
    assert books.value(account).startswith("acct_")
    books.sql("DELETE FROM aura_ops.plans")
    assert "would be applied" in run(aura, books, "apply", "plan.jsonl", "-n").out
    assert books.value(plans) == 0


def test_production_is_told_what_would_change(aura: Aura, books: Books) -> None:
    """Before the question: how many rows of each kind, for a reconcile and for a plan; without an answer nothing is written."""
    books.sql("UPDATE aura_ops.binding SET environment = NULL")
    before, production = books.shared(), {**books.variables, "AURA_ENV": "production"}
    assert aura("subscriptions", "reconcile", "--save-plan", "plan.jsonl", env=production).exit == 3
    for command in (("subscriptions", "reconcile", "--apply"), ("apply", "plan.jsonl")):
        done = aura(*command, env=production)
        assert (done.exit, done.out) == (6, "")
        assert re.search(r"rows to change\n  .*\d+ status", done.err), done.err
        assert "missing_remotely" not in done.err
    assert books.shared() == before


def test_an_implausible_plan_stops_before_its_first_write(keep: Keep) -> None:
    """More than 50 rows that exist would change: nothing is written, and the number that would let it through is named."""
    books = keep(*(person(number, contract(f"n{number}")) for number in range(1, 53)))
    books.sql("UPDATE subscriptions SET status = 'unpaid'")
    before = books.shared()
    planned = books.plan()
    with pytest.raises(ConflictError) as refused:
        books.apply(planned, limit=None)
    assert "--max-changes 52" in refused.value.hint
    with pytest.raises(ConflictError):
        books.apply(planned, limit=51)
    assert books.shared() == before
    assert books.apply(planned, limit=52).applied == 52


def test_inserts_are_not_counted_against_the_limit(keep: Keep) -> None:
    """A database that was restored empty of subscriptions fills again without a word."""
    books = keep(*(person(number, contract(f"n{number}")) for number in range(1, 53)))
    books.sql("DELETE FROM subscriptions")
    assert books.apply(books.plan(), limit=0).applied == 52


def test_lists_in_every_format(aura: Aura, books: Books) -> None:
    """The same rows, newest first, in all formats; columns of choice; unknown names are usage errors."""
    books.repair()
    everything = run(aura, books, "subscriptions", "list", "--json").json
    assert [row["created_at"] for row in everything] == sorted((row["created_at"] for row in everything), reverse=True)
    table = run(aura, books, "subscriptions", "list", "--format", "csv", "--columns", "subscription,stripe_status", "--limit", "7")
    rows = list(csv.DictReader(io.StringIO(table.out)))
    assert [row["subscription"] for row in rows] == [row["subscription"] for row in everything[:7]]
    exact = {each.id: each.status for one in PEOPLE.people for each in one.contracts}
    assert all(row["stripe_status"] == exact[row["subscription"]] for row in rows)
    paused = run(aura, books, "subscriptions", "list", "--status", "paused", "--format", "jsonl").out.splitlines()
    assert {json.loads(line)["subscription"] for line in paused} == {name for name, status in exact.items() if status == "paused"}
    assert run(aura, books, "subscriptions", "list", "--columns", "nonsense").exit == 2


def test_a_status_of_either_side(keep: Keep) -> None:
    """Where the web app and Stripe disagree a subscription is found by what either says."""
    books = keep(person(1, contract("a")), person(2, contract("b", "paused")))
    books.plan()
    books.sql("UPDATE subscriptions SET status = 'past_due' WHERE stripe_subscription_id = 'sub_a'")
    found = {status: [row.subscription for row in views.rows(books.engine, status=status)] for status in ("past_due", "active", "paused")}
    assert found == {"past_due": ["sub_a"], "active": ["sub_a"], "paused": ["sub_b"]}


def test_one_person_s_subscriptions(aura: Aura, books: Books) -> None:
    """All of them, with the exact status; somebody without any is no error."""
    books.repair(history=True)
    many = next(one for one in PEOPLE.people if len(one.contracts) == 2)
    shown = run(aura, books, "subscriptions", "show", many.did, "--json").json
    assert {(row["subscription"], row["stripe_status"]) for row in shown} == {(each.id, each.status) for each in many.contracts}
    none = next(one for one in PEOPLE.people if not one.customer)
    assert "No subscription" in run(aura, books, "subscriptions", "show", none.did).out


@pytest.mark.parametrize("seed", sample(range(10), 2))
def test_figures_against_a_computation_by_hand(migrated: None, database_url: str, tmp_path: Path, seed: int) -> None:
    """Counts, monthly revenue and trials that end, from the population itself."""
    people = build(300, seed, NOW)
    with opened(database_url, people, tmp_path) as books:
        books.repair(history=True)
        with reading(books.engine) as connection:
            found = views.stats(connection, datetime.fromtimestamp(NOW, UTC))
    contracts = [each for one in people.people for each in one.contracts]
    assert found.by_stripe_status == Counter(each.status for each in contracts)
    assert {each.currency: (each.monthly, each.subscriptions) for each in found.revenue} == _revenue(people)
    today = datetime.fromtimestamp(NOW, UTC).date()
    ends = Counter(datetime.fromtimestamp(each.trial_end or 0, UTC).date() for each in contracts if each.status == "trialing")
    days = [today + timedelta(days=number) for number in range(14)]
    assert {each.day: each.trials for each in found.trials_ending} == {day.isoformat(): ends[day] for day in days}


def _revenue(people: Population) -> dict[str, tuple[int, int]]:
    prices = {price.id: price for price in people.prices}
    sums: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    for one in people.people:
        for each in one.contracts:
            if each.status in ("active", "past_due"):
                price = prices[each.price]
                sums[price.currency] += price.amount / (12 if price.interval == "year" else 1)
                counts[price.currency] += 1
    return {currency: (round(sums[currency]), counts[currency]) for currency in sums}


def test_a_trial_that_ends_in_fourteen_days_to_the_second(keep: Keep) -> None:
    """The last moment of the window belongs to no day of it, and is no error."""
    now = datetime.fromtimestamp(NOW, UTC)
    midnight = int(now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp())
    ends = [midnight + 14 * 86_400 + second for second in (-1, 0, 1)]
    books = keep(*(person(n, contract(f"t{n}", "trialing", trial_end=end, period_end=end)) for n, end in enumerate(ends)))
    with reading(books.engine) as connection:
        assert [each.trials for each in views.stats(connection, now).trials_ending] == [0] * 13 + [1]


def test_the_figures_on_a_terminal(books: Books, tmp_path: Path) -> None:
    """Bars, amounts with their currency, and no character that a terminal would obey."""
    books.repair()
    shown = on_a_terminal(("subscriptions", "stats"), {**books.variables, "PATH": os.environ["PATH"], "COLUMNS": "100"}, tmp_path)
    assert "█" in shown
    assert "USD" in shown
    assert "\x1b" not in shown
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_a_long_difference_on_a_terminal(books: Books, tmp_path: Path) -> None:
    """A change that one line has no room for stands below its subscription, a column a line; nothing is cut."""
    variables = {**books.variables, "PATH": os.environ["PATH"], "COLUMNS": "80"}
    lines = on_a_terminal(("subscriptions", "reconcile"), variables, tmp_path, code=3).splitlines()
    starts = [number for number, line in enumerate(lines) if re.fullmatch(r"period +sub_\w+", line)]
    assert starts
    for number in starts:
        assert {line.split(":")[0] for line in lines[number + 1 : number + 3]} == {"  current_period_start", "  current_period_end"}
    assert max(len(line) for line in lines if "_period_" in line) <= 80


def on_a_terminal(args: tuple[str, ...], environment: dict[str, str], cwd: Path, code: int = 0) -> str:
    """What a command shows on a terminal."""
    leader, follower = pty.openpty()
    itself = {**environment, "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm", "NO_COLOR": "1", "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        [sys.executable, "-m", "aura_cli", *args], env=itself, cwd=cwd, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower
    )
    os.close(follower)
    seen = b""
    try:
        while block := os.read(leader, 65_536):
            seen += block
    except OSError:  # the terminal is gone with its last user
        pass
    finally:
        os.close(leader)
    assert process.wait(60) == code, seen
    return seen.decode().replace("\r\n", "\n")


def test_balances(aura: Aura, postgres_database: str, tmp_path: Path) -> None:
    """Granted by hand once for a key, with a trace; a dry run and a refusal change nothing; shown with the ledger."""
    with opened(postgres_database, population(person(1, contract("a"))), tmp_path) as books:
        give = ("balance", "grant", "person1@example.com")
        dry = run(aura, books, *give, "500", "--reason", "outage", "-n", "--json")
        assert (dry.exit, dry.json["balance"], dry.json["dry_run"], books.ledger()) == (0, 10_000_500, True, [])
        done = run(aura, books, *give, "500", "--reason", "outage", "--once", "may", "--json")
        assert (done.exit, done.json["balance"]) == (0, 10_000_500)
        assert run(aura, books, *give, "500", "--reason", "outage", "--once", "may").exit == 6
        assert run(aura, books, *give, "5", "--reason", " ").exit == 2
        assert books.balance() == 10_000_500
        shown: dict[str, Any] = run(aura, books, "balance", "show", "cus_person1", "--json").json
        assert shown["balance"] == 10_000_500
        assert [(each["kind"], each["tokens"], each["reason"]) for each in shown["grants"]] == [("operator", 500, "outage")]
        assert books.value("SELECT what || ' ' || COUNT(*) FROM aura_ops.operator_log GROUP BY what") == "balance.grant 1"
