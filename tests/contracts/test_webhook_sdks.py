"""Signatures: what Stripe's own libraries make and accept is what ours accepts and makes, byte for byte."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
import stripe
from sqlalchemy import select

from aura_cli.db.engine import reading
from aura_cli.db.migrate import upgrade
from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from aura_cli.webhooks.events import HANDLED
from aura_cli.webhooks.samples import sample
from aura_cli.webhooks.signature import Refusal, SignatureRefused, sign, verify
from aura_cli.webhooks.tables import webhook_events
from tests.parts.listening import PATH, serving
from tests.parts.loopback import plain_client
from tests.parts.migrated import engine_of
from tests.parts.outside import Outside, node_script
from tests.parts.program import Aura

SECRET, OTHER = "whsec_test_contract", "whsec_test_rolled"
BODIES = {
    "compact": json.dumps({"id": "evt_1", "object": "event", "type": "invoice.paid", "created": 1, "data": {"object": {}}}),
    "as Stripe indents it": json.dumps({"id": "evt_2", "object": "event", "type": "customer.created", "data": {"object": {}}}, indent=2),
    "not ASCII": json.dumps({"id": "evt_3", "object": "event", "data": {"object": {"name": "Žofie 🦉"}}}, ensure_ascii=False),
    "a line feed at the end": '{"id": "evt_4", "object": "event", "data": {"object": {}}}\n',
}

Signer = Callable[[str, str, int], str]


@pytest.fixture(scope="module")
def node_signer() -> Iterator[Outside]:
    """Stripe's SDK for Node, which signs what it is told."""
    with node_script("sign.mjs") as running:
        yield running


@pytest.fixture(params=["python", "node"])
def signer(request: pytest.FixtureRequest) -> Signer:
    """(body, secret, epoch seconds) → header, by each of the two official SDKs."""
    if request.param == "python":
        return stripe.WebhookSignature.generate_signature_header
    node: Outside = request.getfixturevalue("node_signer")

    def signed(body: str, secret: str, moment: int) -> str:
        node.tell({"payload": body, "secret": secret, "timestamp": moment})
        header: str = node.hear()
        return header

    return signed


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_we_sign_as_they_do(signer: Signer, body: str) -> None:
    """The three headers are the same text, and ours accepts theirs."""
    now = int(time.time())
    header = signer(body, SECRET, now)
    assert sign(SECRET, body.encode(), now) == header
    assert verify(header, body.encode(), {"old": OTHER, "web": SECRET}, now) == "web"


def test_what_they_signed_cannot_be_altered(signer: Signer) -> None:
    """Another byte, another secret, another moment: refused, and each for its reason."""
    now, body = int(time.time()), BODIES["compact"]
    header = signer(body, SECRET, now)
    tampered = header.replace(f"t={now}", f"t={now + 1}")
    for reason, one, content, secret, clock in (
        (Refusal.NO_MATCH, header, body.replace("evt_1", "evt_2"), SECRET, now),
        (Refusal.NO_MATCH, header, f"{body} ", SECRET, now),
        (Refusal.NO_MATCH, header, body, OTHER, now),
        (Refusal.NO_MATCH, tampered, body, SECRET, now),
        (Refusal.TOO_OLD, header, body, SECRET, now + 301),
        (Refusal.IN_THE_FUTURE, header, body, SECRET, now - 301),
    ):
        with pytest.raises(SignatureRefused) as refused:
            verify(one, content.encode(), {"web": secret}, clock)
        assert refused.value.reason is reason


def test_a_rolled_secret_has_two_signatures(signer: Signer) -> None:
    """While Stripe signs with the old and the new secret, either is enough, here and there."""
    now, body = int(time.time()), BODIES["compact"]
    both = f"{signer(body, OTHER, now)},{signer(body, SECRET, now).partition(',')[2]}"
    for secret in (SECRET, OTHER):
        assert verify(both, body.encode(), {"web": secret}, now) == "web"
        assert stripe.WebhookSignature.verify_header(body, both, secret, 300)


def test_the_listener_takes_what_they_signed(signer: Signer, aura: Aura, sqlite_database: str) -> None:
    """Every handled event gets its 200 and is stored; with a byte changed, or under another secret, it gets 400 and is not."""
    now = int(time.time())
    bodies = [sample(kind, now, seed=number).decode() for number, kind in enumerate(HANDLED)]
    with engine_of(sqlite_database) as engine:
        upgrade(engine)
        with serving(aura, sqlite_database) as listener:
            address = f"http://127.0.0.1:{listener.port}{PATH}"
            with plain_client() as http:
                for body in bodies:
                    header = signer(body, STRIPE_WEBHOOK_SECRET, now)
                    for content, signature, status in (
                        (body, header, 200),
                        (body.replace('"livemode":false', '"livemode":true '), header, 400),
                        (body, signer(body, OTHER, now), 400),
                    ):
                        response = http.post(address, content=content.encode(), headers={"Stripe-Signature": signature})
                        assert response.status_code == status
            assert listener.metric('rejected_total{reason="signature_no_match"}') == 2 * len(bodies)
        with reading(engine) as connection:
            stored = set(connection.execute(select(webhook_events.c.id)).scalars())
    assert stored == {json.loads(body)["id"] for body in bodies}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_python_accepts_ours(body: str) -> None:
    """The SDK for Python makes an event of what we signed, and refuses it with a byte changed."""
    header = sign(SECRET, body.encode(), int(time.time()))
    assert stripe.Webhook.construct_event(body.encode(), header, SECRET).id == json.loads(body)["id"]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(f" {body}".encode(), header, SECRET)


def test_node_accepts_ours() -> None:
    """The SDK for Node verifies what we signed as it arrives over HTTP, and refuses it with a byte changed."""
    with node_script("verify.mjs", secret=SECRET) as server, plain_client(base_url=server.base) as http:
        for body in BODIES.values():
            header = sign(SECRET, body.encode(), int(time.time()))
            assert http.post("/", content=body.encode(), headers={"Stripe-Signature": header}).status_code == 200
            assert server.hear()["verified"] == json.loads(body)["id"]
            assert http.post("/", content=f" {body}".encode(), headers={"Stripe-Signature": header}).status_code == 400
            assert server.hear()["refused"] == "StripeSignatureVerificationError"
