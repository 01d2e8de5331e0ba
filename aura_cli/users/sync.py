"""Users from Privy into the database: all of them by a scan that can be carried on, or one.

A page's rows, what they changed, the counts and the cursor commit together; a run that is killed anywhere goes on where it was and
ends in the state of one that was not. Nobody is ever deleted: who is gone at Privy is marked, after a complete scan and a 404.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, select

from aura_cli.audit.log import record
from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import Lease, lease
from aura_cli.drift import scan
from aura_cli.drift.tables import scans
from aura_cli.errors import ConflictError, NotFoundError, ServiceError
from aura_cli.transport import Service
from aura_cli.users import privy, staging
from aura_cli.users.departed import departed_among
from aura_cli.users.shapes import Staged
from aura_cli.users.who import Form, form_of, resolve

LEASE = "users sync"
DRY = "dry run"  # the scope of scans that only look
OLDEST = timedelta(hours=24)  # an unfinished scan that began before is not carried on
ASKING = 8  # threads that confirm who is gone
CONFIRMED_AT_ONCE = 200

Tick = Callable[[int], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Synced:
    """What a sync did, or with `dry_run` would do. Counts are of people; created, updated and unchanged are of rows in `users`."""

    scanned: int
    created: int
    updated: int
    unchanged: int
    missing: int  # known here, and Privy says 404
    failed: int
    complete: bool
    dry_run: bool
    duration_s: float


@dataclass(frozen=True)
class Planned(Synced):
    """A dry run's result with each field that a sync would write."""

    changes: Iterator[staging.Change]


@dataclass
class Counts:
    """What has happened in a scan so far; kept with its cursor."""

    batches: int = 0
    scanned: int = 0
    created: int = 0
    updated: int = 0
    failed: int = 0

    def result(self, missing: int, begun: float, *, dry_run: bool) -> Synced:
        unchanged = self.scanned - self.created - self.updated - self.failed
        seconds = round(monotonic() - begun, 3)
        return Synced(self.scanned, self.created, self.updated, unchanged, missing, self.failed, True, dry_run, seconds)


@dataclass
class Intake:
    """Takes rows over as they come; `merges` is off in a dry run, where they are only staged."""

    scan_id: str
    merges: bool
    counts: Counts = field(default_factory=Counts)

    def store(self, connection: Connection, rows: Sequence[Any]) -> None:
        """One batch of `Staged`, in the caller's transaction, the counts included."""
        if not rows:
            return
        unique = list({row.privy_user_id: row for row in rows}.values())
        counts = replace(self.counts, batches=self.counts.batches + 1, scanned=self.counts.scanned + len(unique))
        counts.failed += staging.stage(connection, self.scan_id, counts.batches, unique)
        if self.merges:
            merged = staging.merge(connection, self.scan_id, counts.batches)
            counts.created += merged.created
            counts.updated += merged.updated
        connection.execute(scans.update().where(scans.c.id == self.scan_id).values(counts=asdict(counts)))
        self.counts = counts


