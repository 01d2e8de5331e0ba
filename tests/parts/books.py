"""A small service to reconcile: made-up people at Stripe's stand-in, the same people in a real database, and ways to spoil either."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select, text

from aura_cli.db.engine import connect, reading, writing
from aura_cli.db.leases import lease
from aura_cli.db.shared import SHARED
from aura_cli.db.types import TIME_TEXT
from aura_cli.drift.plan import Change, changes
from aura_cli.sandbox.credentials import Addresses, environment
from aura_cli.sandbox.faults import Faults
from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.sandbox.population import Bill, Contract, Person, Population, TopUp
from aura_cli.sandbox.run import fill_database
from aura_cli.settings import Settings
from aura_cli.subscriptions import reconcile as work
from aura_cli.subscriptions.reconcile import Planned, Progress, Reconciliation, Wanted
from aura_cli.subscriptions.stripe import service
from aura_cli.subscriptions.tables import grants
from aura_cli.transport import Service
from tests.parts.stripe import StandIn, stand_in

DAY, HOUR = 86_400, 3_600
NOW = int(time.time())  # the database's clock decides what is in time, so a population is seen now
PRICES = (PRO_MONTHLY, replace(PRO_MONTHLY, id="price_other", amount=100))


def contract(name: str, status: str = "active", *, age: int = 10 * DAY, **values: Any) -> Contract:
    """A contract `sub_<name>` that began `age` seconds ago and is in its first month, with its first bill paid."""
    created = NOW - age
    made = Contract(
        id=f"sub_{name}",
        item=f"si_{name}",
        price=PRO_MONTHLY.id,
        status=status,
        created=created,
        period_start=created,
        period_end=created + 30 * DAY,
        trial_end=None,
        cancel_at_period_end=False,
        ended=created + DAY if status in ("canceled", "incomplete_expired") else None,
        invoices=(Bill(f"in_{name}", created, "subscription_create", "paid", 2900),),
    )
    return replace(made, **values)


def renewed(name: str, *, paid: int, period: int = 30 * DAY) -> Contract:
    """An active contract in its second period, whose renewal was billed and paid `paid` seconds ago."""
    first = contract(name, age=paid + period)
    bills = (*first.invoices, Bill(f"in_{name}2", NOW - paid, "subscription_cycle", "paid", 2900))
    return replace(first, period_start=NOW - paid, period_end=NOW - paid + period, invoices=bills)


def top_up(name: str, *, age: int = DAY, tokens: int = 1_000_000) -> TopUp:
    """A paid top-up `cs_test_<name>`."""
    return TopUp(f"cs_test_{name}", NOW - age, tokens, 900, "starter")


def person(number: int, *contracts: Contract, **values: Any) -> Person:
    """Person `number`: uuid, DID, mailbox and customer all end in it."""
    made = Person(
        uuid=f"00000000-0000-4000-8000-{number:012}",
        did=f"did:privy:person{number}",
        created=NOW - 400 * DAY,
        name=f"Person {number}",
        email=f"person{number}@example.com",
        email_verified=True,
        google=False,
        wallet=None,
        avatar=None,
        customer=f"cus_person{number}",
        contracts=contracts,
    )
    return replace(made, **values)


def population(*people: Person) -> Population:
    return Population(1, NOW, PRICES, people)


@dataclass
class Books:
    """Both sides. `url` is what DATABASE_URL holds; `variables` lead the program to both."""

    url: str
    engine: Engine
    stripe: StandIn
    service: Service
    variables: dict[str, str]
    people: Population
    notes: list[str] = field(default_factory=list)

    def sql(self, statement: str, **values: Any) -> None:
        """Change the database as somebody else would. `users` and so on stand for the shared tables."""
        with writing(self.engine) as connection:
            connection.execute(text(statement), values)

    def value(self, statement: str, **values: Any) -> Any:
        """The one value that a query gives."""
        with reading(self.engine) as connection:
            return connection.execute(text(statement), values).scalar()

    def shared(self) -> dict[str, list[dict[str, Any]]]:
        """All rows of the shared tables, by table, in one order; what each writer may choose freely (own ids, now) left out."""
        with reading(self.engine) as connection:
            return {table.name: _rows(connection, table) for table in SHARED}

    def ledger(self) -> list[tuple[Any, ...]]:
        """The grants: cause, user, kind, tokens."""
        g = grants.c
        with reading(self.engine) as connection:
            return [tuple(row) for row in connection.execute(select(g.cause, g.user_id, g.kind, g.tokens).order_by(g.cause))]

    def plan(self, **wanted: Any) -> Planned:
        """Scan, compare, plan, as the command does."""
        asked = Wanted(**wanted)
        with lease(self.engine, f"reconcile {asked.scope}".strip()) as held:
            progress = Progress(note=self.notes.append)
            return work.make_plan(self.engine, self.service, asked, datetime.now(UTC), lease=held, progress=progress)

    def drift(self, planned: Planned) -> list[Change]:
        return list(changes(self.engine, planned.plan))

    def apply(self, planned: Planned, limit: int | None = 1_000_000) -> Reconciliation:
        with lease(self.engine, "reconcile") as held:
            return work.carry_out(self.engine, planned, "tester", lease=held, limit=limit, progress=Progress())

    def found(self, **wanted: Any) -> list[Change]:
        """The drift that a reconcile finds now."""
        return self.drift(self.plan(**wanted))

    def repair(self, **wanted: Any) -> Reconciliation:
        """Plan and apply."""
        return self.apply(self.plan(**wanted))

    def balance(self, number: int = 1) -> int | None:
        """The balance of person `number`."""
        found: int | None = self.value("SELECT balance FROM token_balances WHERE user_id = :user", user=person(number).uuid)
        return found


def at(seconds: int | None) -> str | None:
    """A time as a plan holds it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def bound(books: Books, seconds: float) -> Any:
    """A moment (epoch seconds) as a value of a text statement."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime(TIME_TEXT) if books.engine.dialect.name == "sqlite" else moment


def _rows(connection: Any, table: Any) -> list[dict[str, Any]]:
    """A row's own id and updated_at are its writer's; a repair's own moment (last_reset_at, a top-up's created_at) counts as now."""
    dropped = {"updated_at"} if table.name == "users" else {"id", "updated_at"}
    rows = []
    for row in connection.execute(select(table)):
        kept = {name: value for name, value in row._mapping.items() if name not in dropped}
        for name, value in kept.items():
            if isinstance(value, datetime) and abs(value.timestamp() - time.time()) < 10 * 60 and table.name.startswith("token_"):
                kept[name] = "now"
        rows.append(kept)
    return sorted(rows, key=repr)


@contextmanager
def opened(url: str, people: Population, home: Path, *, drift: bool = False, faults: Faults | None = None) -> Iterator[Books]:
    """Stripe's stand-in and a database at `url` filled with what `people` bought, spoilt with `drift`."""
    address = url.replace("postgresql://", "postgresql+psycopg://")
    fill_database(address, people, drift=drift)
    with ExitStack() as open_:
        stripe = open_.enter_context(stand_in(people, faults))
        variables = environment(Addresses(stripe.base, stripe.base), home, url)
        variables = {**variables, "PRIVY_API_BASE": stripe.base, "GA_API_SECRET": ""}  # payments are not counted
        asked = open_.enter_context(service(Settings.load(variables, home)))
        engine = connect(address)
        open_.callback(engine.dispose)
        yield Books(url, engine, stripe, asked, variables, people)
