"""Is each customer at Stripe exactly one person here, and each person one customer?"""

from collections.abc import Iterator, Sequence
from shlex import quote

from sqlalchemy import func, or_, select

from aura_cli.db.shared import users
from aura_cli.db.types import among
from aura_cli.insight import subject
from aura_cli.insight.case import Break, Case, command
from aura_cli.subscriptions.customers import as_uuid, candidates, erased
from aura_cli.subscriptions.stripe import ENDED, Customer
from aura_cli.users.departed import was_erased
from aura_cli.users.tables import privy_users, user_aliases
from aura_cli.users.who import Person
from aura_cli.webhooks.tables import webhook_events

LINK = "customer"
NOBODY = "00000000-0000-0000-0000-000000000000"


def breaks(case: Case) -> Iterator[Break]:
    """Customers of nobody, of several, of who was erased; people with the same address; customers that Stripe deleted; further ones."""
    gone = erased(case.connection, case.subject.customers)
    for customer in case.subject.customers:
        owners = subject.owners(case.connection, customer)
        if customer in gone:
            yield from [_of_erased(case, customer)] if _living(case, customer) else []
        elif not (owners or _is_past(case, customer)):
            yield from _lost(case, customer) if _is_gone(case, customer) else [_unknown(case, customer)]
        elif len(owners) > 1:
            yield _several(case, f"{customer} is linked to", owners, proven=False)
    yield from _twins(case)
    linked = {one.stripe_customer_id for one in case.subject.people}
    for customer, found in (case.stripe.customers if case.stripe else {}).items():
        if customer in linked and (found is None or found.deleted):
            state = "does not know" if found is None else "has deleted"
            what = f"Stripe {state} {customer}, which the person is linked to"
            yield Break(LINK, what, command("webhooks backfill --since 30d" if found else "env check"))
    yield from _further(case, linked)


def _is_past(case: Case, customer: str) -> bool:
    """A customer of which nothing lives needs nobody."""
    return bool(case.subject.people) and not _living(case, customer)


def _living(case: Case, customer: str) -> list[str]:
    """The subscriptions that a customer pays for."""
    return [one.id for one in case.facts if one.customer == customer and one.status not in ENDED]


def _is_gone(case: Case, customer: str) -> bool:
    """Whether Stripe was asked and has no such customer, or has it no more."""
    return case.stripe is not None and ((found := case.stripe.customers.get(customer)) is None or found.deleted)


def _lost(case: Case, customer: str) -> Iterator[Break]:
    """Nobody's, here or there: it matters where something was heard of it that waits."""
    e = webhook_events.c
    if case.connection.execute(select(e.id).where(e.customer == customer, e.state == "unmatched").limit(1)).first():
        what = f"{customer} is of nobody here, and Stripe has it no more: its events wait in vain"
        yield Break(LINK, what, command("webhooks list --customer {}", customer))


def _unknown(case: Case, customer: str) -> Break:
    said = {**case.stripe.customers, **{one.id: one for one in case.stripe.others}} if case.stripe else {}
    known = said.get(customer)
    repair = command("subscriptions reconcile {} --apply", customer)
    taken, found = _taken(case, customer, known), candidates(case.connection, known) if known else ()
    if taken and was_erased(taken.privy_user_id) and not found:
        return _of_erased(case, customer)
    if len(found) == 1:
        return Break(LINK, f"Nobody here is known by {customer}; by what Stripe says it is {found[0]}", repair)
    if found:
        return Break(
            LINK, f"Nobody here is known by {customer}, and {len(found)} people may be it: {', '.join(found)}", command("users duplicates")
        )
    if taken and taken.stripe_customer_id:
        return _two(taken.stripe_customer_id, customer, f"of {taken.id}")
    if known is None:
        return Break(LINK, f"Nobody here is known by {customer}", repair)
    return Break(LINK, f"Nobody here is known by {customer}, and nobody without a customer fits", _bring(known, repair))


def _taken(case: Case, customer: str, known: Customer | None) -> Person | None:
    """Whose a customer is, by the ids that Stripe has of them, before a merge, too, or because a merge left it to them."""
    said = (known.metadata or {}) if known else {}
    user, did, a = as_uuid(said.get("userId")) or NOBODY, said.get("privyUserId", ""), user_aliases.c
    merged = select(a.into_id).where(or_(a.user_id == user, a.privy_id == did))
    theirs = or_(users.c.id == user, users.c.privy_user_id == did, users.c.id.in_(merged), subject.left(customer))
    people = subject.people(case.connection, theirs)
    return min(people, key=lambda one: was_erased(one.privy_user_id), default=None)  # whoever came back is here twice


def _of_erased(case: Case, customer: str) -> Break:
    """Nobody here is to be told of it any more: it can only be ended there."""
    bills = f", and Stripe bills it still, for {', '.join(living)}" if (living := _living(case, customer)) else ""
    key = case.settings.secret("STRIPE_SECRET_KEY")
    live = " --live" * bool(key and "_live_" in key.reveal())
    what = f"{customer} is of a person who was erased{bills}: it is to be deleted there, with Stripe's own command"
    return Break(LINK, what, f"stripe customers delete {quote(customer)}{live}")


def _two(linked: str, other: str, whose: str) -> Break:
    what = f"Stripe has two customers {whose}: linked is {linked}, and {other} is billed, too"
    return Break(LINK, what, command("subscriptions reconcile {}", other))


def _bring(known: Customer, otherwise: str) -> str:
    """Whom Stripe names may be at Privy and not here yet."""
    name = (known.metadata or {}).get("privyUserId") or known.email
    return command("users sync {}", name) if name else otherwise


def _several(case: Case, how: str, people: Sequence[Person], *, proven: bool) -> Break:
    """Rows of one person: the one with access, or else the oldest, stays. What proves nothing is only planned: they may be two people."""
    stays = next((one for one in people if one.id in case.entitled), people[0])
    goes = next(one for one in people if one.id != stays.id)
    proven = proven and not {stays.id, goes.id} <= set(case.entitled)  # of two who both pay, a customer would be left with nobody
    ids = ", ".join(one.id for one in people)
    doubt = "" if proven else "; whether that is one person is for somebody to judge"
    return Break(LINK, f"{how} {len(people)} people: {ids}{doubt}", command("users merge {} {}" + " --apply" * proven, goes.id, stays.id))


def _twins(case: Case) -> Iterator[Break]:
    """People with one address, of whom one pays and the other may be the one that signs in. Privy's word for both is proof."""
    p = privy_users.c
    for address in case.subject.addresses:
        people = case.people_with(address)
        if len(people) > 1 and len({one.stripe_customer_id for one in people}) > 1:
            dids = {one.privy_user_id for one in people}
            verified = select(p.privy_user_id).where(among(p.privy_user_id, dids), func.lower(p.verified_email) == address)
            yield _several(case, f"{address} is", people, proven=dids <= set(case.connection.execute(verified).scalars()))


def _further(case: Case, linked: set[str | None]) -> Iterator[Break]:
    """Customers of the person's at Stripe that pay and that nobody here is linked to."""
    others = case.stripe.others if case.stripe else ()
    gone = erased(case.connection, [one.id for one in others])
    for other in others:
        if not _living(case, other.id) or subject.owners(case.connection, other.id):
            continue
        if other.id in gone:
            yield _of_erased(case, other.id)
        elif linked <= {None}:
            yield _unknown(case, other.id)
        else:
            yield _two(", ".join(sorted(filter(None, linked))), other.id, "of this person")
