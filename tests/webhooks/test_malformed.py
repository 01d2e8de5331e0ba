"""Everything that can be wrong with a delivery: the status that it gets, and a listener that is as well as before."""

import json
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from aura_cli.db.engine import reading
from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from aura_cli.webhooks.signature import sign
from aura_cli.webhooks.tables import webhook_events
from tests.parts.listening import OLD_SECRET, PATH, Served, answer, event, request
from tests.parts.service import program

MEGABYTE = 1024 * 1024
WRONG = "0" * 64


def now() -> int:
    return int(time.time())


def signed(body: bytes, shift: int = 0, secret: str = STRIPE_WEBHOOK_SECRET) -> str:
    """A right signature of `shift` seconds from now."""
    return sign(secret, body, now() + shift)


def v1(header: str) -> str:
    return header.split("v1=")[1]


def count(engine: Engine) -> int:
    """How many events are stored."""
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(webhook_events)).scalar_one()


def test_signatures(listener: Served, engine: Engine) -> None:
    """Wrong, missing, empty, doubled, old and future ones are 400 and counted by reason; several `v1` and several secrets are fine."""
    body = event()
    good = signed(body)
    cases = {
        "missing": (request(body, ""), 400),
        "empty": (request(body, "", head="Stripe-Signature:\r\n"), 400),
        "nonsense": (request(body, "é,=,;"), 400),
        "wrong": (request(body, f"t={now()},v1={WRONG}"), 400),
        "of another secret": (request(body, secret="whsec_test_other"), 400),
        "another scheme": (request(body, good.replace("v1=", "v0=")), 400),
        "doubled header": (request(body, good, head=f"Stripe-Signature: {good}\r\n"), 400),
        "ancient": (request(body, signed(body, -301)), 400),
        "future": (request(body, signed(body, 310)), 400),
        "body changed": (request(body.replace(b"prod_1", b"prod_2"), good), 400),
        "old but in time": (request(event("evt_a"), signed(event("evt_a"), -290)), 400),  # two bodies: the time in them differs
        "several v1, wrong first": (request(body, f"t={now()},v1={WRONG},v1={v1(signed(body))}"), 200),
        "second secret": (request(body, secret=OLD_SECRET), 200),
    }
    one = event("evt_a")
    cases["old but in time"] = (request(one, signed(one, -290)), 200)
    assert {name: listener.send(data).status for name, (data, _) in cases.items()} == {name: status for name, (_, status) in cases.items()}
    reasons = {"missing": 2, "malformed": 3, "no_match": 3, "too_old": 1, "in_the_future": 1}
    assert {reason: listener.metric(f'rejected_total{{reason="signature_{reason}"}}') for reason in reasons} == reasons
    assert count(engine) == 2
    assert listener.alive()


def test_bodies(listener: Served, engine: Engine) -> None:
    """What is signed and no event of this mode is 400; thin events, old and new versions and unknown types are taken."""
    thin = {"id": "evt_test_65", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered", "livemode": False}
    thin |= {
        "created": "2026-11-22T10:00:00.000Z",
        "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"},
    }
    cases = {
        b"": 400,
        b"{": 400,
        b"null": 400,
        b"[]": 400,
        b"[%s]" % event(): 400,
        b'"text"': 400,
        b"\xff\xfe{}": 400,
        event().replace("Ünïcode".encode(), b"\xff").replace(b"\\u00dcn\\u00efcode", b"\xff"): 400,
        b"{}": 400,
        b'{"id": 1, "type": "x", "object": "event"}': 400,
        event(object="customer"): 400,
        event(data=None): 400,
        event(created="yesterday"): 400,
        event(id="evt_\x00"): 400,
        event(type="\ud800"): 400,
        event(livemode=True): 400,
        b"[" * 100_000: 400,
        event(api_version="2014-01-31"): 200,
        event(api_version=None): 200,
        event(type="a.type.nobody.handles"): 200,
        json.dumps(thin).encode(): 200,
        event(data={"object": {"id": "x", "note": "\x00 \ud83d\ude00"}}): 200,
    }
    assert {body[:200]: listener.deliver(body) for body in cases} == {body[:200]: status for body, status in cases.items()}
    assert count(engine) == 5
    assert (listener.metric("thin_total"), listener.metric('rejected_total{reason="mode"}')) == (1, 1)
    assert listener.alive()


