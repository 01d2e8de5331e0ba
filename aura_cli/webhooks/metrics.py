"""What the listener counts, and how Prometheus reads it.

The text is of https://prometheus.io/docs/instrumenting/exposition_formats (version 0.0.4). Counters are this process's own, from its
start; what stands in the inbox is asked of the database when somebody looks, and is the same whichever listener tells it.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, literal_column, select, union_all

from aura_cli.db.types import utc_now
from aura_cli.webhooks.tables import webhook_events

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPEN = ("received", "processing", "failed", "unmatched", "dead")  # the states that an event should not stay in
_RESTING = ("unmatched", "dead")  # those of them that no worker is to look at; each has an index of its own
_PREFIX = "aura_webhooks_"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_EVENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass
class Histogram:
    """How often a value was at most each of `bounds`, and the sum of all."""

    bounds: Sequence[float]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass
class Metrics:
    """The counts of one listener and of the workers in its process."""

    received: int = 0
    stored: int = 0
    thin: int = 0
    duplicates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    handled: Counter[str] = field(
        default_factory=Counter
    )  # by outcome: applied, unchanged, stale, observed, ignored, failed, unmatched, dead
    batch_size: Histogram = field(default_factory=lambda: Histogram(_EVENTS))
    commit_seconds: Histogram = field(default_factory=lambda: Histogram(_SECONDS))
    request_seconds: Histogram = field(default_factory=lambda: Histogram(_SECONDS))


@dataclass(frozen=True)
class Backlog:
    """What is left to do in the inbox: events by state, and how many seconds the oldest that is due has been waiting."""

    states: Mapping[str, int]
    lag: float


def backlog(connection: Connection) -> Backlog:
    """Look at the inbox; reads through its small indexes, however many events are done."""
    e = webhook_events.c
    alone = [select(e.state, func.count()).where(e.state == literal_column(f"'{state}'")).group_by(e.state) for state in _RESTING]
    moving = select(e.state, func.count()).where(e.due_at.is_not(None), e.state.not_in(_RESTING)).group_by(e.state)
    states = dict.fromkeys(OPEN, 0) | {state: number for state, number in connection.execute(union_all(moving, *alone))}  # noqa: C416
    due = select(func.min(e.due_at), utc_now()).where(e.due_at <= utc_now())
    oldest, now = connection.execute(due).one()
    return Backlog(states, (now - oldest).total_seconds() if oldest else 0.0)


def text(metrics: Metrics, inbox: Backlog | None, queued: int) -> str:
    """Everything as Prometheus reads it; without `inbox` (no database) what only the database knows is left out."""
    return "\n".join([*_lines(metrics, inbox, queued), ""])


def _lines(metrics: Metrics, inbox: Backlog | None, queued: int) -> Iterator[str]:
    yield from _family("received_total", "counter", "Requests to the webhook's path.", {"": metrics.received})
    yield from _family("stored_total", "counter", "Events that were new and are stored.", {"": metrics.stored})
    yield from _family("thin_total", "counter", "Thin (v2) events among those stored.", {"": metrics.thin})
    yield from _family("duplicates_total", "counter", "Events that were known already.", {"": metrics.duplicates})
    yield from _family("rejected_total", "counter", "Requests refused, by reason.", _labelled("reason", metrics.rejected))
    for name, outcomes, about in _HANDLED:
        yield from _family(f"{name}_total", "counter", about, {"": sum(metrics.handled[outcome] for outcome in outcomes)})
    yield from _family("queue_events", "gauge", "Events that wait for their commit.", {"": queued})
    if inbox:
        yield from _family("inbox_events", "gauge", "Events in the inbox that are not done, by state.", _labelled("state", inbox.states))
        yield from _family("lag_seconds", "gauge", "How long the oldest event that is due has been waiting.", {"": inbox.lag})
    yield from _histogram("batch_events", "Events stored by one commit.", metrics.batch_size)
    yield from _histogram("commit_seconds", "Time that a commit took.", metrics.commit_seconds)
    yield from _histogram("request_seconds", "Time from a request's head to its answer.", metrics.request_seconds)


_HANDLED = (  # what a worker of this process did: name, outcomes that count, help
    ("processed", ("applied", "unchanged", "stale", "observed", "ignored"), "Events that a worker of this process finished."),
    ("stale", ("stale",), "Events among them that newer state had overtaken."),
    ("failed", ("failed",), "Tries that failed and come again."),
    ("unmatched", ("unmatched",), "Events put aside until somebody links their customer."),
    ("dead", ("dead",), "Events given up."),
)


def _labelled(name: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f'{{{name}="{label}"}}': value for label, value in sorted(values.items())}


def _family(name: str, kind: str, about: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {about}"
    yield f"# TYPE {_PREFIX}{name} {kind}"
    yield from (f"{_PREFIX}{name}{labels} {value}" for labels, value in values.items())


def _histogram(name: str, about: str, histogram: Histogram) -> Iterator[str]:
    running, values = 0, {}
    for bound, count in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
        running += count
        values[f'_bucket{{le="{bound}"}}'] = running
    yield from _family(name, "histogram", about, {**values, "_sum": histogram.total, "_count": running})
