"""ANYTHING that somebody pastes, turned into whom it is about: people here, customers at Stripe, mail addresses."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Connection, func, or_, select

from aura_cli.audit.story import Whom
from aura_cli.db.shared import subscriptions, token_top_ups, users
from aura_cli.db.types import among
from aura_cli.errors import UsageError
from aura_cli.mail.tables import mails
from aura_cli.subscriptions.customers import of
from aura_cli.subscriptions.tables import customer_links, grants, subscription_states
from aura_cli.users.holdings import addresses
from aura_cli.users.tables import other_customers, privy_users, user_aliases
from aura_cli.users.who import Form, Person
from aura_cli.webhooks.tables import webhook_events

FORMS = "WHO (a uuid, did:privy:…, an address, cus_…, sub_…), evt_…, in_…, cs_…, ch_…, pi_…, or a mail's id, here or at Resend"
_STRIPES = re.compile(r"(evt|in|cs|ch|py|pi|cus|sub)_\w{1,250}", re.ASCII)
_CAUSES = {"in": "invoice", "cs": "session", "sub": "subscription"}  # an id's beginning → what a grant calls such a cause
_RESEND = re.compile(r"[\w-]{8,80}", re.ASCII)


@dataclass(frozen=True)
class Subject:
    """Whom a text is about. `people` are several where they share what was asked for; `event` and `mail` are what was asked for itself."""

    asked: str
    people: tuple[Person, ...] = ()
    customers: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    event: str | None = None
    mail: str | None = None
    known: bool = True  # False: nothing here knows it, and an outside service may

    @property
    def whom(self) -> Whom:
        return Whom(tuple(one.id for one in self.people), self.customers, self.addresses)

    @property
    def is_of_stripe(self) -> bool:
        """Whether what was asked for is an id of Stripe's."""
        return bool(_STRIPES.fullmatch(self.asked))

    @property
    def who(self) -> str:
        """What the person is called in a command: our id, or the only thing that is known."""
        known = [one.id for one in self.people] or [*self.customers] or [*self.addresses]
        return known[0] if known else self.asked


def find(connection: Connection, asked: str) -> Subject:
    """Whom `asked` is about, as far as the database knows. Raises UsageError for what has none of the forms."""
    asked = asked.strip()
    if _STRIPES.fullmatch(asked):
        return _of_stripe(connection, asked)
    if Form.EMAIL.value.fullmatch(asked):
        verified = select(privy_users.c.privy_user_id).where(func.lower(privy_users.c.verified_email) == asked.lower())
        found = people(connection, or_(func.lower(users.c.email) == asked.lower(), users.c.privy_user_id.in_(verified)))
        return completed(connection, Subject(asked, found, addresses=(asked.lower(),), known=bool(found)))
    if Form.DID.value.fullmatch(asked):
        merged = select(user_aliases.c.into_id).where(user_aliases.c.privy_id == asked)
        found = people(connection, or_(users.c.privy_user_id == asked, users.c.id.in_(merged)))
        return completed(connection, Subject(asked, found, known=bool(found)))
    if Form.ID.value.fullmatch(asked):
        identifier = asked.lower()
        merged = select(user_aliases.c.into_id).where(user_aliases.c.user_id == identifier)
        if found := people(connection, or_(users.c.id == identifier, users.c.id.in_(merged))):
            return completed(connection, Subject(asked, found))
        return _of_mail(connection, asked, or_(mails.c.id == identifier, mails.c.resend_id == identifier))
    if _RESEND.fullmatch(asked):
        return _of_mail(connection, asked, mails.c.resend_id == asked)
    raise UsageError(f"{asked[:80]!a} is nothing that can be explained", f"Give {FORMS}")


def with_customer(connection: Connection, subject: Subject, customer: str) -> Subject:
    """The subject with a customer of whom an outside service told."""
    return completed(connection, replace(subject, customers=(customer,), people=(*subject.people, *owners(connection, customer))))


