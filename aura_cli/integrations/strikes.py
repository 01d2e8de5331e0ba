"""Providers whose application or service is at fault: stopped for everybody after ten alike, so that nobody is marked for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from aura_cli.db.engine import upsert
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.integrations.failures import Failure
from aura_cli.integrations.provider import Provider
from aura_cli.integrations.state import definition
from aura_cli.integrations.tables import provider_states
from aura_cli.outbox.queue import enqueue_all

ALIKE = 10
AT_FAULT = frozenset({Failure.CLIENT_MISCONFIGURED, Failure.PROVIDER_DOWN})
ALERT = "alert"  # the outbox's kind
_FIRST_STOP, _LONGEST_STOP = timedelta(minutes=15), timedelta(hours=6)


@dataclass(frozen=True)
class Stopped:
    """A provider that is left alone. `until` may be past: then one connection tries whether it is well again."""

    provider: str
    failure: str
    error: str | None
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Tally:
    """What one provider answered in one go: how often it was well, and its failures that are no person's fault."""

    well: int
    failures: Sequence[tuple[Failure, str]]


def stopped(connection: Connection, catalogue: Catalogue) -> dict[str, Stopped]:
    """The providers that were stopped, by catalogue id; a changed file ends it."""
    p = provider_states.c
    rows = connection.execute(select(p.provider, p.failure, p.error, p.since, p.stopped_until, p.definition).where(p.alike >= ALIKE))
    return {
        row.provider: Stopped(*row[:5])
        for row in rows
        if row.stopped_until and (known := catalogue.providers.get(row.provider)) and row.definition == definition(known)
    }


def count(connection: Connection, provider: Provider, tally: Tally, now: datetime) -> bool | None:
    """Note how a provider did. True: it is stopped from now on; False: it is well again; None: nothing new. Both are alerted of."""
    p = provider_states.c
    prior = connection.execute(select(provider_states).where(p.provider == provider.id).with_for_update()).first()
    if tally.well:
        if prior:
            connection.execute(provider_states.delete().where(p.provider == provider.id))
        if prior and prior.alike >= ALIKE:
            _alert(connection, provider, "recovered", now, {"failure": prior.failure, "since": prior.since.isoformat()})
            return False
        return None
    if not tally.failures:
        return None
    failure, error = tally.failures[-1]
    goes_on = prior is not None and prior.failure == failure and prior.definition == definition(provider)
    before = prior.alike if prior is not None and goes_on else 0
    if prior is not None and goes_on and prior.stopped_until and prior.stopped_until > now:
        return None  # what was on its way when it was stopped is no further try
    alike = before + 1 if before >= ALIKE else min(before + len(tally.failures), ALIKE)
    state: dict[str, Any] = {"failure": failure, "error": error, "alike": alike, "definition": definition(provider)}
    state["since"] = prior.since if prior is not None and goes_on else now
    state["stopped_until"] = now + _stop(alike) if alike >= ALIKE else None
    statement = upsert(connection, provider_states).values(provider=provider.id, **state)
    connection.execute(statement.on_conflict_do_update(index_elements=["provider"], set_=state))
    if before < ALIKE <= alike:
        _alert(connection, provider, "broken", now, {"failure": failure, "error": error})
        return True
    return None


def _stop(alike: int) -> timedelta:
    """How long: doubling with each try that failed again."""
    return min(_LONGEST_STOP, _FIRST_STOP * 2.0 ** min(alike - ALIKE, 10))


def _alert(connection: Connection, provider: Provider, what: str, now: datetime, details: Mapping[str, Any]) -> None:
    key = f"provider {provider.id} {what} {now.isoformat()}"
    enqueue_all(connection, ALERT, {key: {"what": what, "provider": provider.id, **details}})
