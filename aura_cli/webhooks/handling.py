"""What is done about events, a batch in one transaction: exact states, the web app's rows, grants, notices, effects to come.

Everything that is decided about an event follows from it and from what Stripe says now, never from the order in which events came.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from aura_cli.analytics.effects import KIND as ANALYTICS
from aura_cli.audit.log import Notice, tell_customers
from aura_cli.db.shared import token_balances
from aura_cli.db.types import among
from aura_cli.outbox.queue import enqueue_all
from aura_cli.subscriptions import customers, keeping
from aura_cli.subscriptions.billing_owner import reigns
from aura_cli.subscriptions.booking import book_first_month, book_renewal, book_top_up, rows_of
from aura_cli.subscriptions.keeping import Facts, Row, State
from aura_cli.subscriptions.stripe import ENDED, NEAREST, Customer, time_of
from aura_cli.subscriptions.tables import grants
from aura_cli.webhooks.batch import Batch, Delivered, Handlers, Surroundings
from aura_cli.webhooks.deeds import Result, act, buyer
from aura_cli.webhooks.inbox import Event, Handled, failed
from aura_cli.webhooks.purchases import payments
from aura_cli.webhooks.subjects import Look, Session

__all__ = ["Delivered", "Handlers", "Surroundings", "handle"]
MAIL = "mail"  # a kind of effect in the outbox
_BOOK = {"initial": book_first_month, "renewal": book_renewal, "topup": book_top_up}


def handle(
    connection: Connection,
    looks: Sequence[Look],
    others: Sequence[Event],
    fresh: Mapping[str, Customer],
    versions: Mapping[str, int] | None,
    surroundings: Surroundings,
    now: datetime,
) -> tuple[list[Handled], list[Event]]:
    """Do what the events ask for, in the caller's transaction.

    `others` are events that nothing of ours handles. `fresh` are the customers at Stripe that nobody here was known by. `versions`
    (subscription → number of the state that was the newest before Stripe was asked; None where it was not asked) tells whether
    somebody wrote meanwhile: such events come back as the second result, to be looked at anew.
    """
    failures = [failed(look.event, str(look.error)) for look in looks if look.error]
    good = [look for look in looks if not look.error]
    subscriptions = sorted({look.subscription_id for look in good if look.subscription_id})
    keeping.lock(connection, subscriptions)
    states = keeping.states(connection, subscriptions)
    moved = {one for one in subscriptions if versions is not None and versions.get(one, 0) != (states[one].number if one in states else 0)}
    again = [look.event for look in good if look.subscription_id in moved]
    good = [look for look in good if look.subscription_id not in moved]
    batch = Batch(connection, surroundings, reigns(connection), now, trusting=versions is not None)
    _keep_states(batch, good, states)
    _know_customers(batch, good, fresh)
    if batch.shared:
        _keep_rows(batch)
    else:
        _compare_rows(batch)
    results = [act(batch, look) for look in good]
    _book(batch)
    handled = [_handled(one, batch) for one in results]
    for one in results:
        if one.state == "done":  # what waits comes again
            _call(connection, one.event, surroundings)
    paid = [one.look for one in results if one.state == "done" and not one.stale]
    counted = payments(batch, paid, others) if surroundings.counts else {}
    enqueue_all(connection, ANALYTICS, dict(sorted(counted.values())))
    for event in others:
        applied = _call(connection, event, surroundings) or event.id in counted
        handled.append(Handled(event, "done", "applied" if applied else "ignored"))
    return [*handled, *failures], again


def _keep_states(batch: Batch, looks: Sequence[Look], states: Mapping[str, State]) -> None:
    """Append what is new. Without Stripe's word for it only what is younger than what is known counts, or says of that second: it ended."""
    as_of: dict[str, int] = {}
    for look in looks:
        facts = look.subscription
        if facts is None:
            continue
        known = as_of.get(facts.id, (states[facts.id].as_of or 0) if facts.id in states else -1)
        ends = facts.status in ENDED and look.asked_at == known  # nothing comes after an end
        if batch.trusting or look.asked_at > known or ends:
            batch.seen[facts.id], as_of[facts.id] = facts, look.asked_at
        elif facts != batch.seen.get(facts.id, states[facts.id].facts if facts.id in states else None):
            batch.outdated.add(look.event.id)
    keeping.append(batch.connection, states, list(batch.seen.values()), as_of)


