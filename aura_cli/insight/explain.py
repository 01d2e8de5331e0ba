"""One person's story: the first link of the chain that is broken, what repairs it, and everything that happened, in order of time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Engine, select

from aura_cli.audit import story as operators
from aura_cli.audit.story import Moment
from aura_cli.db.engine import reading
from aura_cli.db.shared import token_balances
from aura_cli.db.types import among, utc_now
from aura_cli.errors import AuraError
from aura_cli.insight import remote, subject
from aura_cli.insight.case import Break, Case
from aura_cli.insight.links import connections, customer, mail, person, settings, subscription, tokens, webhooks
from aura_cli.insight.remote import PRIVY, STRIPE
from aura_cli.insight.subject import Subject
from aura_cli.insight.unknown import nobody
from aura_cli.integrations import story as links_made
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.mail import story as letters
from aura_cli.settings import Settings
from aura_cli.subscriptions import customers
from aura_cli.subscriptions import story as money
from aura_cli.subscriptions.stripe import time_of
from aura_cli.subscriptions.views import DECIMALS
from aura_cli.users import departed
from aura_cli.users import story as people
from aura_cli.vault.keyring import KeyRing
from aura_cli.webhooks import story as deliveries

CHAIN: Sequence[Callable[[Case], Iterable[Break]]] = (  # in the order in which one depends on the other
    settings.breaks,
    person.breaks,
    customer.breaks,
    webhooks.breaks,
    subscription.breaks,
    tokens.breaks,
    mail.breaks,
    connections.breaks,
)


@dataclass(frozen=True)
class Known:
    """One person here, as far as it says who they are."""

    id: str
    privy_user_id: str
    email: str | None
    stripe_customer_id: str | None


@dataclass(frozen=True)
class Explained:
    """`verdict` is the first broken link (None: all are whole), `others` those behind it; `standing` says what the person has.

    `erased`: ids, logins and customers among them of a person who was erased.
    `away`: who could not be asked, and why. `timeline` is everything that happened, the oldest first.
    """

    asked: str
    people: list[Known]
    customers: list[str]
    addresses: list[str]
    erased: list[str]
    verdict: Break | None
    others: list[Break]
    standing: list[str]
    away: list[str]
    timeline: list[Moment]


@dataclass(frozen=True)
class Means:
    """What a story is told with; `say` hears who is waited for."""

    engine: Engine
    settings: Settings
    vault: KeyRing
    catalogue: Catalogue
    say: Callable[[str], None] = lambda text: None


def explain(means: Means, asked: str) -> Explained:
    """The story of whom `asked` is about; writes nothing. Raises UsageError for what has no form, NotFoundError for what nobody knows."""
    with reading(means.engine) as connection:
        about = subject.find(connection, asked)
        account = settings.mismatches(connection, means.settings)
    skipped = _skipped(means.settings, account)
    heard: str | AuraError | None = None
    if not about.known and STRIPE not in skipped and about.asked.partition("_")[0] in remote.PLACES:
        heard = remote.customer_of(means.settings, about.asked)
        if isinstance(heard, str):  # what nobody here knows Stripe may know: whose it is
            with reading(means.engine) as connection:
                about = subject.with_customer(connection, about, heard)
    said = remote.look(means.settings, about, skipped, means.say)
    with reading(means.engine) as connection:
        now = connection.execute(select(utc_now())).scalar_one()
        trusts = not settings.mismatches(connection, means.settings, said.stripe.account if said.stripe else None).keys() & _OF_STRIPE
        case = Case(connection, means.settings, about, said, means.vault, means.catalogue, now, trusts)
        moments = sorted({*_here(connection, about), *_outside(case)}, key=lambda moment: (moment.at, moment.source, moment.key))
        found = list(dict.fromkeys(chain.from_iterable(link(case) for link in CHAIN)))
        gone = _erased(case)
        if not (moments or found or about.people or gone):
            raise nobody(connection, about, said, heard)
        standing = [f"{one} is of a person who was erased" for one in gone if one not in case.users] + list(_standing(case))
    known = [Known(one.id, one.privy_user_id, one.email, one.stripe_customer_id) for one in about.people]
    verdict, others = (found[0], found[1:]) if found else (None, [])
    away = [*said.skipped, *(error.message for error in said.away.values())]
    return Explained(about.asked, known, [*about.customers], [*about.addresses], gone, verdict, others, standing, away, moments)


_OF_STRIPE = {"stripe_mode", "stripe_account"}


def _skipped(configured: Settings, mismatches: dict[str, str]) -> dict[str, str]:
    """Whom there is no point in asking: without credentials, or with those of another environment."""
    found: dict[str, str] = {}
    for name, variables, bound in (
        (STRIPE, ("STRIPE_SECRET_KEY",), _OF_STRIPE),
        (PRIVY, ("NEXT_PUBLIC_PRIVY_APP_ID", "PRIVY_APP_SECRET"), {"privy_app"}),
    ):
        if missing := [variable for variable in variables if not configured.get(variable)]:
            found[name] = f"{' and '.join(missing)} is not set"
        elif bound & mismatches.keys():
            found[name] = "its credentials are of another environment"
    return found


def _erased(case: Case) -> list[str]:
    """What the subject is known by that was an erased person's, and is nobody's since."""
    dids = {*(case.remote.people or ()), *([case.subject.asked] if case.subject.asked.startswith("did:") else ())}
    rows = [one.id for one in case.subject.people if departed.was_erased(one.privy_user_id)]
    logins, of_stripe = departed.erased_logins(case.connection, dids), customers.erased(case.connection, case.subject.customers)
    return [*rows, *sorted(logins), *sorted(of_stripe)]


def _here(connection: Connection, about: Subject) -> Iterator[Moment]:
    whom = about.whom
    yield from people.story(connection, whom)
    yield from money.story(connection, whom)
    yield from deliveries.story(connection, whom, about.event)
    yield from letters.story(connection, whom, about.mail)
    yield from links_made.story(connection, whom)
    yield from operators.story(connection, whom)


def _outside(case: Case) -> Iterator[Moment]:
    """What the services themselves tell: when somebody signed up, what was billed and bought."""
    for did, known in (case.remote.people or {}).items():
        if known and known.created is not None:
            yield Moment(time_of(known.created), "privy", "signed up", did, did)
    if case.stripe is None:
        return
    for facts in case.stripe.subscriptions:
        yield Moment(time_of(facts.created), STRIPE.lower(), "subscription made", f"{facts.id}, {facts.status} by now", facts.id)
    for bill in case.stripe.invoices:
        paid = f"{_money(bill.amount_paid, bill.currency)} " if bill.amount_paid else ""
        yield Moment(
            time_of(bill.created),
            STRIPE.lower(),
            f"invoice {bill.status or 'made'}",
            f"{paid}{bill.id}",
            bill.id,
            bill.status == "uncollectible",
        )
    for one in case.stripe.sessions:
        what = f"{one.tokens:,} tokens" if one.is_top_up else one.subscription_id or one.mode or ""
        yield Moment(time_of(one.created), STRIPE.lower(), f"checkout {one.payment_status or 'complete'}", f"{one.id} for {what}", one.id)


def _money(amount: int, currency: str | None) -> str:
    decimals = DECIMALS.get((currency or "").lower(), 2)
    return f"{amount / 10**decimals:,.{decimals}f} {(currency or '').upper()}".rstrip()


def _standing(case: Case) -> Iterator[str]:
    """What the people have now: access, or why not, and tokens."""
    b = token_balances.c
    held = dict(case.connection.execute(select(b.user_id, b.balance).where(among(b.user_id, case.users))).all())
    gone = {one.id for one in case.subject.people if departed.was_erased(one.privy_user_id)}
    for user in case.users:
        rows = [row for row in case.rows.values() if row.user_id == user]
        newest = max(rows, key=lambda row: row.created_at, default=None)
        access = "no subscription"
        if newest is not None:
            gives = "access" if user in case.entitled else "no access"
            access = f"{gives}: the subscription is {newest.values['status']}{_until(newest.values)}"
        if user in gone:
            yield f"{user} was erased: what stays is what the payments need"
        name = f"{user} has " if len(case.users) > 1 else "Has "
        yield f"{name}{access}; " + (f"{held[user]:,} tokens" if user in held else "no balance")


def _until(values: Mapping[str, Any]) -> str:
    end: datetime | None = values["current_period_end"]
    return f" until {end:%Y-%m-%d}" if end and values["status"] != "canceled" else ""
