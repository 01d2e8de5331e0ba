"""What Resend's stand-in tells a webhook endpoint, with the official SDK as the judge of its signatures."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import resend
from aiohttp import web

from aura_cli.sandbox.credentials import RESEND_WEBHOOK_SECRET
from aura_cli.sandbox.resend.events import fate
from tests.parts.loopback import serving
from tests.parts.resend import Post
from tests.parts.waiting import until
from tests.sandbox.sending import send


@dataclass
class Hook:
    """A webhook endpoint that answers with what `script` holds, then 200."""

    url: str = ""
    script: list[int] = field(default_factory=list)
    arrived: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def events(self, count: int) -> list[Any]:
        """The first so many, verified by the SDK, waited for."""
        until = time.monotonic() + 10
        while len(self.arrived) < count and time.monotonic() < until:
            time.sleep(0.01)
        return [verified(headers, body) for headers, body in self.arrived]


def verified(headers: dict[str, str], body: bytes, secret: str = RESEND_WEBHOOK_SECRET) -> Any:
    about: Any = {name: headers[f"svix-{name}"] for name in ("id", "timestamp", "signature")}
    return resend.Webhooks.verify({"payload": body.decode(), "headers": about, "webhook_secret": secret})


@contextmanager
def hook(*script: int) -> Iterator[Hook]:
    found = Hook(script=list(script))

    async def take(request: web.Request) -> web.Response:
        found.arrived.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return web.Response(status=found.script.pop(0) if found.script else 200)

    app = web.Application()
    app.router.add_post("/hook", take)
    with serving(app) as base:
        found.url = f"{base}/hook"
        yield found


@pytest.mark.parametrize(
    ("address", "kinds"),
    [
        ("delivered@resend.dev", ["sent", "delivered"]),
        ("Mina <bounced+one@Resend.dev>", ["sent", "bounced"]),
        ("complained@resend.dev", ["sent", "delivered", "complained"]),
        ("suppressed@resend.dev", ["suppressed"]),
        ("bounced@example.com", ["sent", "delivered"]),
    ],
)
def test_what_becomes_of_a_mail(office: Post, address: str, kinds: list[str]) -> None:
    """Resend's test addresses decide it; each step is told in order, signed so that the SDK believes it."""
    assert list(fate(address)) == kinds
    with hook() as endpoint:
        office.tells(endpoint.url)
        identifier = send(to=[address], tags=[{"name": "template", "value": "welcome"}])
        events = endpoint.events(len(kinds))
    assert [event["type"] for event in events] == [f"email.{kind}" for kind in kinds]
    assert {(event["data"]["email_id"], event["data"]["to"][0], event["data"]["tags"]["template"]) for event in events} == {
        (identifier, address, "welcome")
    }
    assert ("bounce" in events[-1]["data"]) == (kinds[-1] == "bounced")
    assert resend.Emails.get(identifier)["last_event"] == kinds[-1]


def test_another_secret_does_not_verify(office: Post) -> None:
    """The SDK refuses a signature of another secret, and a body that was changed."""
    with hook() as endpoint:
        office.tells(endpoint.url)
        send()
        endpoint.events(1)
    headers, body = endpoint.arrived[0]
    for secret, content in (("whsec_c29tZXRoaW5nIGVsc2U=", body), (RESEND_WEBHOOK_SECRET, body + b" ")):
        with pytest.raises(ValueError, match="signature"):
            verified(headers, content, secret)


def test_what_is_not_taken_comes_again(office: Post) -> None:
    """Under the same svix-id, until it is taken; later events do not wait for it."""
    with hook(500, 503) as endpoint:
        office.tells(endpoint.url)
        send()
        endpoint.events(4)
        until(lambda: [one.status for one in office.state.deliveries].count(200) == 2)  # the receiver has it before the sender knows
    identifiers = [headers["svix-id"] for headers, _ in endpoint.arrived]
    assert len(identifiers) == 4
    assert len(set(identifiers)) == 2


def test_twice_and_in_any_order(office: Post) -> None:
    """Where it was ordered, events come twice, and not as they happened."""
    office.faults.change({"duplicate_events": 1.0, "reorder_events": True})
    office.state.random.seed(1)
    with hook() as endpoint:
        office.tells(endpoint.url)
        send()
        send(to=["complained@resend.dev"])
        endpoint.events(10)
    identifiers = [headers["svix-id"] for headers, _ in endpoint.arrived]
    assert len(identifiers) == 10
    assert all(identifiers.count(each) == 2 for each in identifiers)


def test_events_by_hand(office: Post) -> None:
    """Anything can be told of a mail, late or out of its order; only what an endpoint wants."""
    with hook() as endpoint:
        wanted = {"url": endpoint.url, "events": ["email.delivery_delayed", "email.opened"]}
        assert office.call("POST", "/_sandbox/webhooks", wanted).status_code == 200
        identifier = send()
        for kind in ("delivery_delayed", "opened"):
            assert office.call("POST", "/_sandbox/events", {"id": identifier, "type": kind}).status_code == 200
        assert [event["type"] for event in endpoint.events(2)] == ["email.delivery_delayed", "email.opened"]
    assert office.call("DELETE", "/_sandbox/webhooks").json() == []
