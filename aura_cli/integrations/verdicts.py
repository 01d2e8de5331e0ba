"""What follows from a refresh's outcome: for the row, and for what is known of the connection. No database here."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from aura_cli.integrations.answers import Grant
from aura_cli.integrations.failures import Failure
from aura_cli.integrations.provider import ACCESS, Provider
from aura_cli.integrations.state import Health, Known, definition, fingerprint
from aura_cli.integrations.store import Content, Opened
from aura_cli.integrations.strikes import AT_FAULT

BROKEN_AFTER = 3  # failures in a row
_FIRST_WAIT, _LONGEST_WAIT = 60.0, 6 * 3600.0  # seconds


class Result(StrEnum):
    """How a refresh ended."""

    REFRESHED = "refreshed"
    UNMOVED = "unmoved"  # an answer that is worth no more than what was there
    LOST_RACE = "lost_race"
    NEEDS_CONSENT = "needs_consent"
    FAILING = "failing"
    AT_FAULT = "at_fault"  # the application's fault, or the provider's
    GONE = "gone"  # the row is not there any more
    SHUT = "unreadable"  # no key here opens the row: it was brought under another meanwhile
    OUTDATED = "outdated"  # a spooled answer that the row has moved on from


@dataclass(frozen=True)
class Outcome:
    """What came of asking `provider` with the secret `sent` that stands at `held`: a `grant`, or a `failure`.

    `spooled`: the answer's file. `recovered`: it is out of an earlier run's spool. `cut`: it was sent, and no answer came; `unanswered`:
    when that happened before, with the same secret. `alone`: it was asked at a server of the customer's own, which says nothing of others.
    """

    provider: Provider
    integration_id: str
    user_id: str
    held: str
    sent: str = field(repr=False)
    at: datetime
    grant: Grant | None = field(default=None, repr=False)
    failure: Failure | None = None
    error: str = ""
    retry_after: float | None = None
    spooled: Path | None = None
    recovered: bool = False
    unanswered: datetime | None = None
    cut: bool = False
    alone: bool = False

    @property
    def is_at_fault(self) -> bool:
        """Whether the application or the provider is at fault, and so for everybody."""
        return self.failure in AT_FAULT and not (self.alone and self.failure is Failure.PROVIDER_DOWN)


@dataclass(frozen=True)
class Verdict:
    """What is to be written: `content` into the row, `facts` into `connections` (None: nothing)."""

    result: Result
    content: Content | None = None
    facts: dict[str, Any] | None = None
    error: str = ""


def decide(outcome: Outcome, row: Opened | None, known: Known, now: datetime) -> Verdict:
    """What follows from an outcome, the `row` being as it is now, locked."""
    if row is None:
        return Verdict(Result.GONE)
    if outcome.held in row.unreadable:  # whoever has the key finds the answer in the spool
        return Verdict(Result.SHUT)
    if row.secrets.get(outcome.held) != outcome.sent:
        return _moved_on(outcome, row)
    if outcome.grant is not None:
        return _granted(outcome, outcome.grant, row, known, now)
    assert outcome.failure, "an outcome without a grant has a failure"
    if outcome.failure is Failure.NEEDS_CONSENT:
        return _lost(outcome, row, known, now)
    if outcome.is_at_fault:
        return Verdict(Result.AT_FAULT, facts=_facts(outcome, known, {}), error=outcome.error)
    return _failing(outcome, known, now, outcome.error, outcome.failure)


def is_broken(health: str, failures: int, failure: str | None) -> bool:
    """Whether a connection is in a state that somebody is told of, once. Who lost their consent stays so until a refresh succeeds."""
    return Health.NEEDS_CONSENT in (health, failure) or failures >= BROKEN_AFTER


def cool_down(failures: int, retry_after: float | None = None) -> timedelta:
    """How long a connection that failed so often in a row is left alone."""
    wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures - 1, 20))
    return timedelta(seconds=max(wait, min(retry_after or 0.0, _LONGEST_WAIT)))


def _moved_on(outcome: Outcome, row: Opened) -> Verdict:
    """The row holds another secret than was sent: this very answer's, which another run put there, or somebody else's."""
    grant = outcome.grant
    if grant and row.secrets.get(outcome.held) == grant.secrets.get(outcome.held) and row.secrets.get(ACCESS) == grant.secrets.get(ACCESS):
        return Verdict(Result.REFRESHED)
    return Verdict(Result.OUTDATED if outcome.recovered else Result.LOST_RACE)


def _granted(outcome: Outcome, grant: Grant, row: Opened, known: Known, now: datetime) -> Verdict:
    expiry = outcome.at + timedelta(seconds=grant.expires_in) if grant.expires_in else None
    same_token = grant.secrets.get(outcome.held, outcome.sent) == outcome.sent and outcome.held != ACCESS
    if outcome.recovered and same_token and _is_later(row.expiry, expiry):
        return Verdict(Result.OUTDATED)  # its refresh token serves on, and somebody has refreshed since
    content = Content(grant.secrets, expiry, grant.scopes, grant.kept)
    changed = grant.secrets.get(ACCESS) != row.secrets.get(ACCESS)
    if not (_is_later(expiry, row.expiry) if row.expiry and expiry else changed):
        said = f"{outcome.provider.name} answered with a token that ends no later than the one before"
        failing = _failing(outcome, known, now, said, Failure.TRANSIENT)
        return Verdict(Result.UNMOVED, content, failing.facts, said)
    ends = outcome.at + timedelta(seconds=grant.refresh_expires_in) if grant.refresh_expires_in else None
    kept = ends if ends and not same_token else known.refresh_expires_at or ends
    facts = {"health": Health.OK, "since": now if known.health != Health.OK else known.since or now, "refreshed_at": outcome.at}
    facts |= {"failure": None, "error": None, "failures": 0, "next_try_at": None, "intent": None, "refresh_expires_at": kept}
    facts["definition"] = definition(outcome.provider)
    return Verdict(Result.REFRESHED, content, _facts(outcome, known, facts))


def _lost(outcome: Outcome, row: Opened, known: Known, now: datetime) -> Verdict:
    error = outcome.error
    if outcome.unanswered:
        error += f"; an answer that was on its way at {outcome.unanswered:%Y-%m-%d %H:%M}Z never arrived"
    facts = {"health": Health.NEEDS_CONSENT, "since": known.since if known.health == Health.NEEDS_CONSENT and known.since else now}
    facts |= {"failure": Failure.NEEDS_CONSENT, "error": error, "failures": known.failures + 1, "next_try_at": None}
    facts |= {"definition": definition(outcome.provider), "intent": fingerprint(row)}
    return Verdict(Result.NEEDS_CONSENT, facts=_facts(outcome, known, facts), error=error)


def _failing(outcome: Outcome, known: Known, now: datetime, error: str, failure: Failure) -> Verdict:
    failures = known.failures + 1
    since = known.since if known.health == Health.FAILING and known.since else now
    lost = known.health == Health.NEEDS_CONSENT  # that stays so, whatever happens when it is tried all the same
    facts = {} if lost else {"health": Health.FAILING, "since": since, "failure": failure, "error": error, "failures": failures}
    facts |= {"next_try_at": now + cool_down(failures, outcome.retry_after), "definition": definition(outcome.provider)}
    return Verdict(Result.FAILING, facts=_facts(outcome, known, facts), error=error)


def _facts(outcome: Outcome, known: Known, changed: dict[str, Any]) -> dict[str, Any]:
    """Every column of `connections` that a refresh may write, in one shape, with the lease and the intent's time taken away.

    Where no answer came the intent's time stays: what it was sent with may be used up.
    """
    names = ("health", "since", "failure", "error", "failures", "next_try_at", "definition", "intent", "refreshed_at", "refresh_expires_at")
    return {name: getattr(known, name) for name in names} | {"intent_at": known.intent_at if outcome.cut else None} | changed


def _is_later(one: datetime | None, other: datetime | None) -> bool:
    """Whether a time of ending is later than another; None never ends."""
    return other is not None and (one is None or one > other)
