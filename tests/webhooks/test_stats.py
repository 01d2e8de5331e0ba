"""`aura webhooks stats`: what came, what waits, and whether Stripe has more."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from aura_cli.db.engine import reading, writing
from aura_cli.outbox import queue
from aura_cli.outbox.tables import outbox
from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from aura_cli.sandbox.faults import Faults
from aura_cli.transport import Service
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.inbox import store
from aura_cli.webhooks.intake import note_matches
from aura_cli.webhooks.samples import sample
from aura_cli.webhooks.stats import Stats, ago, at_stripe, dead, silence, stats
from aura_cli.webhooks.tables import webhook_events, webhook_secrets
from tests.parts.listening import event
from tests.webhooks.listing import happen, listing
from tests.webhooks.operating import Operated

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
FIELDS = """since until received received_per_hour over_time by_state by_type by_outcome open lag_seconds newest_received_at secrets
forwarding at_stripe note""".split()


def arrived(engine: Engine, *ages: timedelta, kind: str = "product.updated", **values: Any) -> None:
    """Events that came so long ago."""
    for age in ages:
        body = event(type=kind)
        with writing(engine) as connection:
            (name,) = store(connection, [read(body, "web")])
            connection.execute(webhook_events.update().where(webhook_events.c.id == name).values(received_at=NOW - age, **values))


def counted(engine: Engine, since: timedelta, **secrets: str) -> Stats:
    with reading(engine) as connection:
        return stats(connection, NOW - since, NOW, secrets)


def test_events_are_counted_by_the_hour(engine: Engine) -> None:
    """The empty hours too, up to now; what came before does not count."""
    arrived(engine, HOUR / 60, 3 * HOUR, 3 * HOUR, 30 * HOUR)
    found = counted(engine, 24 * HOUR)
    assert (found.received, found.received_per_hour) == (3, 0.12)
    assert [one.events for one in found.over_time if one.events] in ([2, 1], [3])
    assert len(found.over_time) in (24, 25)
    assert found.over_time[0].begin == (NOW - 24 * HOUR).replace(minute=0, second=0, microsecond=0)
    assert {later.begin - one.begin for one, later in zip(found.over_time, found.over_time[1:], strict=False)} == {HOUR}
    assert found.newest_received_at == NOW - HOUR / 60


def test_longer_times_are_counted_by_the_day(engine: Engine) -> None:
    """A week has seven or eight bars."""
    arrived(engine, HOUR, 50 * HOUR, 100 * HOUR)
    found = counted(engine, timedelta(days=7))
    assert len(found.over_time) == 8
    assert sum(one.events for one in found.over_time) == 3


def test_states_types_and_outcomes(engine: Engine) -> None:
    """Of what came since; what is still open counts however old it is."""
    arrived(engine, HOUR, HOUR, state="done", outcome="applied", due_at=None)
    arrived(engine, HOUR, state="done", outcome="stale", due_at=None, kind="price.updated")
    arrived(engine, 2 * HOUR, state="dead", outcome="An error of its own", due_at=None)
    arrived(engine, 100 * HOUR, due_at=NOW - HOUR)
    found = counted(engine, 24 * HOUR)
    assert found.by_state == {"done": 3, "dead": 1}
    assert found.by_outcome == {"applied": 2, "stale": 1, "dead": 1}
    assert dead(found) == "1 event is dead: given up, and handled no more by itself"
    assert found.by_type == {"product.updated": 3, "price.updated": 1}
    assert found.open == {"received": 1, "processing": 0, "failed": 0, "unmatched": 0, "dead": 1}
    assert 3600 <= found.lag_seconds <= (datetime.now(UTC) - NOW + HOUR).total_seconds() + 1


def test_secrets_and_when_they_were_last_needed(engine: Engine) -> None:
    """Those that are configured, needed or not, and those that are not any more."""
    with writing(engine) as connection:
        note_matches(connection, {"web": ("whsec_1", 5), "old": ("whsec_2", 1)})
        connection.execute(webhook_secrets.update().where(webhook_secrets.c.label == "old").values(last_matched_at=NOW - 26 * HOUR))
    used = {one.label: one for one in counted(engine, HOUR, web="whsec_1", new="whsec_3").secrets}
    assert (used["web"].configured, used["web"].matched) == (True, 5)
    assert (used["old"].configured, used["old"].last_matched_at) == (False, NOW - 26 * HOUR)
    assert (used["new"].configured, used["new"].matched, used["new"].last_matched_at) == (True, 0, None)


def test_forwarding(engine: Engine) -> None:
    """What waits and since when, what was given up, and why; mail is not counted."""
    with writing(engine) as connection:
        for key in ("evt_1", "evt_2", "evt_3"):
            queue.enqueue(connection, "forward", key, {"event": key})
        queue.enqueue(connection, "mail", "evt_1", {})
        connection.execute(outbox.update().where(outbox.c.key == "evt_2").values(state="dead", error="404: gone"))
        connection.execute(outbox.update().where(outbox.c.key == "evt_3").values(state="done"))
        connection.execute(outbox.update().where(outbox.c.key == "evt_1").values(created_at=NOW - HOUR))
    found = counted(engine, HOUR).forwarding
    assert (found.pending, found.done, found.dead) == (1, 1, 1)
    assert (found.waiting_since, found.last_error) == (NOW - HOUR, "404: gone")


def known(engine: Engine, *ids: str, made: int) -> None:
    """Events that arrived, by their ids at Stripe, which made them then (epoch seconds)."""
    for name in ids:
        body = sample("invoice.paid", made).replace(b'"id":"evt_', b'"id":"' + name.encode() + b'","was":"', 1)
        with writing(engine) as connection:
            store(connection, [read(body, "web")])


def compared(engine: Engine, asked: Service) -> tuple[int, bool]:
    found = at_stripe(engine, asked, NOW)
    return found.missing, found.more


def test_silence_is_what_stripe_has_and_we_lack(engine: Engine, tmp_path: Path) -> None:
    """Counted are handled events after our newest; one that is on its way still is no silence, nor one of another type."""
    moment = int(NOW.timestamp())
    with listing(tmp_path) as (stripe, asked):
        assert at_stripe(engine, asked, NOW).newest is None
        first = happen(stripe, moment - 9000, moment - 8000)
        assert compared(engine, asked) == (2, False)
        known(engine, first[1], made=moment - 8000)
        assert compared(engine, asked) == (0, False)  # what was missed before is not silence; a backfill finds it
        happen(stripe, *range(moment - 7000, moment - 6959))
        happen(stripe, moment - 5000, kind="charge.refunded")
        happen(stripe, moment - 2)
        assert compared(engine, asked) == (41, False)
        assert at_stripe(engine, asked, NOW).newest == datetime.fromtimestamp(moment - 2, UTC)
        happen(stripe, *range(moment - 4000, moment - 3900))
        assert compared(engine, asked)[1] is True


def test_what_is_older_than_our_newest_is_no_silence(engine: Engine, tmp_path: Path) -> None:
    """Events arrive, and earlier ones never did: that is told apart from silence."""
    moment = int(NOW.timestamp())
    with listing(tmp_path) as (stripe, asked):
        happen(stripe, *range(moment - 7000, moment - 6800))
        known(engine, "made_here", made=moment - 35)
        found = at_stripe(engine, asked, NOW)
    assert (found.missing, found.more, found.older) == (0, False, 100)


def test_how_silence_is_told(engine: Engine, tmp_path: Path) -> None:
    """How long, and how much Stripe has."""
    from dataclasses import replace

    moment = int(NOW.timestamp())
    with listing(tmp_path) as (stripe, asked):
        happen(stripe, *range(moment - 7000, moment - 6959))
        found = at_stripe(engine, asked, NOW)
    never = replace(counted(engine, HOUR), at_stripe=found)
    assert silence(never) == "Nothing has ever arrived here while Stripe has 41 events"
    arrived(engine, 3 * HOUR)
    assert silence(replace(counted(engine, HOUR), at_stripe=found)) == "Silent for 3 h while Stripe has 41 events"
    assert silence(counted(engine, HOUR)) is None
    assert [ago(NOW - HOUR * hours, NOW) for hours in (0, 0.5, 1.5, 26, 47, 49)] == ["0 s", "30 min", "90 min", "26 h", "47 h", "2 d"]


def test_the_command(operated: Operated) -> None:
    """A plot and words for a person, one object for a program; all is well where Stripe's newest has arrived."""
    operated.world.deliver(operated.world.events)
    operated.world.worker().drain()
    operated.put(event("evt_new"), source="old")
    with writing(operated.engine) as connection:
        note_matches(connection, {"web": (STRIPE_WEBHOOK_SECRET, 9)})
        connection.execute(webhook_secrets.update().values(last_matched_at=NOW - 26 * HOUR))
    number = len(operated.states())
    told = operated("stats")
    assert (told.exit, told.err) == (0, "")
    assert told.out.startswith(f"{number} events since ")
    assert "█" * 40 in told.out
    for line in ("Secret 'web': last needed 26 h ago, 9 times", "Forwarding: ", "The last event arrived", "State", "invoice.paid"):
        assert line in told.out
    found = operated("stats", "--since", "7d", "--json")
    assert list(found.json) == FIELDS
    assert (found.json["received"], found.json["at_stripe"]["missing"], found.json["note"]) == (number, 0, None)


