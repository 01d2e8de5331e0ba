"""The billing changes hands under load, between the web app as it is and `aura`: each grant is made by one of them, once."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from aura_cli.db.engine import reading, writing
from aura_cli.sandbox.generation import PRO_MONTHLY
from aura_cli.sandbox.population import Person, Population
from aura_cli.sandbox.stripe import StripeState, billing, records
from aura_cli.subscriptions.billing_owner import Owner, take_over
from aura_cli.subscriptions.tables import billing_owners
from aura_cli.webhooks.envelope import read
from aura_cli.webhooks.events import HANDLED
from aura_cli.webhooks.inbox import store
from tests.parts.books import DAY, Books, contract, opened, person
from tests.parts.life import TOKENS, body, session
from tests.parts.sampling import WHOLE
from tests.parts.web_app import MONTH, WebApp
from tests.webhooks.world import World

NOTICE = 6  # seconds; longer than anybody is late
AROUND = 4  # seconds before and after the switch in which everything happens
LATE = 0.9  # seconds that an event may need to either of them
BOUGHT = 3_000_000
ROUNDS = 12 if WHOLE else 3  # of every plan, each at every second
Plan = tuple[tuple[str, int], ...]
OVERTAKEN: Plan = (("top up", 0), ("renew", 3))  # a worker that is three seconds late books after the web app's reset
PLANS: tuple[Plan, ...] = (  # what somebody does, and how many seconds after they began
    (("subscribe", 0),),
    (("top up", 0),),
    (("renew", 0),),
    OVERTAKEN,
    (("renew", 0), ("top up", 3)),
    (("subscribe", 0), ("top up", 3)),
)


@dataclass(frozen=True)
class Doing:
    """What one person does, from `begin` (seconds after the switch) on."""

    person: Person
    plan: Plan
    begin: int

    @property
    def renews_at(self) -> int | None:
        return next((self.begin + after for act, after in self.plan if act == "renew"), None)


def doings(switch: int) -> list[Doing]:
    """Somebody for every plan and second around the switch, some of them with a subscription that is about to renew."""
    made: list[Doing] = []
    for plan in PLANS * ROUNDS:
        for begin in range(-AROUND, AROUND + 1):
            number = len(made) + 1
            doing = Doing(person(number), plan, begin)
            if doing.renews_at is not None:
                end = switch + doing.renews_at
                old = replace(contract(f"old{number}", age=31 * DAY), period_start=end - 30 * DAY, period_end=end)
                doing = replace(doing, person=person(number, old))
            made.append(doing)
    return made


def play(state: StripeState, those: Sequence[Doing], switch: int) -> list[records.Event]:
    """All of it happens at Stripe, each thing at its second; the events, of which a checkout's comes a second after its subscription's."""
    acts = [(switch + doing.begin + after, act, doing.person) for doing in those for act, after in doing.plan]
    state.prices.put(TOKENS)
    seen = len(state.events)
    for at, act, who in sorted(acts, key=lambda one: one[:2]):
        state.clock.advance(at - state.now())
        billing.settle(state, at)
        if act != "renew":
            price, tokens = (TOKENS, BOUGHT) if act == "top up" else (billing.recurring_price(state, PRO_MONTHLY.id), 0)
            billing.complete(state, session(state, who.customer or "", who.uuid, price, tokens))
    happened = [event for event in list(state.events)[seen:] if event.type in HANDLED]
    return [replace(event, created=event.created + (event.type == "checkout.session.completed")) for event in happened]


def expected(doing: Doing, kept: int) -> set[int]:
    """The balance after all of it, in order; or with the tokens that we added after the web app's reset."""
    balance = 123 if doing.renews_at is not None else 0
    for act, _ in doing.plan:
        balance = MONTH if act == "renew" else balance + (BOUGHT if act == "top up" else MONTH)
    return {balance, balance + kept}


