"""What became of refreshes, put down: many in one transaction, each only where the row still holds what was sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, select

from aura_cli.audit.log import Notice, tell_customers
from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import upsert, writing
from aura_cli.db.shared import integrations
from aura_cli.db.types import among, utc_now
from aura_cli.integrations.failures import Failure
from aura_cli.integrations.provider import Provider
from aura_cli.integrations.state import KNOWN, Health, Known, known_columns
from aura_cli.integrations.store import COLUMNS, Opened, opened, over
from aura_cli.integrations.strikes import ALERT, Tally, count
from aura_cli.integrations.tables import connections
from aura_cli.integrations.verdicts import Outcome, Result, Verdict, decide, is_broken
from aura_cli.outbox.queue import enqueue_all
from aura_cli.vault.keyring import KeyRing

_LOGGED = {
    Result.REFRESHED: "integrations.refresh",
    Result.UNMOVED: "integrations.refresh",
    Result.NEEDS_CONSENT: "integrations.lost",
    Result.FAILING: "integrations.failed",
    Result.AT_FAULT: "integrations.failed",
}
_ROW = ("access_token", "refresh_token", "token_expiry", "scopes", "metadata")


@dataclass(frozen=True)
class Settled:
    """An outcome that was put down. `change`: "broken" or "recovered", where it became so by this."""

    outcome: Outcome
    result: Result
    error: str
    change: str | None
    label: str | None


@dataclass(frozen=True)
class Book:
    """Where outcomes are put down, and in whose name."""

    engine: Engine
    vault: KeyRing
    operator: str

    def settle(self, outcomes: Sequence[Outcome], now: datetime) -> tuple[list[Settled], dict[str, bool]]:
        """Put outcomes down, in one transaction; also which providers were stopped by that (True) or are well again (False).

        A row that holds another secret by now than the one that was sent is left as it is.
        """
        with writing(self.engine) as connection:
            rows = _rows(connection, self.vault, outcomes)
            known = _known(connection, outcomes)
            decided = [self._decided(one, rows, known, now) for one in outcomes]
            self._write_rows(connection, [(rows[one.integration_id], verdict) for one, verdict in decided])
            _write_facts(connection, decided, now)
            self._log(connection, decided)
            settled = [_settled(one, verdict, known) for one, verdict in decided]
            _tell(connection, settled, known, now)
            return settled, _count(connection, settled, now)

    def _decided(
        self, one: Outcome, rows: Mapping[str, Opened | None], known: Mapping[str, Known], now: datetime
    ) -> tuple[Outcome, Verdict]:
        return one, decide(one, rows[one.integration_id], known[one.integration_id], now)

    def _write_rows(self, connection: Connection, decided: Sequence[tuple[Opened | None, Verdict]]) -> None:
        written = [over(self.vault, row, verdict.content) | {"of": row.id} for row, verdict in decided if row and verdict.content]
        if written:
            i = integrations.c
            values = {name: bindparam(name, type_=i[name].type) for name in _ROW}
            connection.execute(integrations.update().where(i.id == bindparam("of")).values(**values, updated_at=utc_now()), written)

    def _log(self, connection: Connection, decided: Sequence[tuple[Outcome, Verdict]]) -> None:
        deeds = [
            {
                "operator": self.operator,
                "what": _LOGGED[verdict.result],
                "key": one.integration_id,
                "user_id": one.user_id,
                "details": {"provider": one.provider.id, "result": verdict.result, "failure": one.failure, "spooled": one.recovered},
            }
            for one, verdict in decided
            if verdict.result in _LOGGED
        ]
        if deeds:
            connection.execute(operator_log.insert(), deeds)


def _rows(connection: Connection, vault: KeyRing, outcomes: Sequence[Outcome]) -> dict[str, Opened | None]:
    """The rows, held until the transaction ends, in the order in which everybody takes them."""
    ids = [one.integration_id for one in outcomes]
    i = integrations.c
    found = connection.execute(select(*COLUMNS).where(among(i.id, ids)).order_by(i.id).with_for_update())
    rows: dict[str, Opened | None] = dict.fromkeys(ids)
    return rows | {row.id: opened(vault, row) for row in found}


def _known(connection: Connection, outcomes: Sequence[Outcome]) -> dict[str, Known]:
    c = connections.c
    ids = [one.integration_id for one in outcomes]
    found = connection.execute(select(c.integration_id, *known_columns()).where(among(c.integration_id, ids)))
    facts = {row.integration_id: Known(**{name: row._mapping[name] for name in KNOWN}) for row in found}
    return {id_: facts.get(id_, Known()) for id_ in ids}


def _write_facts(connection: Connection, decided: Sequence[tuple[Outcome, Verdict]], now: datetime) -> None:
    """What is known from now on; and the turns of all are over."""
    written = [
        verdict.facts
        | {"since": verdict.facts["since"] or now, "integration_id": one.integration_id, "user_id": one.user_id}
        | {"provider": one.provider.provider}
        for one, verdict in decided
        if verdict.facts
    ]
    if written:
        statement = upsert(connection, connections)
        new = {name: statement.excluded[name] for name in written[0] if name not in ("integration_id", "user_id", "provider")}
        over_it = {**new, "lease_owner": None, "lease_expires_at": None}
        connection.execute(statement.on_conflict_do_update(index_elements=["integration_id"], set_=over_it), written)
    if ended := [one.integration_id for one, verdict in decided if not verdict.facts]:
        free = {"lease_owner": None, "lease_expires_at": None, "intent_at": None}
        connection.execute(connections.update().where(among(connections.c.integration_id, ended)).values(free))


def _settled(one: Outcome, verdict: Verdict, known: Mapping[str, Known]) -> Settled:
    before, facts = known[one.integration_id], verdict.facts
    was = is_broken(before.health, before.failures, before.failure)
    broken = is_broken(facts["health"], facts["failures"], facts["failure"]) if facts else was
    change = None if broken == was else "broken" if broken else "recovered"
    return Settled(one, verdict.result, verdict.error, change, before.label)


def _tell(connection: Connection, settled: Sequence[Settled], known: Mapping[str, Known], now: datetime) -> None:
    """What changed for the better or the worse: an alert each; and who lost their consent is told so."""
    alerts = {
        f"connection {one.outcome.integration_id} {one.change} {now.isoformat()}": {
            "what": one.change,
            "integration_id": one.outcome.integration_id,
            "user_id": one.outcome.user_id,
            "provider": one.outcome.provider.id,
            "failure": one.outcome.failure,
            "error": one.error or None,
        }
        for one in settled
        if one.change
    }
    enqueue_all(connection, ALERT, alerts)
    lost = [
        one for one in settled if one.result is Result.NEEDS_CONSENT and known[one.outcome.integration_id].health != Health.NEEDS_CONSENT
    ]
    tell_customers(connection, [consent_lost(one.outcome.user_id, one.outcome.provider) for one in lost])


def consent_lost(user_id: str, provider: Provider) -> Notice:
    """What a customer is told whose connection is worth nothing any more."""
    said = f"{provider.name} does not accept the connection any more: connect it again"
    return Notice(user_id, "integration", "integration_consent_lost", said, {"provider": provider.provider}, "failure")


def _count(connection: Connection, settled: Sequence[Settled], now: datetime) -> dict[str, bool]:
    """How each provider did, in the order in which everybody takes them."""
    providers = {one.outcome.provider.id: one.outcome.provider for one in settled}
    changed = {}
    for id_ in sorted(providers):
        of = [one for one in settled if one.outcome.provider.id == id_]
        failures = [(one.outcome.failure, one.error) for one in of if one.result is Result.AT_FAULT and one.outcome.failure]
        well = sum(one.outcome.grant is not None and not one.outcome.recovered for one in of)
        well += sum(one.outcome.failure is Failure.NEEDS_CONSENT for one in of)
        if (change := count(connection, providers[id_], Tally(well, failures), now)) is not None:
            changed[id_] = change
    return changed