def _know_customers(batch: Batch, looks: Sequence[Look], fresh: Mapping[str, Customer]) -> None:
    """Whose customers they are; those that Stripe's own words link to exactly one user are linked."""
    wanted = {customer for look in looks if (customer := look.customer)}
    batch.users = customers.owners(batch.connection, wanted)
    checkouts = [(look.customer, look.found) for look in looks if isinstance(look.found, Session)]
    batch.buyers = {session.id: user for _, session in checkouts if (user := buyer(batch, session))}
    named = {customer: batch.buyers.get(session.id) for customer, session in checkouts if session.mode == "subscription"}

    def candidates(identifier: str) -> Sequence[str]:
        known = fresh.get(identifier)
        found = () if known is None or known.deleted else customers.candidates(batch.connection, known)
        return found or customers.free(batch.connection, identifier, named.get(identifier))

    unknown = sorted(wanted - batch.users.keys())
    if batch.shared:  # all at once, because two who hold one after the other may wait for each other
        possible = {user for identifier in unknown for user in candidates(identifier)}
        keeping.hold_users(batch.connection, {*batch.users.values(), *batch.buyers.values(), *possible})
    for identifier in unknown:
        if len(found := candidates(identifier)) == 1:
            change = customers.link(batch.connection, identifier, found[0], shared=batch.shared)
            batch.users[identifier] = found[0]
            batch.changed(identifier, "users", found[0], change)


def _keep_rows(batch: Batch) -> None:
    """The web app's rows of the subscriptions seen, and what its customers hear of that."""
    theirs = [(facts, batch.users[facts.customer]) for facts in batch.seen.values() if facts.customer in batch.users]
    strangers = [facts.id for facts in batch.seen.values() if facts.customer not in batch.users]  # the row says whose
    theirs += [(batch.seen[name], row.user_id) for name, row in keeping.rows(batch.connection, strangers, hold=False).items()]
    if not theirs:
        return
    if others := {user for _, user in theirs}.difference(batch.users.values()):  # those are held
        keeping.hold_users(batch.connection, others)
    before = keeping.rows(batch.connection, [facts.id for facts, _ in theirs])
    changes = keeping.write(batch.connection, before, theirs)
    gated = {user for facts, user in theirs if facts.id in changes and not changes[facts.id]["after"].keys().isdisjoint(keeping.GATES)}
    for identifier, change in changes.items():
        batch.changed(identifier, "subscriptions", identifier, change)
    for identifier, change in keeping.uncover(batch.connection, gated, batch.now).items() if gated else ():
        batch.changed(identifier, "subscriptions", identifier, change)
    tell_customers(batch.connection, [notice for facts, user in theirs if (notice := _notice(batch, facts, user, before, changes))])
    started = [
        {"template": "subscription_confirmation", "user_id": user, "subscription": facts.id, "price": facts.price}
        for facts, user in theirs
        if facts.id in changes and facts.entitles(batch.now) and not _entitled(before.get(facts.id), batch.now)
    ]
    enqueue_all(batch.connection, MAIL, {f"subscription_confirmation:{mail['subscription']}": mail for mail in started})


def _compare_rows(batch: Batch) -> None:
    """What the web app, whose rows they are, has not got right (yet): told with the event, and repaired by reconcile where it stays so."""
    rows = keeping.rows(batch.connection, batch.seen, hold=False)
    for identifier, facts in batch.seen.items():
        wanted, row = keeping.desired(facts), rows.get(identifier)
        if wanted and row:
            wrong = [name for name, value in wanted.items() if row.values[name] != value]
            if wrong:
                batch.differing[identifier] = f"The web app's row differs in {', '.join(wrong)}"
        elif wanted and facts.status not in ENDED:
            batch.differing[identifier] = "The web app has no row of it"


