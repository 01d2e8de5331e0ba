"""Drift of a million rows against a million: finding and repairing it, against hand-written SQL, both in one run."""

import resource
from collections.abc import Callable
from statistics import median

import psycopg
import pytest

from aura_cli.db.engine import connect, writing
from aura_cli.db.leases import lease
from aura_cli.db.migrate import upgrade
from aura_cli.drift import plan
from aura_cli.drift.apply import apply
from aura_cli.subscriptions.compare import Scope, compare, prepare
from aura_cli.subscriptions.kinds import KINDS
from aura_cli.subscriptions.reconcile import fill as fill_plan
from tests.benchmarks.figures import Figure, seconds, show
from tests.benchmarks.filling import NO_SESSIONS, SCAN, fill, make_different
from tests.parts.postgres import FAST, newest_postgres

ROWS, ROUNDS = 1_000_000, 3

DIFFERS = {
    "status": "l.status::text <> CASE s.status WHEN 'incomplete' THEN 'unpaid' WHEN 'paused' THEN 'unpaid' "
    "WHEN 'incomplete_expired' THEN 'canceled' ELSE s.status END",
    "period": "(l.current_period_start, l.current_period_end) IS DISTINCT FROM (to_timestamp(s.period_start), to_timestamp(s.period_end))",
    "price": "l.stripe_price_id IS DISTINCT FROM s.price",
    "trial": "l.trial_end IS DISTINCT FROM to_timestamp(s.trial_end)",
    "cancel_flag": "l.cancel_at_period_end IS DISTINCT FROM s.cancel_at_period_end",
}
JOIN = f"""CREATE TABLE raw_plan AS SELECT s.id, CASE WHEN l.id IS NULL THEN 'missing_locally'
        {" ".join(f"WHEN {condition} THEN '{kind}'" for kind, condition in DIFFERS.items())} END AS kind,
        l.status, l.current_period_start, l.current_period_end, l.stripe_price_id, l.cancel_at_period_end
    FROM aura_ops.staged_subscriptions s FULL JOIN subscriptions l ON l.stripe_subscription_id = s.id
    WHERE s.id IS NULL OR (l.id IS NULL AND s.status NOT IN ('canceled', 'incomplete_expired')) OR {" OR ".join(DIFFERS.values())}"""
SEVERAL = "CREATE TABLE raw_several AS SELECT user_id FROM subscriptions GROUP BY user_id HAVING count(*) > 1"
UNPAID = """CREATE TABLE raw_balances AS SELECT s.id FROM aura_ops.staged_subscriptions s
    JOIN subscriptions l ON l.stripe_subscription_id = s.id LEFT JOIN token_balances b ON b.user_id = l.user_id
    WHERE b.id IS NULL AND (s.status = 'active' OR s.status = 'trialing' AND to_timestamp(s.trial_end) > now())"""
_SET = {
    "status": "status = s.status::subscription_status",
    "period": "current_period_start = to_timestamp(s.period_start), current_period_end = to_timestamp(s.period_end)",
    "price": "stripe_price_id = s.price",
    "cancel_flag": "cancel_at_period_end = s.cancel_at_period_end",
}
_BEFORE = {
    "period": "(l.current_period_start, l.current_period_end) IS NOT DISTINCT FROM (p.current_period_start, p.current_period_end)"
} | {
    kind: f"l.{column} IS NOT DISTINCT FROM p.{column}"
    for kind, column in {"status": "status", "price": "stripe_price_id", "cancel_flag": "cancel_at_period_end"}.items()
}
REPAIRS = [
    """INSERT INTO subscriptions (user_id, stripe_subscription_id, stripe_price_id, status, current_period_start, current_period_end,
            trial_end, cancel_at_period_end, created_at)
        SELECT u.id, s.id, s.price, s.status::subscription_status, to_timestamp(s.period_start), to_timestamp(s.period_end),
            to_timestamp(s.trial_end), s.cancel_at_period_end, to_timestamp(s.created)
        FROM raw_plan p JOIN aura_ops.staged_subscriptions s ON s.id = p.id JOIN users u ON u.stripe_customer_id = s.customer
        WHERE p.kind = 'missing_locally'""",
    *(
        f"""UPDATE subscriptions l SET {values}, updated_at = now() FROM raw_plan p JOIN aura_ops.staged_subscriptions s ON s.id = p.id
            WHERE p.kind = '{kind}' AND l.stripe_subscription_id = p.id AND {_BEFORE[kind]}"""
        for kind, values in _SET.items()
    ),
]


