"""What Sentry is told: unforeseen errors, failed jobs, dead letters, traces, cron check-ins.

Its SDK is loaded when there is something to tell, and not before. Every text goes out without secrets, without e-mail addresses and
without whatever else might be a token; no local variable, request body, command line, host name or breadcrumb goes along.
"""

import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Literal

from aura_cli import __version__
from aura_cli.errors import ConfigurationError

FLUSH_SECONDS = 2.0
AGAIN_SECONDS = 60.0  # how long an error that was told is not told again: who tries again and again fails again and again
MOST_KEYS, LONGEST_WHY = 20, 300
MONITOR_MARGIN = 10  # minutes that a job may begin late: Sentry's `checkin_margin`
Status = Literal["in_progress", "ok", "error"]

_ADDRESS = re.compile(r"[^\s@<>\"'(=/:;,*]{1,64}@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}(?!\w)")
_IDS = r"(?:evt|cus|sub|in|cs_test|cs_live|pi|ch|price|re)_|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![\w-])"
_OPAQUE = re.compile(rf"(?<![\w.~+-])(?!{_IDS})(?=[A-Za-z_.~+-]*\d)(?=[\d_.~+-]*[A-Za-z])[\w.~+-]{{20,}}")


@dataclass(eq=False)
class Reporter:
    """Sentry's project at `dsn`, or nobody (None): then nothing happens. Nothing here ever raises: a report must not hide what it reports.

    `redact` takes the secrets out of a text; `rate` is the share of traces that is sent, from 0 to 1. Safe to share by threads.
    """

    dsn: str | None = None
    environment: str = "production"
    redact: Callable[[str], str] = str
    rate: float = 1.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _loaded: Any = field(default=None, repr=False)
    _told: dict[object, float] = field(default_factory=dict, repr=False)

    def error(self, error: BaseException, where: str, facts: Mapping[str, object] | None = None) -> None:
        """One error that came up in `where` (a command's or a job's name); `facts` are ids and numbers that go with it."""
        if client := self._client((where, type(error), _line(error))):
            with suppress(Exception), _scope(client) as scope:
                scope.set_tag("where", where)
                scope.set_context("facts", dict(facts or {}))
                scope.capture_exception(error)

    def message(self, text: str, where: str, facts: Mapping[str, object] | None = None) -> None:
        """Something that failed and is no exception: a job's bad end. One of a text and a place is one issue of Sentry's."""
        if client := self._client((where, text)):
            self._capture(client, text, where, facts or {}, [where, text])

    def dead_letters(self, where: str, kind: str, notes: Mapping[str, str | None]) -> None:
        """What was given up: `notes` is key → why; `kind` (an event type, a deliverer) makes one issue of Sentry's."""
        if notes and (client := self._client()):
            some = list(notes.items())[:MOST_KEYS]
            whys = {why.splitlines()[0][:LONGEST_WHY]: None for _, why in some if why}  # a database's later lines quote the row
            facts = {"count": len(notes), "keys": [key for key, _ in some], "why": list(whys)}
            self._capture(client, f"Given up: {kind}", where, facts, [where, kind, "dead"])

    def check_in(
        self,
        job: str,
        status: Status,
        *,
        id: str | None = None,  # noqa: A002
        schedule: str | None = None,
        max_runtime: float | None = None,
        duration: float | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> str:
        """One check-in of `job`'s monitor, `aura-JOB`; returns its id, which the check-in at the run's end has to bring as `id`.

        A `schedule` (crontab's five fields, UTC) makes or changes the monitor; `max_runtime` and `duration` are seconds. `counts` say how
        much was done. Within `trace` it belongs to that trace. https://develop.sentry.dev/sdk/telemetry/check-ins/
        """
        identifier = id or uuid.uuid4().hex
        if client := self._client():
            with suppress(Exception), _scope(client) as scope:
                from sentry_sdk.envelope import Envelope

                trace = {
                    name: value for name, value in scope.get_trace_context().items() if name in ("trace_id", "span_id", "parent_span_id")
                }
                said = {
                    "check_in_id": identifier,
                    "monitor_slug": f"aura-{job}",
                    "status": status,
                    "release": f"aura@{__version__}",
                    "environment": self.environment,
                    "contexts": {"trace": trace, **({"counts": dict(counts)} if counts else {})},
                    **({"duration": duration} if duration is not None else {}),
                    **({"monitor_config": _monitor(schedule, max_runtime)} if schedule else {}),
                }
                sent_at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
                envelope = Envelope(headers={"event_id": uuid.uuid4().hex, "sent_at": sent_at})
                envelope.add_checkin(scrubbed(said, self.redact))
                client.transport.capture_envelope(envelope)
        return identifier

    @contextmanager
    def trace(self, name: str, op: str) -> Iterator[dict[str, object]]:
        """What runs inside is one trace, sent where the dice (`rate`) say so; an exception passes through and marks it as failed.

        What is put into the mapping that this gives is sent as the trace's data: numbers and ids.
        """
        facts: dict[str, object] = {}
        client = self._client() if self.rate > 0 else None
        if client is None:
            yield facts
            return
        with _scope(client) as scope:
            transaction = scope.start_transaction(name=name, op=op, source="task")
            with transaction:
                try:
                    yield facts
                finally:
                    for key, value in facts.items():
                        transaction.set_data(key, value)

    def close(self) -> None:
        """Wait until what was told is sent, two seconds at most, and end the thread that sends it. Who tells more begins anew."""
        with self._lock:
            client, self._loaded = self._loaded, None
        if client:
            with suppress(Exception):
                client.close(timeout=FLUSH_SECONDS)

    def _capture(self, client: Any, text: str, where: str, facts: Mapping[str, object], fingerprint: Sequence[str]) -> None:
        with suppress(Exception), _scope(client) as scope:
            scope.set_tag("where", where)
            scope.set_context("facts", dict(facts))
            scope.fingerprint = list(fingerprint)
            scope.capture_message(text, level="error")

    def _client(self, about: object = None) -> Any:
        """The SDK's client, nobody else's; None where nobody is to be told, it cannot be, or was told of the same a moment ago."""
        with self._lock:
            now = monotonic()
            if not self.dsn or (about is not None and now - self._told.get(about, float("-inf")) < AGAIN_SECONDS):
                return None
            if about is not None:
                self._told = {key: at for key, at in self._told.items() if now - at < AGAIN_SECONDS} | {about: now}
            if self._loaded is None:
                try:
                    self._loaded = self._load(self.dsn)
                except Exception:  # noqa: BLE001 (an address that is none)
                    self.dsn = None
            return self._loaded

    def _load(self, dsn: str) -> Any:
        from sentry_sdk import Client

        def scrub(event: Any, hint: Mapping[str, Any]) -> Any:
            return scrubbed(event, self.redact)

        return Client(
            dsn,
            release=f"aura@{__version__}",
            environment=self.environment,
            before_send=scrub,
            before_send_transaction=scrub,
            traces_sample_rate=self.rate,
            # personal data is off by default (send_default_pii is deprecated in 2.75)
            default_integrations=False,
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
            server_name="",
            enable_backpressure_handling=False,  # a thread more, which outlives its client by seconds
        )


@contextmanager
def _scope(client: Any) -> Iterator[Any]:
    """A scope within the current one, for the length of the block, that tells `client`."""
    from sentry_sdk import new_scope

    with new_scope() as scope:
        scope.set_client(client)
        yield scope


SILENT = Reporter()


def rate(text: str | None) -> float:
    """A share as the settings have it: from 0 to 1, by default 1. Raises ConfigurationError for anything else."""
    try:
        share = float(text or 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigurationError(f"AURA_TRACES_SAMPLE_RATE is {text!r}", "It is a number from 0 to 1")
    return share


def _monitor(schedule: str, max_runtime: float | None) -> dict[str, object]:
    limit = {"max_runtime": max(1, round(max_runtime / 60))} if max_runtime else {}
    return {"schedule": {"type": "crontab", "value": schedule}, "timezone": "UTC", "checkin_margin": MONITOR_MARGIN, **limit}


def _line(error: BaseException) -> object:
    """Where it was raised."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace else None


def scrubbed(value: Any, redact: Callable[[str], str], name: str = "") -> Any:
    """`value` as it may leave: each text, however deep, redacted and without e-mail addresses; no file's place on this machine.

    Free text (messages, reasons) loses all that is long and looks like no word and no id, too.
    """
    if isinstance(value, str):
        text = _ADDRESS.sub("****@****", redact(value))
        return _OPAQUE.sub("****", text) if name in _FREE else text
    if isinstance(value, Mapping):
        return {redact(str(key)): scrubbed(part, redact, str(key)) for key, part in value.items() if key != "abs_path"}
    return [scrubbed(part, redact, name) for part in value] if isinstance(value, (list, tuple)) else value


_FREE = {"value", "message", "why", "formatted"}
