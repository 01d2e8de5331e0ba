"""A refresh from beginning to end: what earlier runs left behind, what is due, what came of it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from random import SystemRandom

from sqlalchemy import ColumnElement, Engine

from aura_cli.db.engine import reading
from aura_cli.db.shared import integrations
from aura_cli.integrations.asking import Asker
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.integrations.claims import Wanted
from aura_cli.integrations.refresh import AT_ONCE, Refresher
from aura_cli.integrations.settling import Book, Settled
from aura_cli.integrations.state import Health, Seen, renewable, scan
from aura_cli.integrations.strikes import Stopped, stopped
from aura_cli.integrations.verdicts import Outcome, Result

WITHIN = timedelta(minutes=15)
LEFT_BEHIND = timedelta(days=30)  # after that an answer for a row that is nowhere is deleted


@dataclass(frozen=True)
class Chosen:
    """Which connections: a user's, a provider's (the web app's value), those whose refresh tokens rotate; at most `limit`."""

    user_id: str | None = None
    provider: str | None = None
    rotating: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class Trouble:
    """A connection that is not well. `change`: `broken` or `recovered`, where that is new."""

    integration: str
    user: str
    provider: str
    label: str | None
    result: str
    error: str | None
    change: str | None = None


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did, in connections. `needs_consent` are all that do, the ones found before among them.

    `cooling` failed lately and were left alone; `stopped` for their provider's sake; `busy` were somebody else's turn or had been
    refreshed; `stored` and `outdated`: answers that an earlier run had left in the spool; `left`: due, and over the limit.
    """

    due: int
    refreshed: int
    failing: int
    at_fault: int
    lost_race: int
    needs_consent: int
    unreadable: int
    cooling: int
    stopped: int
    busy: int
    stored: int
    outdated: int
    duplicates: int
    left: int
    dry_run: bool
    duration_s: float
    troubles: list[Trouble]
    stopped_providers: list[str]
    recovered_providers: list[str]

    @property
    def needs_a_person(self) -> bool:
        return bool(self.needs_consent or self.unreadable or self.stopped_providers)


@dataclass
class Plan:
    """What is due, and why the rest is not."""

    due: list[Seen] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    troubles: list[Trouble] = field(default_factory=list)
    stopped: dict[str, Stopped] = field(default_factory=dict)
    waiting: dict[str, list[Seen]] = field(default_factory=dict)  # for a stopped provider; those of whom one may try it


@dataclass(frozen=True)
class Keeper:
    """Keeps connections alive."""

    engine: Engine
    catalogue: Catalogue
    asker: Asker
    book: Book
    clock: Callable[[], datetime]
    warn: Callable[[str], None]

    def plan(self, wanted: Wanted, chosen: Chosen) -> Plan:
        """What is due of the chosen connections."""
        now, plan = self.clock(), Plan()
        with reading(self.engine) as connection:
            plan.stopped = stopped(connection, self.catalogue)
            for one in scan(connection, self.book.vault, self.catalogue, *self._conditions(chosen)):
                if chosen.rotating and not _rotates(one):
                    continue
                self._place(plan, one, wanted, now)
        for some in () if wanted.force else filter(None, plan.waiting.values()):
            plan.due.insert(0, _ANY.choice(some))  # not always the first: what ails that one alone would keep all others waiting
            plan.counts["stopped"] -= 1
        if chosen.limit is not None:
            plan.counts["left"] = max(0, len(plan.due) - chosen.limit)
            del plan.due[chosen.limit :]
        return plan

    def foreseen(self, plan: Plan) -> Refreshed:
        """What a refresh would begin with."""
        now = self.clock()
        return _report(plan, Counter(), {}, now, now, dry_run=True)

    def run(self, wanted: Wanted, plan: Plan, *, at_once: int = AT_ONCE, tick: Callable[[int], object] = lambda settled: None) -> Refreshed:
        """Store what earlier runs left in the spool, then refresh what is due; `tick` hears how many are settled.

        Raises AnswersWait, and what the database raises.
        """
        begun, settled = self.clock(), count(1)
        counts, troubles = self.restore(), plan.troubles

        def told(one: Settled) -> None:
            tick(next(settled))
            counts[_NAMES.get(one.result, one.result)] += 1
            if one.change or one.result in (Result.NEEDS_CONSENT, Result.FAILING, Result.UNMOVED, Result.AT_FAULT):
                troubles.append(_trouble(one))

        work = Refresher(self.engine, self.catalogue, self.asker, self.book, wanted, self.clock, told, at_once)
        work.run([one.read.id for one in plan.due])
        counts["busy"] += work.busy
        counts["stopped"] += work.spared
        return _report(plan, counts, work.changed, begun, self.clock(), dry_run=False)

    def restore(self) -> Counter[str]:
        """Put the answers down that an earlier run left in the spool; how many were `stored`, and how many `outdated`."""
        counts: Counter[str] = Counter()
        spool = self.asker.spool
        for path, answer in spool.kept():
            provider = self.catalogue.providers.get(answer.provider) if answer else None
            if answer is None or provider is None:
                self.warn(f"{path} holds an answer that no key opens or no provider file describes; it is left there")
                continue
            whose = answer.integration_id, answer.user_id, answer.held, answer.sent, answer.at
            settled, _ = self.book.settle([Outcome(provider, *whose, answer.grant, recovered=True)], self.clock())
            result = settled[0].result
            if result is Result.GONE and self.clock() - answer.at < LEFT_BEHIND:
                self.warn(f"{path} is of a connection that this database does not have; it is left there for now")
                continue
            if result is Result.SHUT:
                self.warn(f"{path} is of a connection that no key here opens; it is left there")
                continue
            counts["stored" if result in (Result.REFRESHED, Result.UNMOVED) else "outdated"] += 1
            spool.forget(path)
        return counts

    def _conditions(self, chosen: Chosen) -> Iterator[ColumnElement[bool]]:
        i = integrations.c
        yield i.provider.in_([chosen.provider] if chosen.provider else renewable(self.catalogue))
        if chosen.user_id:
            yield i.user_id == chosen.user_id

    def _place(self, plan: Plan, one: Seen, wanted: Wanted, now: datetime) -> None:
        """Where one connection belongs."""
        health = one.health(now)
        if one.copies > 1:
            plan.counts["duplicates"] += 1
            plan.troubles.append(_seen(one, "duplicate", f"{one.copies} rows of one user and provider; the newest counts"))
        if health is Health.UNREADABLE:
            plan.counts["unreadable"] += 1
            plan.troubles.append(_seen(one, health, "no key opens it; it is left as it is"))
        elif health is Health.NEEDS_CONSENT and not (wanted.force and one.renewal):
            plan.counts["needs_consent"] += 1
            plan.troubles.append(_seen(one, health, one.known.error))
        elif not wanted.takes(one, now):
            return
        elif not wanted.force and one.rests(now):
            plan.counts["cooling"] += 1
        elif self._is_stopped(plan, one, now) and not wanted.force:
            plan.counts["stopped"] += 1
        else:
            plan.due.append(one)

    def _is_stopped(self, plan: Plan, one: Seen, now: datetime) -> bool:
        """Whether a connection's provider is left alone, but for one that tries it once the time is over."""
        state = plan.stopped.get(one.provider.id) if one.provider else None
        if state is None:
            return False
        plan.waiting.setdefault(state.provider, [])
        if state.until <= now:
            plan.waiting[state.provider].append(one)
        return True


_ANY = SystemRandom()
_NAMES = {Result.UNMOVED: "failing"}


def _rotates(one: Seen) -> bool:
    return bool(one.provider and one.provider.oauth and one.provider.oauth.refresh.rotating)


def _seen(one: Seen, result: str, error: str | None) -> Trouble:
    return Trouble(one.read.id, one.read.user_id, one.read.provider, one.known.label, result, error)


def _trouble(one: Settled) -> Trouble:
    about = one.outcome
    return Trouble(about.integration_id, about.user_id, about.provider.provider, one.label, one.result, one.error or None, one.change)


def _report(plan: Plan, counts: Counter[str], changed: dict[str, bool], begun: datetime, ended: datetime, *, dry_run: bool) -> Refreshed:
    every = plan.counts + counts
    numbers = ("refreshed", "failing", "at_fault", "lost_race", "needs_consent", "unreadable", "cooling", "stopped", "busy")
    return Refreshed(
        due=len(plan.due),
        **{name: every[name] for name in (*numbers, "stored", "outdated", "duplicates", "left")},
        dry_run=dry_run,
        duration_s=round((ended - begun).total_seconds(), 3),
        troubles=plan.troubles,
        stopped_providers=sorted({*(name for name, stop in changed.items() if stop), *(plan.waiting.keys() - changed.keys())}),
        recovered_providers=sorted(name for name, stop in changed.items() if not stop),
    )
