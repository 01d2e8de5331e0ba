"""The sandbox's database: what the web app would have booked for a population, and drift planted into it on request."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, insert

from aura_cli.db.engine import writing
from aura_cli.db.migrate import upgrade
from aura_cli.db.shared import MONTHLY_ALLOCATION, subscriptions, token_balances, token_top_ups, users
from aura_cli.db.tables import binding
from aura_cli.sandbox.population import Contract, Person, Population, TopUp
from aura_cli.settings import SANDBOX
from aura_cli.subscriptions.stripe import NEAREST

DAY = 86_400
SHARE = 250  # one person in so many suffers each kind of drift, and never fewer than two: well below --max-changes


@dataclass
class Books:
    """What the database holds about one person. A fault changes it before it is written."""

    person: Person
    customer: str | None
    subscriptions: dict[str, dict[str, Any]]
    reset_at: int | None  # None: no balance row
    top_ups: dict[str, TopUp]


@dataclass(frozen=True)
class Fault:
    """One way in which books go wrong: the kind that reconcile calls it, who can suffer it, and what happens."""

    kind: str
    fits: Callable[[Person, int], bool]
    plant: Callable[[Books, int], None]


def prepare(engine: Engine) -> None:
    """Bring the schema up and mark the database as the sandbox's."""
    upgrade(engine)
    with writing(engine) as connection:
        connection.execute(binding.update().values(environment=SANDBOX))


def fill(connection: Connection, population: Population, *, people: bool = True, drift: bool = True) -> dict[str, int]:
    """Write what the web app would have: users (with `people`), subscriptions, balances, top-ups.

    With `drift`, some of it is wrong. Returns how many of each kind were planted. A few people who never paid are left
    out and a few are outdated, so that a sync has something to do as well.
    """
    books = [_books(person) for person in population.people]
    planted = _plant(books, population.now) if drift else {}
    if people:
        kept = [b for n, b in enumerate(books) if b.customer or b.person.customer or n % 40]
        rows = [_user(b, outdated=drift and n % 60 == 7) for n, b in enumerate(kept)]
        _write(connection, users, rows)
    else:
        _link(connection, books)
    _write(connection, subscriptions, [row for b in books for row in b.subscriptions.values()])
    _write(connection, token_balances, [_balance(b) for b in books if b.reset_at is not None])
    _write(connection, token_top_ups, [_top_up(b.person, t) for b in books for t in b.top_ups.values()])
    return planted


def _books(person: Person) -> Books:
    stored = {c.id: _subscription(person, c) for c in person.contracts if c.status != "incomplete_expired"}
    return Books(person, person.customer, stored, _last_reset(person), {t.session: t for t in person.top_ups})


def _last_reset(person: Person) -> int | None:
    """When the web app last set the balance: at the newest paid renewal, else at the first payment."""
    renewals = [
        bill.created for c in person.contracts for bill in c.invoices if bill.reason == "subscription_cycle" and bill.status == "paid"
    ]
    return max([*renewals, *(c.created for c in person.contracts)], default=None)


def _subscription(person: Person, contract: Contract) -> dict[str, Any]:
    return {
        "user_id": person.uuid,
        "stripe_subscription_id": contract.id,
        "stripe_price_id": contract.price,
        "status": NEAREST[contract.status],
        "current_period_start": _at(contract.period_start),
        "current_period_end": _at(contract.period_end),
        "trial_end": _at(contract.trial_end),
        "cancel_at_period_end": contract.cancel_at_period_end,
        "created_at": _at(contract.created),
    }


def _user(books: Books, *, outdated: bool) -> dict[str, Any]:
    person = books.person
    return {
        "id": person.uuid,
        "privy_user_id": person.did,
        "email": person.email,
        "name": None if outdated else person.name,
        "avatar_url": person.avatar,
        "stripe_customer_id": books.customer,
        "created_at": _at(person.created),
    }


def _balance(books: Books) -> dict[str, Any]:
    bought = sum(top_up.tokens for top_up in books.top_ups.values())
    return {
        "user_id": books.person.uuid,
        "balance": MONTHLY_ALLOCATION + bought,
        "monthly_allocation": MONTHLY_ALLOCATION,
        "total_purchased": bought,
        "last_reset_at": _at(books.reset_at),
    }


def _top_up(person: Person, top_up: TopUp) -> dict[str, Any]:
    return {
        "user_id": person.uuid,
        "stripe_session_id": top_up.session,
        "tokens_added": top_up.tokens,
        "amount_paid": top_up.amount,
        "package_id": top_up.package,
        "created_at": _at(top_up.created),
    }


