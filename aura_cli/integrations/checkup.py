"""Asking providers whether connections are any good, many at once."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from aura_cli.audit.log import record, tell_customers
from aura_cli.db.engine import upsert, writing
from aura_cli.errors import ConfigurationError, ServiceError, UnreachableError
from aura_cli.integrations.asking import connection_values
from aura_cli.integrations.failures import Failure, Refused, scrubbed
from aura_cli.integrations.settling import consent_lost
from aura_cli.integrations.state import Health, Seen, fingerprint
from aura_cli.integrations.store import find_by_id, same_secrets
from aura_cli.integrations.tables import connections
from aura_cli.integrations.verify import Account, who_is_it
from aura_cli.integrations.wire import Wire
from aura_cli.settings import Settings
from aura_cli.vault.keyring import KeyRing

AT_ONCE = 16


@dataclass(frozen=True)
class Checked:
    """What a provider said of one connection. `result`: good, needs_consent, unreadable, unknown, or a failure's class."""

    id: str
    user: str
    provider: str
    result: str
    label: str | None
    account: str | None
    error: str | None

    @property
    def refused(self) -> bool:
        return self.result in (Failure.NEEDS_CONSENT, Health.UNREADABLE)


@dataclass(frozen=True)
class Checker:
    """Checks connections; `operator` is whose deed it is."""

    engine: Engine
    wire: Wire
    settings: Settings
    vault: KeyRing
    operator: str
    clock: Callable[[], datetime]

    def check(self, some: Sequence[Seen], *, dry_run: bool) -> Iterator[tuple[Seen, Checked]]:
        """Ask about each, in their order, and keep what was said unless `dry_run`."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for one, (checked, account) in zip(some, pool.map(self._asked, some), strict=True):
                if not dry_run:
                    with writing(self.engine) as connection:
                        checked = self._kept(connection, one, checked, account)
                yield one, checked

    def _asked(self, one: Seen) -> tuple[Checked, Account | None]:
        def said(result: str, error: str | None = None, account: Account | None = None) -> tuple[Checked, Account | None]:
            label, identifier = (account.label, account.id) if account else (one.known.label, one.known.account)
            return Checked(one.read.id, one.read.user_id, one.read.provider, result, label, identifier, error), account

        if one.read.unreadable:
            return said(Health.UNREADABLE, "no key opens it")
        if one.provider is None:
            return said(Health.UNKNOWN, "no provider file describes it")
        try:
            values = connection_values(self.settings, one, one.provider)
            return said("good", account=who_is_it(self.wire, one.provider, values, by_hand=one.by_hand))
        except Refused as refused:
            if refused.failure is Failure.NEEDS_CONSENT and one.renewal and one.read.expiry and one.read.expiry <= self.clock():
                return said(Health.EXPIRED, "its access token has run out, and could not be renewed yet")
            return said(refused.failure, refused.message)
        except ConfigurationError as error:
            return said(Failure.CLIENT_MISCONFIGURED, scrubbed(error.message, one.read.secrets.values()))
        except (UnreachableError, ServiceError) as error:
            return said(Failure.PROVIDER_DOWN, error.message)

    def _kept(self, connection: Connection, one: Seen, checked: Checked, account: Account | None) -> Checked:
        """What was said, put down; a refusal only where the row still holds what was refused."""
        read, known, now = one.read, one.known, self.clock()
        row = find_by_id(connection, self.vault, read.id, lock=True)
        if row is None or (account is None and not same_secrets(read, row)):
            return replace(checked, result=Failure.LOST_RACE, error="it was changed meanwhile")
        facts: dict[str, Any] = {}
        if account:
            well = {"health": Health.OK, "since": now, "failure": None, "error": None, "failures": 0, "next_try_at": None}
            facts = {"verified_at": now, **(well if known.health != Health.OK else {})}
            facts |= {name: text for name, text in (("account", account.id), ("label", account.label)) if text}
        elif checked.result == Failure.NEEDS_CONSENT:
            facts = {"health": Health.NEEDS_CONSENT, "since": now, "failure": checked.result, "error": checked.error}
            facts |= {"intent": fingerprint(read), "failures": known.failures + 1}
            if known.health != Health.NEEDS_CONSENT and one.provider:
                tell_customers(connection, [consent_lost(read.user_id, one.provider)])
        if facts:
            written = {"integration_id": read.id, "user_id": read.user_id, "provider": read.provider, **facts}
            statement = upsert(connection, connections).values(written)
            connection.execute(statement.on_conflict_do_update(index_elements=["integration_id"], set_=facts))
        record(connection, self.operator, "integrations.verify", read.id, user_id=read.user_id, details={"result": checked.result})
        return checked