def completed(connection: Connection, subject: Subject) -> Subject:
    """With every customer and address that belongs to its people, as a takeout finds them, each once."""
    each = {one.id: one for one in subject.people}
    state = subscription_states.c
    theirs = select(subscriptions.c.stripe_subscription_id).where(among(subscriptions.c.user_id, each))
    seen = connection.execute(
        select(state.customer).where(state.current, state.subscription.in_(theirs)).order_by(state.customer)
    ).scalars()
    own = (one.stripe_customer_id for one in each.values())
    linked = (customer for one in each.values() for customer in sorted(of(connection, one)))
    known = (address for one in each.values() for address in addresses(connection, one))
    return replace(
        subject,
        people=tuple(each.values()),
        customers=_once([*subject.customers, *own, *linked, *seen]),
        addresses=_once([*subject.addresses, *known]),
    )


def _of_stripe(connection: Connection, asked: str) -> Subject:
    kind = asked.partition("_")[0]
    if kind == "cus":
        return completed(connection, Subject(asked, owners(connection, asked) or people(connection, left(asked)), (asked,)))
    e, state = webhook_events.c, subscription_states.c
    heard = connection.execute(select(e.customer).where(e.id == asked if kind == "evt" else e.object == asked)).scalars().all()
    seen = connection.execute(select(state.customer).where(state.subscription == asked)).scalars() if kind == "sub" else ()
    customers, found = _once([*heard, *seen]), _by_money(connection, asked, kind)
    for customer in customers:
        found += owners(connection, customer)
    event = asked if kind == "evt" else None
    return completed(connection, Subject(asked, found, customers, event=event, known=bool(heard or found or customers)))


def _by_money(connection: Connection, asked: str, kind: str) -> tuple[Person, ...]:
    """Those for whom something was granted, booked or stored under that id."""
    cause = f"{_CAUSES.get(kind, kind)}:{asked}"
    granted = select(grants.c.user_id).where(grants.c.cause == cause)
    booked = select(token_top_ups.c.user_id).where(token_top_ups.c.stripe_session_id == asked)
    stored = select(subscriptions.c.user_id).where(subscriptions.c.stripe_subscription_id == asked)
    return people(connection, or_(*(users.c.id.in_(one) for one in (granted, booked, stored)))) if kind in _CAUSES else ()


def _of_mail(connection: Connection, asked: str, which: ColumnElement[bool]) -> Subject:
    row = connection.execute(select(mails.c.id, mails.c.user_id, mails.c.address).where(which)).first()
    if row is None:
        return Subject(asked, known=False)
    address = (row.address.lower(),) if row.address else ()
    owner = users.c.id == row.user_id if row.user_id else func.lower(users.c.email).in_(address)
    return completed(connection, Subject(asked, people(connection, owner), addresses=address, mail=row.id))


def owners(connection: Connection, customer: str) -> tuple[Person, ...]:
    """The users whom a customer is linked to, by their rows, or where none says so by what was remembered of it."""
    if found := people(connection, users.c.stripe_customer_id == customer):
        return found
    linked = select(customer_links.c.user_id).where(customer_links.c.customer == customer)
    return people(connection, users.c.id.in_(linked) & users.c.stripe_customer_id.is_(None))


def left(customer: str) -> ColumnElement[bool]:
    """Over `users`: whom a merge left a customer to, beside the one in their row."""
    return users.c.id.in_(select(other_customers.c.user_id).where(other_customers.c.customer == customer))


def people(connection: Connection, which: ColumnElement[bool]) -> tuple[Person, ...]:
    """The users of whom `which` holds, the oldest first, ten at most."""
    columns = [users.c[name] for name in Person.__dataclass_fields__]
    return tuple(
        Person(*row) for row in connection.execute(select(*columns).where(which).order_by(users.c.created_at, users.c.id).limit(10))
    )


def _once(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))