def test_http(listener: Served) -> None:
    """Other methods are 405, other paths 404, what is no HTTP 400; no answer tells what it is made of."""
    body = event()
    cases = {
        "GET": (request(b"", "", method="GET"), 405),
        "PUT": (request(body, method="PUT"), 405),
        "another path": (request(body, path="/"), 404),
        "below the path": (request(body, path=f"{PATH}/x"), 404),
        "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        "no length": (f"POST {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 400),
        "two lengths": (request(body, head="Content-Length: 5\r\n"), 400),
        "length and chunks": (request(body, head="Transfer-Encoding: chunked\r\n"), 400),
        "a head of one long line": (request(body, head=f"X-Long: {'x' * 20_000}\r\n"), 400),
        "a head of many lines": (request(body, head="".join(f"X-{n}: x\r\n" for n in range(200))), 400),
        "a long path": (request(body, path="/" + "x" * 20_000), 400),
        "chunks that are none": (f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode(), 400),
        "health": (request(b"", "", method="GET", path="/healthz"), 200),
    }
    answers = {name: listener.send(data) for name, (data, _) in cases.items()}
    assert {name: found.status for name, found in answers.items()} == {name: status for name, (_, status) in cases.items()}
    assert answers["GET"].headers["allow"] == "POST"
    assert answers["health"].body == b"alive\n"
    assert not [name for name, found in answers.items() if found.headers.get("server")]
    assert listener.alive()


def test_chunked(listener: Served) -> None:
    """A body in chunks, however small, is one body."""
    body = event()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:1], body[1:7], body[7:])) + b"0\r\n\r\n"
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nStripe-Signature: {signed(body)}\r\n\r\n".encode()
    with listener.connect() as connection:
        for piece in (head, chunks[:3], chunks[3:20], chunks[20:]):
            connection.sendall(piece)
            time.sleep(0.05)
        assert answer(connection).status == 200


def resident(process: int) -> int:
    """The memory that a process has, in bytes: proc(5)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def send_all(connection: socket.socket, data: bytes) -> None:
    """Send, for as long as the other side listens."""
    with suppress(ConnectionError):
        connection.sendall(data)


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_20_megabytes(listener: Served, announced: bool) -> None:
    """413 whether its length is announced or it comes in chunks; it is not kept in memory."""
    assert listener.alive()
    before = resident(listener.process.pid)
    length = "Content-Length: 20971520" if announced else "Transfer-Encoding: chunked"
    chunk = b"x" * MEGABYTE if announced else b"100000\r\n" + b"x" * MEGABYTE + b"\r\n"
    for _ in range(3):
        with listener.connect() as connection:
            connection.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
            for _ in range(20):
                send_all(connection, chunk)
            assert answer(connection).status in (413, 0)
    with listener.connect() as connection:  # a sender that listens hears it
        connection.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode() + (chunk + chunk if not announced else b""))
        assert answer(connection).status == 413
    assert listener.metric('rejected_total{reason="too_large"}') == 4
    assert resident(listener.process.pid) - before < 12 * MEGABYTE
    assert listener.alive()


def test_curl_is_told_before_it_sends_too_much(listener: Served, tmp_path: Path) -> None:
    """A sender that asks first (Expect: 100-continue) gets its 413 instead of the go-ahead; one that may go on gets it."""
    curl = program("curl", "curl")
    (tmp_path / "large").write_bytes(b"x" * 20 * MEGABYTE)
    body = event(padding="x" * 300_000)
    (tmp_path / "good").write_bytes(body)
    told = {}
    for name in ("large", "good"):
        command = [
            curl,
            "-sS",
            "-o",
            "-",
            "-w",
            "%{http_code} %{size_upload}",
            "-H",
            "Expect: 100-continue",
            "-H",
            "Content-Type: text/json",
        ]
        command += [
            "-H",
            f"Stripe-Signature: {signed(body)}",
            "--data-binary",
            f"@{tmp_path / name}",
            f"http://127.0.0.1:{listener.port}{PATH}",
        ]
        told[name] = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.split()[-2:]
    assert told["good"] == ["200", str(len(body))]
    assert told["large"][0] == "413"
    assert int(told["large"][1]) < MEGABYTE
    assert listener.alive()