def _entitled(row: Row | None, now: datetime) -> bool:
    return row is not None and row.entitles(now)


def _notice(batch: Batch, facts: Facts, user: str, before: Mapping[str, Row], changes: Mapping[str, Any]) -> Notice | None:
    """What a customer would call an event: started, ended, a payment that failed."""
    if facts.id not in changes or "status" not in changes[facts.id]["after"]:
        return None
    about = {"subscription": facts.id}
    had = _entitled(before.get(facts.id), batch.now)
    match NEAREST[facts.status]:
        case "active" | "trialing" if not had and facts.entitles(batch.now):
            return Notice(user, "billing", "subscription_started", "Your subscription has started", about)
        case "canceled":
            return Notice(user, "billing", "subscription_ended", "Your subscription has ended", about)
        case "past_due" | "unpaid" if had:
            return Notice(user, "billing", "payment_failed", "A payment for your subscription failed", about, "failure")
    return None


def _book(batch: Batch) -> None:
    """Book what is due, first months before renewals, for users who are held; note what it did to their balances."""
    causes = [cause for dues in batch.dues.values() for cause in dues]
    if not causes:
        return
    booked = set(batch.connection.execute(select(grants.c.cause).where(among(grants.c.cause, causes))).scalars())
    for dues in batch.dues.values():
        for cause in booked & dues.keys():
            del dues[cause]
    events = {due.user_id: event for dues in batch.dues.values() for due, event in dues.values()}
    if not events:
        return
    keeping.hold_users(batch.connection, events)
    before = _balances(batch.connection, events)
    for kind, book in _BOOK.items():
        if given := [due for due, _ in batch.dues[kind].values()]:
            book(batch.connection, rows_of(batch.connection, given), "webhook")
        for due, event in batch.dues[kind].values():
            entry = {"kind": kind, "user_id": due.user_id, "tokens": due.tokens}
            batch.changed(event, "grants", due.cause, {"before": None, "after": entry})
    for user, after in _balances(batch.connection, events).items():
        if after != before.get(user):
            batch.changed(events[user], "token_balances", user, {"before": before.get(user), "after": after})


def _balances(connection: Connection, users: Iterable[str]) -> dict[str, dict[str, Any]]:
    b = token_balances.c
    columns = (b.balance, b.monthly_allocation, b.total_purchased, b.last_reset_at)
    found = connection.execute(select(b.user_id, *columns).where(among(b.user_id, users)))
    return {str(user): dict(zip((column.name for column in columns), values, strict=True)) for user, *values in found}


def _handled(result: Result, batch: Batch) -> Handled:
    outcome = _outcome(result, batch)
    note = result.note or batch.differing.get(result.look.subscription_id or "")
    return Handled(result.event, result.state, outcome, note, tuple(batch.changes.get(result.event.id, ())))


def _outcome(result: Result, batch: Batch) -> str:
    """How an event ended; the changes of its subscription and its customer count as its own, where it is the first to tell of them."""
    for key in (result.look.subscription_id, result.look.customer):
        if key and key in batch.changes:
            batch.changes.setdefault(result.event.id, [])[:0] = batch.changes.pop(key)
    if result.state != "done":
        return result.state
    if result.stale:
        return "stale"
    if batch.changes.get(result.event.id):
        return "applied"
    return "unchanged" if batch.shared else "observed"


def _call(connection: Connection, event: Event, surroundings: Surroundings) -> bool:
    """Hand an event to the handlers that somebody added; was there one?"""
    handlers = surroundings.handlers.by_type.get(event.type, ())
    for handler in handlers:
        moment = time_of(event.created)
        handler(connection, Delivered(event.id, event.type, moment, event.livemode, event.api_version, json.loads(event.payload)))
    return bool(handlers)