@dataclass(frozen=True)
class Sync:
    """One sync's surroundings: where from, where to, who does it, and how it tells the person.

    `tick` gets the number of users so far, `say` a remark, `warn` who could not be taken over.
    """

    engine: Engine
    privy: Service
    app: str
    operator: str
    clock: Callable[[], datetime]
    tick: Tick = lambda count: None
    say: Say = lambda text: None
    warn: Say = lambda text: None

    def everybody(self, *, fresh: bool = False) -> Synced:
        """Sync all users, carrying on an unfinished scan unless `fresh`.

        Raises ConflictError while another sync runs, ServiceError and UnreachableError from Privy; the scan then stays resumable.
        """
        begun = monotonic()
        with lease(self.engine, LEASE) as held:
            intake = self._scan(held, "", fresh=fresh)
            missing = self._missing(intake, held)
            result = intake.counts.result(missing, begun, dry_run=False)
            self._name_failures(intake.scan_id)
            with writing(self.engine) as connection:
                held.assert_held(connection)
                staging.forget(connection, intake.scan_id)
                record(connection, self.operator, "users.sync", intake.scan_id, details=asdict(result))
        return result

    @contextmanager
    def plan(self) -> Iterator[Planned]:
        """What `everybody` would do, its changes streamed for as long as the block lasts; writes to nothing but the staging table."""
        begun = monotonic()
        with lease(self.engine, LEASE) as held:
            intake = self._scan(held, DRY, fresh=True)
            try:
                missing = self._missing(intake, held)
                self._name_failures(intake.scan_id)
                with reading(self.engine) as connection:
                    merged = staging.count_changes(connection, intake.scan_id)
                    intake.counts.created, intake.counts.updated = merged.created, merged.updated
                    result = intake.counts.result(missing, begun, dry_run=True)
                    yield Planned(**asdict(result), changes=staging.changes(connection, intake.scan_id))
            finally:
                with writing(self.engine) as connection:
                    staging.forget(connection, intake.scan_id)

    def one(self, who: str, *, dry_run: bool = False) -> Synced:
        """Sync one person; a DID or e-mail address that is not known here is asked from Privy. A dry run gives a `Planned`.

        Raises UsageError (malformed, ambiguous), NotFoundError (known neither here nor there), ConflictError (erased).
        """
        begun = monotonic()
        staged = self._ask(who)
        with writing(self.engine) as connection:
            intake = Intake(str(uuid.uuid4()), merges=not dry_run)
            gone = isinstance(staged, str)
            did = staged if isinstance(staged, str) else staged.privy_user_id
            if departed_among(connection, [did]):
                raise ConflictError("This person was erased here; nothing was taken over", "Whom the web app lets in again is synced again")
            changes: list[staging.Change] = []
            if isinstance(staged, Staged):
                changes = self._take(connection, intake, staged, dry_run=dry_run)
            elif not dry_run:
                staging.mark_missing(connection, [did])
            result = intake.counts.result(int(gone), begun, dry_run=dry_run)
            if not dry_run:
                record(connection, self.operator, "users.sync", did, details=asdict(result))
        return Planned(**asdict(result), changes=iter(changes)) if dry_run else result

    def _take(self, connection: Connection, intake: Intake, staged: Staged, *, dry_run: bool) -> list[staging.Change]:
        if staged.failure:
            self.warn(f"{staged.privy_user_id}: {staged.failure}")
        intake.store(connection, [staged])
        found: list[staging.Change] = []
        if dry_run:
            merged = staging.count_changes(connection, intake.scan_id)
            intake.counts.created, intake.counts.updated = merged.created, merged.updated
            found = list(staging.changes(connection, intake.scan_id))
        staging.forget(connection, intake.scan_id)
        return found

    def _ask(self, who: str) -> Staged | str:
        """The person as Privy has them, or the DID of somebody known here whom Privy does not know."""
        form = form_of(who)
        try:
            with reading(self.engine) as connection:
                did = resolve(connection, who).privy_user_id
        except NotFoundError:
            if form not in (Form.DID, Form.EMAIL):
                raise
            found = privy.user(self.privy, who) if form is Form.DID else privy.user_by_email(self.privy, who)
            if found is None:
                raise NotFoundError("This person is known neither here nor at Privy") from None
            return found
        return privy.user(self.privy, did) or did

    def _scan(self, held: Lease, scope: str, *, fresh: bool) -> Intake:
        """Read the list to its end into the staging table, and unless it is a dry run into `users`."""
        intake = None if fresh else self._unfinished(scope)
        if intake is None:
            return self._run(self._begin(scope), held)
        self.say(f"Carrying on the scan that was broken off after {intake.counts.scanned:,} users")
        try:
            return self._run(intake, held)
        except ServiceError as error:
            if error.status != 400:
                raise
            self.say("Privy no longer takes the saved cursor: beginning anew")
            return self._run(self._begin(scope), held)

    def _run(self, intake: Intake, held: Lease) -> Intake:
        scan.run(
            self.engine,
            intake.scan_id,
            privy.pages(self.privy),
            intake.store,
            lease=held,
            tick=lambda _: self.tick(intake.counts.scanned),
        )
        return intake

    def _begin(self, scope: str) -> Intake:
        with writing(self.engine) as connection:
            scan_id = scan.begin(connection, staging.SOURCE, scope, {"app": self.app})
            staging.forget(connection)
        return Intake(scan_id, merges=scope != DRY)

    def _unfinished(self, scope: str) -> Intake | None:
        with reading(self.engine) as connection:
            scan_id = scan.unfinished(connection, staging.SOURCE, scope, {"app": self.app})
            if scan_id is None:
                return None
            started, counts = connection.execute(select(scans.c.started_at, scans.c.counts).where(scans.c.id == scan_id)).one()
        return Intake(scan_id, scope != DRY, Counts(**(counts or {}))) if self.clock() - started < OLDEST else None

    def _missing(self, intake: Intake, held: Lease) -> int:
        """How many are gone at Privy: each is asked for once, and one that is there after all is taken over."""
        with reading(self.engine) as connection:
            candidates = staging.absent(connection, intake.scan_id)
        missing = sum(confirmed for _, confirmed in candidates)
        unsure = [did for did, confirmed in candidates if not confirmed]
        for first in range(0, len(unsure), CONFIRMED_AT_ONCE):
            dids = unsure[first : first + CONFIRMED_AT_ONCE]
            answers = self._ask_for(dids)
            gone = [did for did, answer in zip(dids, answers, strict=True) if answer is None]
            with writing(self.engine) as connection:
                held.assert_held(connection)
                intake.store(connection, [answer for answer in answers if answer is not None])
                if intake.merges:
                    staging.mark_missing(connection, gone)
            missing += len(gone)
        return missing

    def _ask_for(self, dids: Sequence[str]) -> list[Staged | None]:
        """Each user as Privy has it; None: 404."""

        def ask(did: str) -> Staged | None:
            try:
                return privy.user(self.privy, did)
            except ServiceError as error:
                if error.status != 400:
                    raise
                return Staged(did, failure="Privy does not take its DID")

        pool = ThreadPoolExecutor(ASKING)
        try:
            return list(pool.map(ask, dids))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _name_failures(self, scan_id: str) -> None:
        with reading(self.engine) as connection:
            for did, reason in staging.failures(connection, scan_id):
                self.warn(f"{did}: {reason}")
