"""Ending connections: revoked at the provider, then deleted here; what could not be revoked is kept, sealed, and tried again."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Engine, select

from aura_cli.audit.log import Notice, record, tell_customers
from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import identity
from aura_cli.db.shared import integrations
from aura_cli.db.types import among
from aura_cli.errors import ConfigurationError, ConflictError, ServiceError, UnreachableError
from aura_cli.integrations.asking import connection_values
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.integrations.claims import hold, release
from aura_cli.integrations.failures import Refused, scrubbed
from aura_cli.integrations.oauth import client_of
from aura_cli.integrations.provider import Provider, Request
from aura_cli.integrations.state import Seen, scan
from aura_cli.integrations.store import Opened, find_by_id, same_secrets
from aura_cli.integrations.tables import connections, granted, revocations
from aura_cli.integrations.verify import accepted
from aura_cli.integrations.wire import Wire
from aura_cli.settings import Settings
from aura_cli.users import dependents
from aura_cli.vault.keyring import KeyRing
from aura_cli.vault.sealing import Unreadable

TRIES = 20
_FIRST_WAIT, _LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=12)


@dataclass(frozen=True)
class Disconnected:
    """A connection that is no more. `revoked`: yes, no (tried again later), unknown to the provider (it offers no way)."""

    id: str
    user: str
    provider: str
    label: str | None
    revoked: str
    error: str | None
    rows: int


@dataclass(frozen=True)
class Ender:
    """Ends connections."""

    engine: Engine
    vault: KeyRing
    catalogue: Catalogue
    wire: Wire
    settings: Settings
    clock: Callable[[], datetime]

    def end(self, one: Seen) -> Disconnected:
        """Revoke and delete one connection, and older rows of the same kind, each of which has tokens of its own.

        Raises ConflictError where somebody refreshes it, whose new tokens would outlive it, or connected it anew: what is new stays;
        and where rows of a table that nobody here knows hold it, before anything is revoked.
        """
        owner = identity()
        if not hold(self.engine, one, owner):
            raise ConflictError("It is being refreshed at this moment", "Nothing was changed; run this again")
        try:
            return self._ended(one)
        finally:
            release(self.engine, owner, [one.read.id])

    def _ended(self, one: Seen) -> Disconnected:
        i = integrations.c
        same = (i.user_id == one.read.user_id, i.provider == one.read.provider)
        with reading(self.engine) as connection:
            _require_unchanged(one, find_by_id(connection, self.vault, one.read.id))
            copies = [one, *scan(connection, self.vault, self.catalogue, *same, older=True)]
            require_loose(connection, among(integrations.c.id, [copy.read.id for copy in copies]))
        tried = [(copy, *self.revoke(copy)) for copy in copies]
        revoked = next(answer for answer in ("no", "yes", "not offered") if answer in {said for _, said, _ in tried})
        error = next((error for _, _, error in tried if error is not None), None)
        with writing(self.engine) as connection:
            for copy, _, failure in tried:
                _require_unchanged(copy, find_by_id(connection, self.vault, copy.read.id, lock=True))
                if failure is not None and copy.provider:
                    self._keep(connection, copy, copy.provider, failure)
            rows = self._delete(connection, [copy.read.id for copy in copies])
            details = {"provider": one.read.provider, "revoked": revoked, "rows": rows}
            record(connection, self.settings.operator, "integrations.disconnect", one.read.id, user_id=one.read.user_id, details=details)
            name = one.provider.name if one.provider else one.read.provider
            about = {"provider": one.read.provider}
            notice = Notice(one.read.user_id, "integration", "integration_disconnected", f"{name} was disconnected", about)
            tell_customers(connection, [notice])
        return Disconnected(one.read.id, one.read.user_id, one.read.provider, one.known.label, revoked, error, rows)

    def revoke(self, one: Seen) -> tuple[str, str | None]:
        """Whether the provider took the credentials back ("yes", "no", "not offered"), and what it said else."""
        request = revocation(one)
        if request is None or one.provider is None or one.read.unreadable:
            return "not offered", None
        error = self._tried(one.provider, request, connection_values(self.settings, one, one.provider))
        return ("yes", None) if error is None else ("no", error)

    def retry(self) -> tuple[int, int]:
        """Try revocations again that are due: how many succeeded, how many are left. After TRIES one is given up."""
        r, now = revocations.c, self.clock()
        with writing(self.engine) as connection:
            due = connection.execute(
                select(revocations).where(r.next_try_at <= now).order_by(r.id).limit(200).with_for_update(skip_locked=True)
            ).all()
            if due:  # nobody else tries them meanwhile
                later = now + timedelta(minutes=5)
                connection.execute(revocations.update().where(among(r.id, [row.id for row in due])).values(next_try_at=later))
        done = 0
        for row in due:
            error = self._again(row.provider, row.sealed)
            done += error is None
            with writing(self.engine) as connection:
                self._settled(connection, row.id, row.attempts + 1, error)
                if error is None or row.attempts + 1 >= TRIES:
                    details = {"provider": row.provider, "revoked": "yes" if error is None else "given up"}
                    record(
                        connection, self.settings.operator, "integrations.revoke", row.integration_id, user_id=row.user_id, details=details
                    )
        return done, len(due) - done

    def _again(self, provider: str, sealed: str) -> str | None:
        known = self.catalogue.providers.get(provider)
        if known is None:
            return "no provider file describes it any more"
        try:
            kept = json.loads(self.vault.open(sealed))
        except Unreadable as error:
            return error.message
        request, values = _request(known, by_hand=kept["by_hand"]), kept["values"]
        if known.client and not kept["by_hand"]:
            with suppress(ConfigurationError):
                values |= client_of(self.settings, known).values
        return self._tried(known, request, values) if request else "its file says no way to revoke any more"

    def _tried(self, provider: Provider, request: Request, values: dict[str, str]) -> str | None:
        """None where the credentials are worth nothing any more, else what was said."""
        try:
            reply = self.wire.send(request, values, provider)
            if reply.status in (400, 401, 404) and not reply.is_page and _is_dead(reply.document):
                return None
            accepted(provider, request, reply, values)
        except Refused as refused:
            return refused.message
        except (UnreachableError, ServiceError, ConfigurationError) as error:
            return scrubbed(error.message, values.values())
        return None

    def _keep(self, connection: Connection, one: Seen, provider: Provider, error: str) -> None:
        """What another try needs."""
        values = connection_values(self.settings, one, provider)
        own = {name: text for name, text in values.items() if name not in ("client_id", "client_secret")}
        sealed = self.vault.seal(json.dumps({"by_hand": one.by_hand, "values": own}))
        row = {"integration_id": one.read.id, "user_id": one.read.user_id, "provider": provider.id, "sealed": sealed}
        connection.execute(revocations.insert().values(**row, attempts=1, error=error, next_try_at=self.clock() + _FIRST_WAIT))

    def _settled(self, connection: Connection, id_: int, attempts: int, error: str | None) -> None:
        r = revocations.c
        if error is None or attempts >= TRIES:
            connection.execute(revocations.delete().where(r.id == id_))
            return
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(attempts, 12))
        connection.execute(revocations.update().where(r.id == id_).values(attempts=attempts, error=error, next_try_at=self.clock() + wait))

    def _delete(self, connection: Connection, ids: Sequence[str]) -> int:
        for table in (connections, granted):
            connection.execute(table.delete().where(among(table.c.integration_id, ids)))
        return connection.execute(integrations.delete().where(among(integrations.c.id, ids))).rowcount


def _require_unchanged(one: Seen, now: Opened | None) -> None:
    if now is not None and not same_secrets(one.read, now):
        raise ConflictError("It was changed meanwhile", "Nothing was deleted; look at it, and run this again")


def require_loose(connection: Connection, which: ColumnElement[bool]) -> None:
    """Raises ConflictError, with the table's name, where rows that a database would not delete along name one of these connections."""
    for rows in dependents.Catalogue(connection).naming(integrations, which):
        goes_on = rows.link.on_delete in dependents.GO_ON
        if not goes_on and connection.execute(select(1).select_from(rows.table).where(rows.condition).limit(1)).first():
            hint = "Nothing was revoked; delete those rows first, or let them name no connection"
            raise ConflictError(f"Rows of the table {rows.link.name} forbid that the connection which they name goes", hint)


def revocation(one: Seen) -> Request | None:
    """The request that makes a connection's credentials worthless; None where the provider has none."""
    return _request(one.provider, by_hand=one.by_hand) if one.provider else None


def _request(provider: Provider, *, by_hand: bool) -> Request | None:
    owner = provider.credentials if by_hand else provider.oauth
    return owner.revoke if owner else None


def _is_dead(document: object) -> bool:
    """Whether a refusal says that the token is none (any more): what was wanted."""
    code = document.get("error") if isinstance(document, dict) else None
    return code in ("invalid_token", "invalid_grant", "token_revoked", "invalid_auth")