def _at(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _write(connection: Connection, table: Any, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), list(rows))


def _link(connection: Connection, books: Sequence[Books]) -> None:
    """Link users whom a sync has made; their ids are the database's own, so the books take those over."""
    from sqlalchemy import bindparam, select

    ids: dict[str, str] = dict(connection.execute(select(users.c.privy_user_id, users.c.id)).all())
    linked = [{"of": b.person.did, "customer": b.customer} for b in books if b.customer]
    statement = users.update().where(users.c.privy_user_id == bindparam("of")).values(stripe_customer_id=bindparam("customer"))
    connection.execute(statement, linked)
    for b in books:
        b.person = replace(b.person, uuid=ids[b.person.did])
        for row in b.subscriptions.values():
            row["user_id"] = b.person.uuid


def _living(person: Person) -> Contract | None:
    """The one contract that entitles."""
    return next((c for c in person.contracts if c.status in ("active", "trialing")), None)


def _has(status: str) -> Callable[[Person, int], bool]:
    def fits(person: Person, now: int) -> bool:
        contract = _living(person)
        return contract is not None and contract.status == status and contract.created < now - DAY and len(person.contracts) == 1

    return fits


def _renewed(person: Person, now: int) -> bool:
    contract = _living(person)
    last = contract.invoices[-1] if contract and contract.invoices else None
    return bool(
        contract
        and last
        and _has("active")(person, now)
        and last.reason == "subscription_cycle"
        and last.status == "paid"
        and last.created < now - DAY
        and contract.period_start > contract.created + DAY
    )


def _set(**values: Any) -> Callable[[Books, int], None]:
    def plant(books: Books, now: int) -> None:
        for row in books.subscriptions.values():
            row.update(values)

    return plant


def _earlier(*columns: str) -> Callable[[Books, int], None]:
    def plant(books: Books, now: int) -> None:
        for row in books.subscriptions.values():
            row.update({name: _at(int(row[name].timestamp()) - 30 * DAY) for name in columns})

    return plant


def _flip(books: Books, now: int) -> None:
    for row in books.subscriptions.values():
        row["cancel_at_period_end"] = not row["cancel_at_period_end"]


def _shadow(books: Books, now: int) -> None:
    """An old, ended row that was written late stands above the one that is paid."""
    living = _living(books.person)
    for name, row in books.subscriptions.items():
        if living and name != living.id:
            row["created_at"] = _at(now - 60)


def _forget(attribute: str, value: Any) -> Callable[[Books, int], None]:
    return lambda books, now: setattr(books, attribute, value)


def _age(books: Books, now: int) -> None:
    assert books.reset_at is not None, "only who has a balance can have an old one"
    books.reset_at -= 30 * DAY


def _bought_lately(person: Person, now: int) -> bool:
    return len(person.top_ups) == 1 and now - 30 * DAY < person.top_ups[0].created < now - DAY


def _ended_before(person: Person, now: int) -> bool:
    living = _living(person)
    return len(person.contracts) == 2 and living is not None and person.contracts[0].status == "canceled" and living is person.contracts[1]


FAULTS = (
    Fault("shadowed", _ended_before, _shadow),
    Fault("topup_missing", _bought_lately, lambda books, now: books.top_ups.clear()),
    Fault("trial", _has("trialing"), _earlier("trial_end")),
    Fault("renewal_missing", _renewed, _age),
    Fault("missing_locally", _has("active"), lambda books, now: books.subscriptions.clear()),
    Fault("unknown_customer", _has("active"), _forget("customer", None)),
    Fault("status", _has("active"), _set(status="past_due")),
    Fault("period", _has("active"), _earlier("current_period_start", "current_period_end")),
    Fault("price", _has("active"), _set(stripe_price_id="price_1SandboxRetired0000000000")),
    Fault("cancel_flag", _has("active"), _flip),
    Fault("balance", _has("active"), _forget("reset_at", None)),
)


def _plant(books: Sequence[Books], now: int) -> dict[str, int]:
    """Give each kind of drift to its share of the people whom it fits, one kind a person."""
    free: Iterator[Books]
    spoilt: set[str] = set()
    planted: dict[str, int] = {}
    payers = sum(1 for b in books if b.customer)
    for fault in FAULTS:
        free = (b for b in books if b.person.did not in spoilt and fault.fits(b.person, now))
        for b, _ in zip(free, range(max(2, payers // SHARE)), strict=False):
            fault.plant(b, now)
            spoilt.add(b.person.did)
            planted[fault.kind] = planted.get(fault.kind, 0) + 1
    return planted
