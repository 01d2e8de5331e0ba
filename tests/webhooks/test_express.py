"""The short way of ordinary deliveries: what goes it, and that everything else comes to the same as it would without."""

import time

import pytest

from aura_cli.webhooks.express import Head, ordinary
from tests.parts.listening import PATH, Served, answer, event, request

GOOD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n".encode()
PIECES = (1, 40, 400)  # bytes of a delivery, before the rest of it


def test_an_ordinary_head() -> None:
    """It is read into its fields, with the place of its body; spaces round a value are none of it."""
    data = GOOD + b"Stripe-Signature:  t=1,v1=ab \r\nConnection: Keep-Alive\r\n\r\n{}"
    fields = {"host": "x", "content-length": "2", "stripe-signature": "t=1,v1=ab", "connection": "Keep-Alive"}
    assert ordinary(data, PATH) == Head(len(data) - 2, len(data), fields)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD,
        GOOD.replace(b"POST", b"PUT") + b"\r\n",
        GOOD.replace(b" HTTP", b"?a=b HTTP") + b"\r\n",
        GOOD.replace(b"/1.1", b"/1.0") + b"\r\n",
        GOOD.replace(b"2", b"+2") + b"\r\n",
        GOOD.replace(b"2", "²".encode("latin-1")) + b"\r\n",
        GOOD.replace(b"2", b"") + b"\r\n",
        GOOD.replace(b"\r\nContent-Length: 2", b"") + b"\r\n",
        GOOD + b"Content-Length: 2\r\n\r\n",
        GOOD + b"content-length: 3\r\n\r\n",
        GOOD + b"Transfer-Encoding: chunked\r\n\r\n",
        GOOD + b"Transfer-Encoding : chunked\r\n\r\n",
        GOOD + b"Transfer_Encoding: chunked\r\n\r\n",
        GOOD + b"Content-Encoding: gzip\r\n\r\n",
        GOOD + b"Expect: 100-continue\r\n\r\n",
        GOOD + b"Connection: close\r\n\r\n",
        GOOD + b"Upgrade: websocket\r\n\r\n",
        GOOD + b" folded: x\r\n\r\n",
        GOOD + b"no colon\r\n\r\n",
        GOOD + b": no name\r\n\r\n",
        GOOD + b"X: a\nTransfer-Encoding: chunked\r\n\r\n",
        GOOD + b"X: a\rb\r\n\r\n",
        GOOD + b"X: a\0b\r\n\r\n",
        GOOD + b"X: \xe9\r\n\r\n",
        GOOD + b"X: " + b"x" * 5_000 + b"\r\n\r\n",
        GOOD + b"".join(b"X%d: x\r\n" % number for number in range(70)) + b"\r\n",
    ],
)
def test_an_unusual_head(data: bytes) -> None:
    """Whatever is not complete, not plain, or could be read in two ways is not taken here."""
    assert ordinary(data, PATH) is None


@pytest.mark.parametrize("first", PIECES)
@pytest.mark.parametrize("pause", [0.02, 0.3])  # seconds: shorter and longer than the rest is waited for
def test_in_pieces(listener: Served, first: int, pause: float) -> None:
    """A delivery that comes in two pieces is one."""
    whole = request(event())
    with listener.connect() as connection:
        connection.sendall(whole[:first])
        time.sleep(pause)
        connection.sendall(whole[first:])
        assert answer(connection).status == 200


def test_one_connection_for_all_kinds(listener: Served) -> None:
    """Deliveries one after the other, a refused one among them, are each answered on the connection that they came by."""
    with listener.connect() as connection:
        for data, status in (
            (request(event()), 200),
            (request(event()), 200),
            (request(event(), "t=1,v1=0"), 400),
            (request(event()), 200),
        ):
            connection.sendall(data)
            assert answer(connection).status == status
    assert listener.metric("received_total") == 4
    assert listener.metric("stored_total") == 3


def test_the_next_before_the_answer(listener: Served) -> None:
    """Deliveries that do not wait for each other's answers are all stored."""
    with listener.connect() as connection:
        connection.sendall(request(event()))
        connection.sendall(b"".join(request(event()) for _ in range(20)))
        until = time.monotonic() + 10
        while listener.metric("stored_total") < 21 and time.monotonic() < until:
            time.sleep(0.02)
    assert listener.metric("stored_total") == 21


def test_it_says_the_time(listener: Served) -> None:
    """Its answers have a Date (RFC 9110, 6.6.1), and no word of what they are made of."""
    with listener.connect() as connection:
        connection.sendall(request(event()))
        found = answer(connection)
    assert found.status == 200
    assert found.headers["date"].endswith("GMT")
    assert "server" not in found.headers
