"""WHO: any identifier of a person, turned into one person."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from aura_cli.db.shared import subscriptions, users
from aura_cli.db.types import UUID
from aura_cli.errors import NotFoundError, UsageError
from aura_cli.users.near import meant
from aura_cli.users.tables import user_aliases

CANDIDATES_SHOWN = 10
FORMS = "WHO is a user id (uuid), a DID (did:privy:…), an e-mail address, a customer (cus_…) or a subscription (sub_…)"


class Form(Enum):
    """What an identifier can be; the value is its pattern."""

    ID = re.compile(UUID, re.IGNORECASE)
    DID = re.compile(r"did:privy:[\x21-\x7e]{1,240}")
    CUSTOMER = re.compile(r"cus_\w{1,250}", re.ASCII)
    SUBSCRIPTION = re.compile(r"sub_\w{1,250}", re.ASCII)
    EMAIL = re.compile(r"(?=.{3,320}\Z)[^@\s\x00-\x1f\x7f\ud800-\udfff]+@[^@\s\x00-\x1f\x7f\ud800-\udfff]+")


@dataclass(frozen=True)
class Person:
    """One row of `users`, as far as it says who somebody is."""

    id: str
    privy_user_id: str
    email: str | None
    name: str | None
    stripe_customer_id: str | None


def form_of(who: str) -> Form:
    """Which form an identifier has. Raises UsageError for none of them."""
    for form in Form:
        if form.value.fullmatch(who):
            return form
    raise UsageError(f"{who[:80]!a} is no identifier of a person", FORMS)


def resolve(connection: Connection, who: str) -> Person:
    """The one person whom `who` identifies; upper and lower case are alike in uuids and e-mail addresses.

    A uuid or DID of somebody who was merged into another person is that one.

    Raises UsageError for a malformed identifier and, listing ids, for one that several share; NotFoundError for an unknown one.
    """
    form = form_of(who)
    columns = [users.c[name] for name in Person.__dataclass_fields__]
    wanted = select(*columns).order_by(users.c.id).limit(CANDIDATES_SHOWN + 1)
    found = connection.execute(wanted.where(_is(form, who))).all()
    if not found and (merged := _merged(form, who)) is not None:
        found = connection.execute(wanted.where(users.c.id.in_(merged))).all()
    if not found:
        hint = "aura users list --search TEXT looks for parts; aura users sync asks Privy"
        raise NotFoundError(f"Nobody here is known by {who}", meant(connection, who) + hint)
    if len(found) > 1:
        raise UsageError(f"{who} is {_several(found)} people", f"Name one by id: {_listed([row.id for row in found])}")
    return Person(*found[0])


def _is(form: Form, who: str) -> ColumnElement[bool]:
    match form:
        case Form.ID:
            return users.c.id == who.lower()
        case Form.DID:
            return users.c.privy_user_id == who
        case Form.CUSTOMER:
            return users.c.stripe_customer_id == who
        case Form.SUBSCRIPTION:
            return users.c.id.in_(select(subscriptions.c.user_id).where(subscriptions.c.stripe_subscription_id == who))
        case Form.EMAIL:
            return func.lower(users.c.email) == func.lower(who)


def _merged(form: Form, who: str) -> Select[Any] | None:
    """Whom the user was merged into that this was."""
    a = user_aliases.c
    match form:
        case Form.ID:
            return select(a.into_id).where(a.user_id == who.lower())
        case Form.DID:
            return select(a.into_id).where(a.privy_id == who)
    return None


def _several(found: Sequence[object]) -> str:
    return str(len(found)) if len(found) <= CANDIDATES_SHOWN else f"more than {CANDIDATES_SHOWN}"


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(ids[:CANDIDATES_SHOWN]) + (", …" if len(ids) > CANDIDATES_SHOWN else "")