class Raw:
    """The hand-written side."""

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, *statements: str) -> None:
        """All of it in one transaction."""
        with psycopg.connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def forget(self) -> None:
        self.run("DROP TABLE IF EXISTS raw_plan, raw_several, raw_balances")


class Ours:
    """The program's side: what `aura subscriptions reconcile --apply` does once everything is staged."""

    def __init__(self, url: str) -> None:
        self.engine = connect(url.replace("postgresql://", "postgresql+psycopg://"))
        self.made = ""
        self.counts: dict[str, int] = {}

    def plan(self) -> None:
        scope = Scope(SCAN)
        with writing(self.engine) as connection:
            prepare(connection)
            compare(connection, scope)
        with writing(self.engine) as connection:
            self.made = plan.create(connection, "reconcile", SCAN, complete=True, rows_here=ROWS)
            fill_plan(connection, self.made, scope, NO_SESSIONS)
            self.counts = plan.counts(connection, self.made)

    def apply(self) -> None:
        with lease(self.engine, "reconcile") as held:
            done = apply(self.engine, self.made, KINDS, "benchmark", lease=held)
        assert done.applied == sum(self.counts.values())


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "fast"])
def test_a_million_rows(durable: bool) -> None:
    """Plan and repair of 19,000 differences among a million rows, and the memory that the program needs for it."""
    with newest_postgres(**({} if durable else FAST)) as server, server.database() as name:
        url = server.url(name)
        raw, ours = Raw(url), Ours(url)
        upgrade(ours.engine)
        fill(url, ROWS)
        make_different(url, ROWS)
        ours.plan()  # imports and statement caches
        small = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        taken = _rounds(url, raw, ours)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - small) / 1024
        ours.engine.dispose()
    assert sum(ours.counts.values()) == 19_000, ours.counts  # of 4,000 missing ones a quarter have ended
    kind = "durable" if durable else "fsync off"

    def figure(work: str, limit: str, limited: str, measured: str, hold: str = "") -> Figure:
        mine, theirs = median(taken[measured]), median(taken[limited])
        return Figure(f"{work}, {kind}", f"{limit} {theirs:.2f} s", f"{mine:.2f} s", mine / theirs, hold)

    show(
        figure("plan, 1M × 1M rows", "raw SQL, same questions", "raw questions", "plan", "≤2"),
        figure("plan, 1M × 1M rows", "raw SQL, the join alone", "raw join", "plan"),
        figure("apply, 19k changes", "raw UPDATEs", "raw apply", "apply", "≤2"),
        Figure(f"memory for both, {kind}", "16 MB", f"{grown:.0f} MB more", grown / 16),
    )


def _rounds(url: str, raw: Raw, ours: Ours) -> dict[str, list[float]]:
    works: list[tuple[str, Callable[[], None]]] = [
        ("raw join", lambda: raw.run(JOIN)),
        ("raw apply", lambda: raw.run(*REPAIRS)),
        ("", lambda: make_different(url, ROWS)),
        ("", raw.forget),
        ("raw questions", lambda: raw.run(JOIN, SEVERAL, UNPAID)),
        ("", raw.forget),
        ("plan", ours.plan),
        ("apply", ours.apply),
        ("", lambda: make_different(url, ROWS)),
    ]
    taken: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, work in works:
            taken.setdefault(name, []).append(seconds(work))
    return taken
