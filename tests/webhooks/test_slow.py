"""Senders that take their time, or take all there is: each has a bound, and others are served meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from sqlalchemy import Engine

from aura_cli.sandbox.credentials import STRIPE_WEBHOOK_SECRET
from aura_cli.webhooks.listener import LISTENER, Limits, make_app
from aura_cli.webhooks.serving import Serving, listening
from tests.parts.listening import PATH, event, request

HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode()
SOON = 0.6  # seconds


async def send(port: int, data: bytes, *, until: float = 10) -> bytes:
    """Say this and nothing more, and hear what comes until the connection is closed, or an answer is there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(until):
            return await reader.read(65536)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def with_listener(engine: Engine, serving: Serving, limits: Limits, test: Callable[[int, dict[str, int]], Awaitable[None]]) -> None:
    """Run `test` with a listener's port and its counts of refusals."""

    async def run() -> None:
        app = make_app(engine, {"web": STRIPE_WEBHOOK_SECRET}, path=PATH, limits=limits)
        async with listening(app, serving) as ports:
            await test(ports.port, app[LISTENER].metrics.rejected)
            assert (await send(ports.port, request(event()))).startswith(b"HTTP/1.1 200")

    asyncio.run(run())


def test_bodies_that_stop(engine: Engine) -> None:
    """A body that does not come to its end, in one length or in chunks, gets 408 after its time, and a chunk that is none gets 400."""

    async def test(port: int, rejected: dict[str, int]) -> None:
        begun = time.monotonic()
        answers = await asyncio.gather(
            send(port, HEAD + b"Content-Length: 1000\r\n\r\nxxx"),
            send(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"),
            send(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"),
            send(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
        )
        assert [found[:12] for found in answers] == [b"HTTP/1.1 408"] * 4
        assert SOON <= time.monotonic() - begun < 5
        assert rejected["slow"] == 4
        assert b" 400 " in (await send(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n"))[:13]

    with_listener(engine, Serving(port=0, admin_port=0), Limits(body_seconds=SOON), test)


def test_a_body_that_trickles(engine: Engine) -> None:
    """A byte now and then does not buy more time (slow loris): the time is for the whole body."""

    async def test(port: int, rejected: dict[str, int]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Content-Length: 1000\r\n\r\n")
        begun = time.monotonic()
        while not rejected["slow"]:
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert SOON <= time.monotonic() - begun < 5
        assert (await reader.read(100)).startswith(b"HTTP/1.1 408")
        writer.close()

    with_listener(engine, Serving(port=0, admin_port=0), Limits(body_seconds=SOON), test)


def test_heads_that_trickle(engine: Engine) -> None:
    """A head that is not there in time ends its connection, on a new one and after an answer, however steadily it comes."""

    async def test(port: int, rejected: dict[str, int]) -> None:
        for first in (b"", request(event())):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            if first:
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            begun = time.monotonic()
            writer.write(HEAD)
            while not reader.at_eof() and time.monotonic() - begun < 10:
                writer.write(b"X-A: b\r\n")
                try:
                    async with asyncio.timeout(0.05):
                        assert await reader.read(100) == b""
                except TimeoutError:
                    pass
                except ConnectionError:
                    break
            assert SOON * 0.9 <= time.monotonic() - begun < 5
            writer.close()

    with_listener(engine, Serving(port=0, admin_port=0, head_seconds=SOON), Limits(), test)


def test_a_sender_that_goes_away(engine: Engine) -> None:
    """A connection cut in the middle of a head, of a body, or before the answer, harms nobody else."""

    async def test(port: int, rejected: dict[str, int]) -> None:
        for data in (b"POST", HEAD + b"Content-Length: 1000\r\n\r\nxxx", request(event())):
            for abort in (True, False):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(data)
                await asyncio.sleep(0.02)
                writer.transport.abort() if abort else writer.close()
        await asyncio.sleep(0.2)
        assert rejected == {"broken": 2}

    with_listener(engine, Serving(port=0, admin_port=0), Limits(), test)


def test_connections_are_bounded(engine: Engine) -> None:
    """One too many is told so at once; when the others have gone there is room again."""

    async def test(port: int, rejected: dict[str, int]) -> None:
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        await asyncio.sleep(0.1)
        refused = await send(port, b"")
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"Retry-After" in refused
        for _, writer in kept:
            writer.close()
        await asyncio.sleep(0.1)

    with_listener(engine, Serving(port=0, admin_port=0, connections=5), Limits(), test)


def test_all_bodies_on_their_way_are_bounded(engine: Engine) -> None:
    """Many large bodies that do not end share one bound: beyond it, 503."""

    async def test(port: int, rejected: dict[str, int]) -> None:
        half = HEAD + b"Content-Length: 900000\r\n\r\n" + b"x" * 450_000
        answers = await asyncio.gather(*(send(port, half) for _ in range(8)))
        assert {found[:12] for found in answers} == {b"HTTP/1.1 503", b"HTTP/1.1 408"}
        assert rejected["busy"] >= 3

    with_listener(engine, Serving(port=0, admin_port=0), Limits(bodies=2_000_000, body_seconds=1.5), test)
