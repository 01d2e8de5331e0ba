"""Signed events on their way to an endpoint: verbatim, in order, and none lost while the endpoint is down."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aura_cli.errors import ServiceError, UnreachableError, UsageError
from aura_cli.sandbox.faults import Faults
from aura_cli.webhooks.envelope import BadEvent
from aura_cli.webhooks.feed import Feed
from aura_cli.webhooks.samples import sample
from aura_cli.webhooks.sending import Sent, Target, follow
from aura_cli.webhooks.signature import verify
from tests.parts.receiving import Receiver, receiving
from tests.parts.service import free_port
from tests.parts.waiting import until
from tests.webhooks.listing import NOW, happen, listing

SECRET = "whsec_test"
EVENT = sample("invoice.paid", NOW)


def test_the_bytes_arrive_as_they_are_and_signed() -> None:
    """Blanks and all; the signature is the secret's, made now."""
    body = b"  " + EVENT + b"\n"
    with receiving() as receiver, Target(receiver.url, SECRET) as target:
        sent = target.deliver(body)
    ((arrived, header),) = receiver.arrived
    assert arrived == body
    assert verify(header, arrived, {"web": SECRET}, time.time()) == "web"
    assert (sent.type, sent.status, sent.taken, sent.to) == ("invoice.paid", 200, True, receiver.url)
    sent.require()


@pytest.mark.parametrize("status", [307, 400, 503])
def test_an_answer_that_is_no_yes(status: int) -> None:
    """It is shown, and an error of the service; a redirect is not followed."""
    with receiving(status) as receiver, Target(receiver.url, SECRET) as target:
        sent = target.deliver(EVENT)
        assert (sent.status, sent.taken, sent.answer) == (status, False, "not now")
        with pytest.raises(ServiceError, match=str(status)):
            sent.require()


def test_nobody_there() -> None:
    """Trying again is safe."""
    with Target(f"http://127.0.0.1:{free_port()}/", SECRET) as target:
        sent = target.deliver(EVENT)
    assert sent.status == 0
    with pytest.raises(UnreachableError):
        sent.require()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8787", "ftp://127.0.0.1/", "http://", "http://[::1"])
def test_what_is_no_address(url: str) -> None:
    """Found out before anything is sent."""
    with pytest.raises(UsageError), Target(url, SECRET):
        pass


def test_what_is_no_event() -> None:
    """It does not leave."""
    with receiving() as receiver, Target(receiver.url, SECRET) as target:
        with pytest.raises(BadEvent):
            target.deliver(b"[]")
        assert receiver.arrived == []


@contextmanager
def following(feed: Feed, url: str) -> Iterator[tuple[list[Sent], list[str]]]:
    """What was delivered, and what was said, while the block lasts."""
    stop, sent, said = threading.Event(), list[Sent](), list[str]()

    def run() -> None:
        with Target(url, SECRET) as target:
            sent.extend(follow(feed, target, stop=stop, say=said.append, busy_wait=0.05))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sent, said
    finally:
        stop.set()
        thread.join(30)


def ids(receiver: Receiver) -> list[str]:
    return [event["id"] for event in receiver.events]


def test_events_are_delivered_as_they_happen(tmp_path: Path) -> None:
    """The oldest first, signed, beginning with what was asked for."""
    with listing(tmp_path) as (stripe, asked), receiving() as receiver:
        made = happen(stripe, *range(NOW - 130, NOW - 10))
        with following(Feed(asked, NOW - 1000), receiver.url):
            until(lambda: len(receiver.arrived) == 120)
            made += happen(stripe, NOW - 5, NOW - 4)
            until(lambda: len(receiver.arrived) == 122)
        assert ids(receiver) == made
        assert all(verify(header, body, {"web": SECRET}, time.time()) for body, header in receiver.arrived)


def test_a_target_that_is_down_loses_nothing(tmp_path: Path) -> None:
    """Neither while nobody listens nor while it answers that it cannot; the order stays. It is told of once."""
    port = free_port()
    with listing(tmp_path) as (stripe, asked):
        made = happen(stripe, NOW - 30, NOW - 20, NOW - 10)
        with following(Feed(asked, NOW - 1000), f"http://127.0.0.1:{port}/api/webhooks/stripe") as (sent, said):
            until(lambda: bool(said))
            with receiving(503, 500, port=port) as receiver:
                until(lambda: len(receiver.arrived) == 5)
        assert ids(receiver) == [made[0]] * 3 + made[1:]
        assert [one.event for one in sent] == made
        assert len(said) == 1


def test_a_refused_event_is_passed_by(tmp_path: Path) -> None:
    """A 400 will not become a 200: the next ones are not held up."""
    with listing(tmp_path) as (stripe, asked), receiving(400) as receiver:
        happen(stripe, NOW - 30, NOW - 20)
        with following(Feed(asked, NOW - 1000), receiver.url) as (sent, _):
            until(lambda: len(receiver.arrived) == 2)
        assert [one.status for one in sent] == [400, 200]


def test_a_stripe_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """It says so, and goes on when Stripe answers again."""
    with listing(tmp_path) as (stripe, asked), receiving() as receiver:
        stripe.edit = lambda request, answer: b"<html>"
        with following(Feed(asked, NOW - 1000), receiver.url) as (_, said):
            until(lambda: bool(said))
            stripe.edit = lambda request, answer: answer
            happen(stripe, NOW - 20)
            until(lambda: len(receiver.arrived) == 1)
        assert "trying again" in said[0]


def test_a_target_behind_a_stripe_with_faults(tmp_path: Path) -> None:
    """All of it arrives all the same."""
    faults = Faults(too_many=0.1, server_error=0.1, cut_half=0.1, retry_after=0.05, seed=5)
    with listing(tmp_path, faults) as (stripe, asked), receiving() as receiver:
        made = happen(stripe, *range(NOW - 250, NOW))
        with following(Feed(asked, NOW - 1000), receiver.url):
            until(lambda: len(receiver.arrived) == 250)
        assert ids(receiver) == made
