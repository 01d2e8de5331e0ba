"""Does the web app's row say what Stripe says, and does it choose the right one?"""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import select

from aura_cli.insight.case import Break, Case, command
from aura_cli.subscriptions import keeping
from aura_cli.subscriptions.keeping import Facts
from aura_cli.subscriptions.stripe import ENDED, time_of
from aura_cli.webhooks.tables import webhook_events

LINK = "subscription"
_JUST_NOW = timedelta(minutes=5)  # its event may be on the way


def breaks(case: Case) -> Iterator[Break]:
    """Rows that are missing, that differ, that Stripe does not have; a wrong one chosen; two that are billed at once."""
    repair = command("subscriptions reconcile {} --apply", case.who)
    owned = {one.stripe_customer_id for one in case.subject.people} | set(case.subject.customers)
    for facts in case.facts:
        if facts.customer in owned and case.users:
            what = _wrong(case, facts)
            yield from [Break(LINK, what + _unheard(case, facts.id), repair)] if what else []
    if case.stripe:
        known = {facts.id for facts in case.facts}
        for name in sorted(case.rows.keys() - known):
            if case.rows[name].values["status"] not in ("canceled", "unpaid"):
                yield Break(
                    LINK, f"{name} is {case.rows[name].values['status']} here, and no subscription of the customer's at Stripe", repair
                )
    yield from _shadowed(case, repair)
    paid = [facts.id for facts in case.facts if facts.entitles(case.now) and facts.customer in owned]
    if len(paid) > 1:
        what = f"Stripe bills for {len(paid)} subscriptions at once: {', '.join(paid)}; one of them is to be cancelled there"
        yield Break(LINK, what, command("subscriptions reconcile {}", case.who))


def _wrong(case: Case, facts: Facts) -> str | None:
    wanted, row = keeping.desired(facts), case.rows.get(facts.id)
    if wanted is None or time_of(facts.created) > case.now - _JUST_NOW:
        return None
    if row is None:
        return None if facts.status in ENDED else f"{facts.id} is {facts.status} at Stripe, and not here"
    wrong = [name for name, value in wanted.items() if row.values[name] != value]
    if not wrong:
        return None
    said = ", ".join(f"{name.replace('_', ' ')} is {row.values[name]}, at Stripe {wanted[name]}" for name in wrong[:2])
    return f"The row of {facts.id} differs from Stripe: {said}"


def _unheard(case: Case, subscription: str) -> str:
    """A sentence, where this database hears of events at all and heard of none about it."""
    e = webhook_events.c
    listens = case.connection.execute(select(e.id).limit(1)).first()
    heard = case.connection.execute(select(e.id).where(e.object == subscription).limit(1)).first()
    return "; no event about it ever arrived" if listens and not heard else ""


def _shadowed(case: Case, repair: str) -> Iterator[Break]:
    """The web app takes the newest row, whatever it is worth."""
    for user in case.users:
        rows = {name: row for name, row in case.rows.items() if row.user_id == user}
        good = [name for name, row in rows.items() if row.entitles(case.now)]
        if good and user not in case.entitled:
            newest = max(rows, key=lambda name: rows[name].created_at)
            yield Break(LINK, f"The web app looks at {newest}, which gives no access, and not at {good[0]}, which does", repair)
