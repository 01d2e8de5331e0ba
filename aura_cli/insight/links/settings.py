"""Is what is configured of this database's environment? Where it is not, nothing that a key sees is about these people."""

import re
from collections.abc import Iterator

from sqlalchemy import Connection, select

from aura_cli.db.binding import Identity, bound
from aura_cli.db.tables import binding
from aura_cli.errors import ConfigurationError
from aura_cli.insight.case import Break, Case, command
from aura_cli.settings import Settings
from aura_cli.webhooks.tables import webhook_events

LINK = "settings"
_NAMES = {  # what a database is bound to → the variable that says otherwise
    "stripe_mode": "STRIPE_SECRET_KEY",
    "stripe_account": "STRIPE_SECRET_KEY",
    "privy_app": "NEXT_PUBLIC_PRIVY_APP_ID",
    "key_fingerprint": "INTEGRATION_ENCRYPTION_KEY",
    "environment": "AURA_ENV",
}
_REFUSED = {"Stripe": "STRIPE_SECRET_KEY", "Privy": "PRIVY_APP_SECRET"}
_ELSEWHERE = re.compile(r"exists in (live|test) mode")  # Stripe says so of an id of the other mode


def mismatches(connection: Connection, settings: Settings, account: str | None = None) -> dict[str, str]:
    """Where what is configured contradicts what the database is bound to: name of `Identity` → in words. Asks nobody."""
    known = bound(connection)
    if known is None:
        return {}
    ours = Identity.of(settings, lambda: account or known.stripe_account or "")
    other = connection.execute(select(binding.c.other_key)).scalar()
    said = {name: (getattr(known, name), getattr(ours, name)) for name in _NAMES}
    if ours.key_fingerprint == other:
        del said["key_fingerprint"]
    different = {name: pair for name, pair in said.items() if None not in pair and pair[0] != pair[1]}
    return {
        name: f"{_NAMES[name]} is of another environment: the database belongs to {name.replace('_', ' ')} {theirs}, configured is {mine}"
        for name, (theirs, mine) in different.items()
    }


def breaks(case: Case) -> Iterator[Break]:
    """The variable that is of another environment, by the binding, by what a key was told, by an event's mode."""
    fix = _fix(case)
    found = mismatches(case.connection, case.settings, case.remote.stripe.account if case.remote.stripe else None)
    yield from (Break(LINK, what, fix) for what in found.values())
    for name, variable in _REFUSED.items():
        error = case.remote.away.get(name)
        if isinstance(error, ConfigurationError) and case.settings.secret(variable):
            yield Break(LINK, f"{name} refuses {variable}: {error.message}", fix)
    if found:
        return
    if case.remote.stripe and (mode := _ELSEWHERE.search(case.remote.stripe.unknown)):
        yield Break(LINK, f"STRIPE_SECRET_KEY is of another mode: the customer is one of {mode[1]} mode", fix)
    elif case.subject.event and case.settings.stripe_mode:
        e = webhook_events.c
        live = case.connection.execute(select(e.livemode).where(e.id == case.subject.event)).scalar()
        if live is not None and live != (case.settings.stripe_mode == "live"):
            mode_of = {True: "live", False: "test"}
            yield Break(LINK, f"STRIPE_SECRET_KEY is of {case.settings.stripe_mode} mode, the event of {mode_of[live]} mode", fix)


def _fix(case: Case) -> str:
    known = bound(case.connection)
    named = known.environment if known else None
    return (
        command("explain {} --env {}", case.subject.asked, named) if named and named != case.settings.environment else command("env check")
    )