def late(found: Books) -> set[str]:
    """The customers whose top-up we booked after the web app's reset, though it was bought before.

    They keep it: `last_reset_at` by the web app's clock may be that of a row's beginning, and nobody's purchase is dropped on a guess.
    """
    rows = """SELECT e.customer FROM aura_ops.webhook_attempts a JOIN aura_ops.webhook_events e ON e.id = a.event
        JOIN users u ON u.stripe_customer_id = e.customer JOIN token_balances b ON b.user_id = u.id
        WHERE a.outcome = 'applied' AND e.type = 'checkout.session.completed' AND b.last_reset_at <= a.at"""
    with reading(found.engine) as connection:
        return set(connection.execute(text(rows)).scalars())


@contextmanager
def books(url: str, home: Path, those: Sequence[Doing], owner: Owner) -> Iterator[Books]:
    """People whose month is nearly used up, and who owns the billing until the switch."""
    with opened(url, Population(1, int(time.time()) - 60, (PRO_MONTHLY,), tuple(one.person for one in those)), home) as found:
        found.sql("UPDATE token_balances SET balance = 123, last_reset_at = now() - interval '30 days'")
        with writing(found.engine) as connection:
            connection.execute(billing_owners.insert().values(owner=owner, since=0, operator="tester"))
        yield found


def deliver(events: Sequence[tuple[int, bytes]], chance: random.Random, give: Callable[[bytes], None]) -> None:
    """Give each event (when, body) in its time, or a little later."""
    for moment, what in sorted(((created + chance.uniform(0, LATE), what) for created, what in events), key=lambda pair: pair[0]):
        time.sleep(max(0.0, moment - time.time()))
        give(what)


@pytest.mark.parametrize(("before", "after"), [(Owner.WEB, Owner.AURA), (Owner.AURA, Owner.WEB)])
def test_no_grant_is_lost_or_doubled(postgres_database: str, tmp_path: Path, before: Owner, after: Owner) -> None:
    """Subscriptions, renewals and top-ups in every second around the switch, each event told to `aura` at least once."""
    switch = int(time.time()) + NOTICE + 5
    those = doings(switch)
    with books(postgres_database, tmp_path, those, before) as found, psycopg.connect(postgres_database, autocommit=True) as connection:
        world = World(found, play(found.stripe.state, those, switch))
        bodies = [(event.created, body(world.state, event)) for event in world.events]
        time.sleep(max(0.0, switch - NOTICE - 1.5 - time.time()))
        since = take_over(found.engine, after, "tester", notice=switch - int(time.time()) - 1)
        assert since
        assert abs(since - switch) <= 1
        theirs = [(created, what) for created, what in bodies if (created < since) == (before is Owner.WEB)]
        ours = [*bodies, *random.Random(1).sample(bodies, len(bodies) // 5)]
        under_way(world, WebApp(connection), theirs, ours)
        assert set(world.states()) == {"done"}
        tardy = late(found) if before is Owner.AURA else set()
        wrong = {}
        for doing in those:
            kept = BOUGHT if doing.plan == OVERTAKEN and doing.person.customer in tardy else 0
            balance = found.balance(int(doing.person.uuid[-12:]))
            if balance not in expected(doing, kept):
                wrong[doing.plan, doing.begin] = balance
        assert wrong == {}
        assert found.value("SELECT count(*) FROM token_top_ups") == sum(act == "top up" for one in those for act, _ in one.plan)
        causes = [cause for cause, *_ in found.ledger()]
        assert causes
        assert len(causes) == len(set(causes))


def under_way(world: World, web_app: WebApp, theirs: Sequence[tuple[int, bytes]], ours: Sequence[tuple[int, bytes]]) -> None:
    """Both get what is theirs while two workers work; returns when all is done."""

    def receive(what: bytes) -> None:
        with writing(world.books.engine) as connection:
            store(connection, [read(what, "web")])

    stop, wake = threading.Event(), threading.Event()
    workers = [threading.Thread(target=world.worker().run, args=(stop, wake)) for _ in range(2)]
    senders = [
        threading.Thread(target=deliver, args=(theirs, random.Random(2), web_app.take)),
        threading.Thread(target=deliver, args=(ours, random.Random(3), receive)),
    ]
    for thread in (*workers, *senders):
        thread.start()
    for thread in senders:
        thread.join()
    while world.books.value("SELECT count(*) FROM aura_ops.webhook_events WHERE due_at IS NOT NULL"):
        time.sleep(0.1)
    stop.set()
    for thread in workers:
        thread.join()