def test_the_command_while_nothing_arrives(operated: Operated) -> None:
    """Exit 3, with what to do; the numbers are told all the same."""
    silent = operated("stats", "--json")
    assert (silent.exit, silent.json["received"]) == (3, 0)
    error = json.loads(silent.err)["error"]
    assert error["kind"] == "attention"
    assert error["message"].startswith("Nothing has ever arrived here while Stripe has ")
    assert "backfill" in error["hint"]


def test_the_command_where_nothing_ever_arrived(operated: Operated) -> None:
    """No plot of nothing, and no times and numbers of what never was."""
    told = operated("stats", STRIPE_SECRET_KEY="", AURA_ENV="development")
    first, *rest = told.out.splitlines()
    assert (told.exit, first.startswith("0 events since ")) == (0, True)
    said = ["Not done, whenever it arrived: nothing", "Secret 'web': not needed so far", "No event has arrived yet"]
    assert rest[:-1] == said


def test_the_command_where_something_is_dead(operated: Operated) -> None:
    """Exit 3: it is left for a person."""
    operated.malformed()
    operated.world.worker().drain()
    told = operated("stats", STRIPE_SECRET_KEY="", AURA_ENV="development")
    assert (told.exit, "1 event is dead" in told.err, "replay --status dead" in told.err) == (3, True, True)
    assert "  dead  " in told.out.partition("Outcome")[2]


def test_the_command_without_stripe(operated: Operated) -> None:
    """Without a key, or while Stripe is in trouble, it says that it did not ask, and tells the rest."""
    note = operated("stats", "--json", STRIPE_SECRET_KEY="", AURA_ENV="development").json["note"]
    assert note.startswith("STRIPE_SECRET_KEY is not set")
    operated.world.books.stripe.faults = Faults()
    away = operated("stats", "--json", STRIPE_API_BASE="http://127.0.0.1:9")
    assert (away.exit, away.json["at_stripe"]) == (0, None)
    assert "could not be reached" in away.json["note"]


def test_the_command_and_times_that_make_no_sense(operated: Operated) -> None:
    """Exit 2."""
    assert operated("stats", "--since", "soon").exit == 2
