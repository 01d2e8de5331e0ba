"""Has everything that was paid for been granted?"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import select

from aura_cli.db.shared import token_balances, token_top_ups
from aura_cli.db.types import among
from aura_cli.insight.case import Break, Case, command
from aura_cli.subscriptions.booking import NO_ALLOCATION
from aura_cli.subscriptions.keeping import Facts
from aura_cli.subscriptions.planning import INVOICE_SETTLED_SECONDS, SETTLED_SECONDS
from aura_cli.subscriptions.reconcile import SESSION_DAYS
from aura_cli.subscriptions.stripe import time_of
from aura_cli.subscriptions.tables import grants
from aura_cli.users.departed import was_erased

LINK = "tokens"
_RENEWAL = "subscription_cycle"
_FIRST_PERIOD = 3600  # seconds from a subscription's making within which its first period begins


def breaks(case: Case) -> Iterator[Break]:
    """Access without a balance, top-ups and renewals that were paid and never granted."""
    repair = command("subscriptions reconcile {} --apply", case.who)
    b = token_balances.c
    resets = dict(
        case.connection.execute(
            select(b.user_id, b.last_reset_at).where(among(b.user_id, case.users), b.monthly_allocation != NO_ALLOCATION)
        ).all()
    )
    settled = case.now - timedelta(seconds=SETTLED_SECONDS)
    for user in case.entitled:
        begun = max(row.created_at for row in case.rows.values() if row.user_id == user)
        if user not in resets and begun < settled:
            yield Break(LINK, f"{user} has paid for access and was never granted any tokens", repair)
    yield from _top_ups(case, repair)
    yield from _renewals(case, repair, resets)


def _top_ups(case: Case, repair: str) -> Iterator[Break]:
    sold = [one for one in (case.stripe.sessions if case.stripe else ()) if one.is_top_up and one.payment_status == "paid"]
    granted = _granted(case, [f"session:{one.id}" for one in sold])
    t = token_top_ups.c
    booked = set(case.connection.execute(select(t.stripe_session_id).where(among(t.stripe_session_id, [one.id for one in sold]))).scalars())
    for one in sold:
        age = case.now - time_of(one.created)
        if f"session:{one.id}" in granted or one.id in booked or age < timedelta(seconds=SETTLED_SECONDS):
            continue
        old = age > timedelta(days=SESSION_DAYS)
        fix = command("subscriptions reconcile {} --history --apply", case.who) if old else repair
        yield Break(LINK, f"{one.id} was paid, and its {one.tokens:,} tokens were never granted", fix)


def _renewals(case: Case, repair: str, resets: dict[str, datetime | None]) -> Iterator[Break]:
    """Of the subscriptions that a reconcile looks at, the newest renewal, where it was paid and not granted."""
    paid = [one for one in (case.stripe.invoices if case.stripe else ()) if one.status == "paid" and one.billing_reason == _RENEWAL]
    granted = _granted(case, [f"invoice:{one.id}" for one in paid])
    gone = {one.id for one in case.subject.people if was_erased(one.privy_user_id)}
    for facts in filter(_is_renewed, case.facts):
        row = case.rows.get(facts.id)
        newest = max((one for one in paid if one.subscription_id == facts.id), key=lambda one: one.created, default=None)
        if newest is None or row is None or row.user_id not in resets.keys() - gone or f"invoice:{newest.id}" in granted:
            continue
        at, reset = time_of(newest.created), resets[row.user_id]
        behind = reset is None or reset < min(at, time_of(facts.period_start or 0))
        if behind and at < case.now - timedelta(seconds=INVOICE_SETTLED_SECONDS):
            yield Break(LINK, f"The renewal {newest.id} was paid on {at:%Y-%m-%d}, and the balance was not reset since", repair)


def _is_renewed(facts: Facts) -> bool:
    """Active, in a later period than its first: `planning.renewal_candidates` asks for the same. What has ended is owed nothing more."""
    return facts.status == "active" and (facts.period_start or 0) > facts.created + _FIRST_PERIOD


def _granted(case: Case, causes: list[str]) -> set[str]:
    return set(case.connection.execute(select(grants.c.cause).where(among(grants.c.cause, causes))).scalars())
