"""Erasing one person, as the EU's GDPR (article 17) asks for: planned first, then outside, then here in one transaction.

Nothing here is written before everything outside is done, and what is done outside may be done twice: whoever is killed in between runs
it again. What remains is a receipt that names nobody, and hashes by which neither a sync nor an event brings the person back.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from sqlalchemy import Connection, Engine, select

from aura_cli.audit.log import record
from aura_cli.db.engine import writing
from aura_cli.db.shared import integrations, subscriptions, users
from aura_cli.errors import ConflictError, NotFoundError
from aura_cli.transport import Service
from aura_cli.users.departed import PRIVY, STRIPE, hold_departures, keep_customers, remember_erased, was_erased
from aura_cli.users.dependents import rules_of
from aura_cli.users.holdings import Room, dids
from aura_cli.users.persons import erase_belongings, has_money
from aura_cli.users.tables import erasures, other_customers
from aura_cli.users.who import Person

LEASE = "users erase"
_ENDED = "canceled"


@dataclass(frozen=True)
class Erasure:
    """What an erasure does to a person, in rows by table. `pseudonym`: their row stays, without anything of them, for the money's sake.

    `living` are subscriptions that have not ended, `connections` what is revoked at its provider, `customers` and `dids` what Stripe and
    Privy know them by.
    """

    user: str
    rows: Mapping[str, int]
    pseudonym: bool
    living: Sequence[str]
    connections: Sequence[str]
    customers: Sequence[str]
    dids: Sequence[str]


@dataclass(frozen=True)
class Receipt:
    """That somebody was erased: nothing in it says who. `revoked` counts connections, `stripe` and `privy` what was deleted there."""

    id: str
    at: datetime
    operator: str
    rows: Mapping[str, int]
    pseudonym: bool
    revoked: int
    not_revoked: int
    stripe: int | None
    privy: int | None


@dataclass(frozen=True)
class Outside:
    """What was done elsewhere, in numbers; None at Stripe and Privy: nothing was asked for there."""

    revoked: int = 0
    not_revoked: int = 0
    stripe: int | None = None
    privy: int | None = None


Rooms = Sequence[Room]


@dataclass(frozen=True)
class Elsewhere:
    """What other rooms do when somebody leaves.

    `customers` are those at Stripe that are theirs alone, `living` subscriptions of those that run there; `end` writes down that the
    subscriptions of customers that were deleted ended; `revoke` ends all that they are connected with, and gives how many were revoked
    and how many are still to be; `require_loose` raises ConflictError where it could not.
    """

    customers: Callable[[Connection, Person], Sequence[str]]
    living: Callable[[Connection, Person], Sequence[str]]
    end: Callable[[Connection, Person, Sequence[str]], None]
    revoke: Callable[[Person], tuple[int, int]]
    require_loose: Callable[[Connection, Person], None]


def foresee(engine: Engine, rooms: Rooms, person: Person, elsewhere: Elsewhere) -> Erasure:
    """What erasing would do now: done in a transaction, and taken back. Raises ConflictError where something is under way to them."""
    with writing(engine) as connection:
        _require_person(person)
        elsewhere.require_loose(connection, person)
        s, i = subscriptions.c, integrations.c
        living = select(s.stripe_subscription_id).where(s.user_id == person.id, s.status != _ENDED).order_by(s.stripe_subscription_id)
        connected = select(i.provider).where(i.user_id == person.id).order_by(i.provider)
        facts: tuple[Sequence[str], ...] = (
            sorted({*connection.execute(living).scalars(), *elsewhere.living(connection, person)}),
            list(connection.execute(connected).scalars()),
            elsewhere.customers(connection, person),
            dids(connection, person),
        )
        kept = has_money(connection, person)
        rows = erase_rows(connection, rooms, person)
        connection.get_transaction().rollback()  # type: ignore[union-attr]
    return Erasure(person.id, rows, kept, *facts)


def erase(engine: Engine, rooms: Rooms, planned: Erasure, operator: str, outside: Outside, elsewhere: Elsewhere) -> Receipt:
    """Erase the person in the database, after what was done `outside`, in one transaction. Raises ConflictError where they are gone."""
    erasure = str(uuid4())
    with writing(engine) as connection:
        hold_departures(connection, leaving=True)
        held = select(*(users.c[name] for name in Person.__dataclass_fields__)).where(users.c.id == planned.user).with_for_update()
        row = connection.execute(held).one_or_none()
        if row is None:
            raise ConflictError("This person is gone by now", "Somebody else erased or merged them meanwhile")
        person = Person(*row)
        known_by = {PRIVY: dids(connection, person), STRIPE: {*planned.customers, *elsewhere.customers(connection, person)}}
        kept = has_money(connection, person)
        if outside.stripe is not None:
            elsewhere.end(connection, person, planned.customers)
        rows = erase_rows(connection, rooms, person)
        remember_erased(connection, erasure, known_by)
        counts: dict[str, Any] = {**rows, "pseudonym": kept, **vars(outside)}
        made = erasures.insert().values(id=erasure, operator=operator, counts=counts).returning(erasures.c.at)
        at = connection.execute(made).scalar_one()
        record(connection, operator, "users.erase", erasure, details=counts)
    return Receipt(erasure, at, operator, rows, kept, **vars(outside))


def remember_leaving(engine: Engine, planned: Erasure) -> None:
    """Put down which customers are about to be deleted at Stripe: its event unlinks them, and whoever goes on has to know them still."""
    with writing(engine) as connection:
        keep_customers(connection, planned.user, planned.customers)


def delete_at_stripe(stripe: Service, customers: Sequence[str]) -> int:
    """Delete customers, which ends their subscriptions at once, https://docs.stripe.com/api/customers/delete; how many there were."""
    return sum(_deleted(stripe, f"/v1/customers/{quote(customer, safe='')}") for customer in customers)


def delete_at_privy(privy: Service, known_as: Sequence[str]) -> int:
    """Delete users, https://docs.privy.io/api-reference/users/delete; how many there were."""
    return sum(_deleted(privy, f"/v1/users/{quote(did, safe=':')}") for did in known_as)


def _deleted(service: Service, path: str) -> bool:
    with suppress(NotFoundError):  # by an earlier try
        service.call("DELETE", path, repeatable=True)
        return True
    return False


def erase_rows(connection: Connection, rooms: Rooms, person: Person) -> dict[str, int]:
    """Erase a person's rows in the caller's transaction; rows by table, but for what is noted for the length of an erasure alone.

    Raises ConflictError where the rules of a table forbid it.
    """
    counts = erase_belongings(connection, person)
    for room in rooms:
        with rules_of("that holds something of them"):
            for name, count in room.erase(connection, person).items():
                counts[name] = counts.get(name, 0) + count
    counts.pop(other_customers.name, None)
    return counts


def _require_person(person: Person) -> None:
    if was_erased(person.privy_user_id):
        raise NotFoundError("This person was erased already", "What is left is the row that their payments need")
