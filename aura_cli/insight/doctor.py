"""Every system looked at, all at once, each in a thread of its own that nobody waits for longer than the deadline."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from queue import Empty, SimpleQueue
from time import monotonic

from aura_cli.errors import AuraError, ConfigurationError, NotFoundError
from aura_cli.insight.checks import (
    analytics,
    clock,
    connections,
    database,
    disk,
    files,
    openai,
    privy,
    resend,
    sentry,
    stripe,
    tls,
    upstash,
    vault,
    vercel,
    webhooks,
)
from aura_cli.insight.finding import Finding, State, System, fail, warn
from aura_cli.insight.pages import PAGES
from aura_cli.insight.surroundings import DEADLINE, DatabaseAway, Surroundings, Unseen, milliseconds, told

Check = Callable[[Surroundings], Iterator[Finding]]
CHECKS: Mapping[System, Check] = {
    System.DATABASE: database.check,
    System.STRIPE: stripe.check,
    System.WEBHOOKS: webhooks.check,
    System.PRIVY: privy.check,
    System.OPENAI: openai.check,
    System.RESEND: resend.check,
    System.UPSTASH: upstash.check,
    System.SENTRY: sentry.check,
    System.ANALYTICS: analytics.check,
    System.VERCEL: vercel.check,
    System.VAULT: vault.check,
    System.CONNECTIONS: connections.check,
    System.FILES: files.check,
    System.DISK: disk.check,
    System.TLS: tls.check,
}
SLOW_MS = 3_000
_REFUSED, _IDLE = "Check the credentials", "Trying again"  # hints of the transport's: of 401 and 403, and one that says nothing here
_TELL_THE_TIME = (System.DATABASE, System.STRIPE, System.PRIVY)
_TICK = 0.2  # seconds
_ORDER = list(System)


@dataclass(frozen=True)
class Report:
    """A whole look. `failed` and `warned` name systems; `healthy`: none failed. The findings stand in the order of systems."""

    healthy: bool
    checked_at: datetime
    took_ms: int
    failed: tuple[str, ...]
    warned: tuple[str, ...]
    findings: tuple[Finding, ...]


def examine(about: Surroundings, systems: Sequence[System] = (), tick: Callable[[int], None] = lambda count: None) -> Report:
    """Look at `systems` (none: all). Ends when all have answered, or at the deadline; `tick` gets how many have.

    Raises nothing: what a check raises is a finding.
    """
    wanted = [system for system in System if system in systems or not systems]
    asked = [system for system in CHECKS if system in wanted or (System.CLOCK in wanted and system in _TELL_THE_TIME)]
    begun, checked_at = monotonic(), about.now()
    found = list(_answers(about, asked, tick))
    found += [replace(one, system=System.CLOCK) for one in clock.compare(about.clocks)]
    about.database.close()
    found = [one for one in found if one.system in wanted]
    if System.DATABASE not in wanted:
        found = [_alone(one) for one in found]
    found.sort(key=lambda one: _ORDER.index(System(one.system)))
    failed, warned = (tuple(dict.fromkeys(one.system for one in found if one.state is state)) for state in (State.FAIL, State.WARN))
    return Report(not failed, checked_at, milliseconds(begun), failed, warned, tuple(found))


def _answers(about: Surroundings, chosen: Sequence[System], tick: Callable[[int], None]) -> Iterator[Finding]:
    answers: SimpleQueue[tuple[System, Finding | None]] = SimpleQueue()
    for system in chosen:
        threading.Thread(target=_look, args=(about, system, answers), name=f"doctor-{system}", daemon=True).start()
    silent = set(chosen)
    while silent and about.left:
        tick(len(chosen) - len(silent))
        try:
            system, finding = answers.get(timeout=min(_TICK, about.left))
        except Empty:
            continue
        if finding is None:
            silent.discard(system)
        else:
            yield _judged(system, finding)
    for system in sorted(silent):
        yield replace(fail("answer", f"no answer within {DEADLINE:g} seconds", _status(system)), system=system)


def _look(about: Surroundings, system: System, answers: "SimpleQueue[tuple[System, Finding | None]]") -> None:
    """One system, in its thread: its findings as they come, then None."""
    try:
        for finding in CHECKS[system](about):
            answers.put((system, finding))
    except DatabaseAway as away:
        answers.put((system, _refused(system, away.error) if system is System.DATABASE else _unseen(str(away))))
    except Unseen as reason:
        answers.put((system, _unseen(str(reason))))
    except Exception as error:  # noqa: BLE001 (whatever goes wrong with a system is what is looked for)
        answers.put((system, _refused(system, told(error))))
    answers.put((system, None))


def _refused(system: System, error: AuraError) -> Finding:
    """What an error says of a system: the hint is part of it, and the way to mend it is the page of its keys, or of its own state."""
    if "CERTIFICATE_VERIFY_FAILED" in error.message:
        return fail("answer", f"{error.message}. Its certificate is not trusted here: a proxy, or SSL_CERT_FILE?", "aura doctor --only tls")
    said, pages = error.message.rstrip("."), PAGES.get(system)
    if pages and error.hint.startswith(_REFUSED):
        return fail("answer", f"{said}. {pages.credential} is refused", pages.keys)
    said += f". {error.hint}" if error.hint and not error.hint.startswith(_IDLE) else ""
    return fail("answer", said, pages.keys if pages and isinstance(error, ConfigurationError | NotFoundError) else _status(system))


def _status(system: System) -> str | None:
    return PAGES[system].status if system in PAGES else None


def _unseen(reason: str) -> Finding:
    return Finding("answer", State.SKIPPED, reason)


def _judged(system: System, finding: Finding) -> Finding:
    """A finding under its system's name; an answer that was good and late is worth a warning."""
    if finding.state is State.OK and (finding.latency_ms or 0) > SLOW_MS:
        finding = replace(warn(finding.name, f"slow: {finding.detail}"), latency_ms=finding.latency_ms)
    return replace(finding, system=system)


def _alone(finding: Finding) -> Finding:
    """Where the database itself is not looked at, what could not be looked at for it has failed."""
    away = finding.state is State.SKIPPED and "database" in finding.detail
    return replace(finding, state=State.FAIL, fix="aura doctor --only database") if away else finding
