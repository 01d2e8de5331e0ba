"""What Sentry hears of webhooks: a trace of each batch, what was given up, and nothing of what is in an event."""

import json
import signal
from threading import Event

from aura_cli.db.engine import writing
from aura_cli.outbox import queue
from aura_cli.outbox.carrying import Carrier, Outcome
from aura_cli.reporting import Reporter
from aura_cli.webhooks.worker import Worker
from tests.outbox.test_carrying import Scripted
from tests.parts.kent import Kent
from tests.parts.listening import event
from tests.parts.program import Aura
from tests.parts.waiting import until
from tests.webhooks.operating import Operated


def test_a_batch_and_what_died_in_it(operated: Operated, kent: Kent) -> None:
    """One trace with the numbers, one issue for the dead letter with its id; the other event is told of nowhere."""
    operated.malformed()
    operated.put(event("evt_good"))
    assert operated("work", "--once", NEXT_PUBLIC_SENTRY_DSN=kent.dsn).exit == 9
    (trace,) = kent.received("transaction")
    assert {name: trace["contexts"]["trace"]["data"][name] for name in ("events", "done", "dead")} == {"events": 2, "done": 1, "dead": 1}
    (dead,) = kent.received("event")
    assert (dead["message"], dead["contexts"]["facts"]["keys"]) == ("Given up: invoice.paid", ["evt_malformed"])
    assert (dead["environment"], dead["tags"]["where"]) == ("sandbox", "aura webhooks")
    assert "evt_good" not in kent.text()


def test_a_listener_tells_while_it_runs(operated: Operated, kent: Kent) -> None:
    """Not only when it ends; with a rate of 0 it sends no traces."""
    listener = operated.aura.start(
        "serve-webhooks", "--port", "0", "--admin-port", "0", "--json",
        env={**operated.world.books.variables, "NEXT_PUBLIC_SENTRY_DSN": kent.dsn, "AURA_TRACES_SAMPLE_RATE": "0"},
    )  # fmt: skip
    assert listener.stdout
    assert json.loads(listener.stdout.readline())["workers"] == 1
    operated.malformed()
    until(lambda: bool(kent.received("event")))
    listener.send_signal(signal.SIGTERM)
    listener.communicate(timeout=30)
    assert (len(kent.received("event")), kent.received("transaction")) == (1, [])


def test_an_effect_that_is_given_up(operated: Operated, kent: Kent) -> None:
    """The first line of why, and the key without whose address it is; one that is tried again is no dead letter."""
    with writing(operated.engine) as connection:
        for key in ("again", "mina@example.com/welcome"):
            queue.enqueue(connection, "mail", key, {})

    def judge(effect: queue.Effect) -> Outcome:
        return Outcome(effect, "No such mailbox\nDETAIL: Canary" if "@" in effect.key else "later", final="@" in effect.key)

    reporter = Reporter(kent.dsn)
    Carrier(operated.engine, Scripted(judge), reporter=reporter).once()
    reporter.close()
    (dead,) = kent.received("event")
    assert dead["contexts"]["facts"] == {"count": 1, "keys": ["****@****/welcome"], "why": ["No such mailbox"]}
    assert "Canary" not in kent.text()


def test_what_nobody_foresaw_keeps_no_worker_from_working(operated: Operated, kent: Kent) -> None:
    """A worker that cannot go on says so once, and goes on."""
    reporter = Reporter(kent.dsn)
    broken = Worker(operated.engine, None, reporter=reporter)
    operated.put(event("evt_one"))
    stopping = Event()

    def fail(handled: object) -> None:
        stopping.set()
        raise LookupError("nobody foresaw this")

    broken.on_handled = fail
    broken.run(stopping)
    reporter.close()
    (told,) = kent.received("event")
    assert told["exception"]["values"][-1]["type"] == "LookupError"


def test_a_sampling_rate_that_is_none(aura: Aura, sqlite_database: str) -> None:
    """Said before anything listens: exit 4."""
    env = {
        "DATABASE_URL": sqlite_database,
        "AURA_ENV": "development",
        "AURA_TRACES_SAMPLE_RATE": "often",
        "STRIPE_WEBHOOK_SECRET": "whsec_x",
    }
    assert aura("db", "upgrade", env=env).exit == 0
    refused = aura("webhooks", "work", "--once", env=env)
    assert (refused.exit, "AURA_TRACES_SAMPLE_RATE" in refused.err) == (4, True)
