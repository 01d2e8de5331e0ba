"""The public port's short way: an ordinary delivery is taken without a framework's request around it, which costs more than the rest.

A connection begins here. As long as it brings nothing but complete, plain POSTs to the webhook's path (RFC 9112 in its simplest form)
whose events are stored, it stays here. With the first byte of anything else it goes over to aiohttp for good, with all that it has not
had an answer to: every refusal, every odd form of HTTP and every bound on what is slow or large is aiohttp's and `Listener.receive`'s.
"""

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from aura_cli.webhooks.intake import NotStored
from aura_cli.webhooks.listener import RETRY_AFTER, SIGNATURE, Listener, refusal, sender

_END = b"\r\n\r\n"
_LONGEST_HEAD, _MOST_FIELDS = 4_096, 64  # bytes, and lines: no more than aiohttp takes
_LARGEST = 32 * 1024  # bytes of a delivery that is waited for here
_WAIT = 0.1  # seconds for the rest of it
_ODD = frozenset(("transfer-encoding", "content-encoding", "expect", "upgrade", "trailer"))  # they say how the rest is to be read
_LENGTH, _SIGNATURE, _CONNECTION = "content-length", SIGNATURE.lower(), "connection"


_BUFFER = memoryview(bytearray(256 * 1024))  # of all connections: what is read into it is taken out at once


class Head(NamedTuple):
    """An ordinary delivery's head: where its body begins and ends, and its fields by their names in lower case."""

    begin: int
    end: int
    fields: dict[str, str]


def ordinary(data: bytes, path: str) -> Head | None:
    """The head that `data` begins with; None where it is not complete, or in any way unusual."""
    begin = data.find(_END, 0, _LONGEST_HEAD) + len(_END)
    text = data[: begin - len(_END)].decode("latin-1")
    first, *lines = text.split("\r\n")
    if begin < len(_END) or first != f"POST {path} HTTP/1.1" or len(lines) > _MOST_FIELDS:
        return None
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name:
            return None
        fields[name.lower()] = value.strip(" \t")
    names = "".join(fields).replace("-", "")
    if len(fields) < len(lines) or not _ODD.isdisjoint(fields) or not names.isalnum():
        return None
    if not text.isascii() or not text.replace("\r\n", "").isprintable() or fields.get(_CONNECTION, "keep-alive").lower() != "keep-alive":
        return None
    length = fields.get(_LENGTH, "")
    return Head(begin, begin + int(length), fields) if length.isdigit() and len(length) < len("1000000000") else None


class Express(asyncio.BufferedProtocol):
    """One connection. `all_` are those that are here; `successor` makes who takes this one over; `seconds`: the most that it may idle."""

    def __init__(self, listener: Listener, all_: "set[Express]", successor: Callable[[], asyncio.Protocol], seconds: float) -> None:
        self._listener = listener
        self._all = all_
        self._successor = successor
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._rest = b""  # what has come and was not dealt with
        self._storing: Head | None = None
        self._begun = 0.0
        self._waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._all.add(self)
        self._idle_until = self._loop.time() + self._seconds
        self._idling = self._loop.call_at(self._idle_until, self._idle)

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()
        if self._rest and not self._storing:
            self._listener.broken(self._address(None))

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(_BUFFER[:nbytes])
        if self._rest:
            data = self._rest + data
        if self._storing:  # the next one, before this one has its answer
            self._rest = data
            self._transport.pause_reading()
            return
        head = ordinary(data, self._listener.path)
        if head is None or head.end < len(data) or (head.end > len(data) and head.end > _LARGEST):
            self._hand_over(data)
        elif head.end > len(data):
            self._rest = data
            if self._waiting is None:
                self._waiting = self._loop.call_later(_WAIT, self._give_up)
        else:
            self._take(head, data)

    def _take(self, head: Head, data: bytes) -> None:
        self._rest = b""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        try:
            arrival = self._listener.read(data[head.begin :], head.fields.get(_SIGNATURE, ""))
            self._listener.intake.hand(arrival, self._answer)
        except Exception:  # noqa: BLE001 (whatever is wrong with it is found again, and answered, over there)
            self._hand_over(data)
            return
        self._storing, self._begun = head, self._listener.begin()

    def _answer(self, how: bool | NotStored) -> None:
        """Its commit is done, or it is not stored."""
        head, self._storing = self._storing, None
        listener, status, text = self._listener, HTTPStatus.OK, ""
        listener.end(self._begun)
        if isinstance(how, NotStored):
            refused = refusal(how)
            status, text = refused.status, listener.refuse(refused, self._address(head))
        if self._transport.is_closing():
            return
        self._transport.write(_said(status, text, bool(listener.leaves_by), int(time.time())))
        self._idle_until = self._loop.time() + self._seconds
        if listener.leaves_by:
            self._transport.close()
        elif self._rest:
            self._transport.resume_reading()
            self._hand_over(self._rest)

    def _give_up(self) -> None:
        """The rest does not come."""
        self._waiting = None
        self._hand_over(self._rest)

    def _hand_over(self, data: bytes) -> None:
        self._leave()
        successor = self._successor()
        self._transport.set_protocol(successor)
        successor.connection_made(self._transport)
        successor.data_received(data)

    def _leave(self) -> None:
        self._all.discard(self)
        self._idling.cancel()
        if self._waiting is not None:
            self._waiting.cancel()

    def _idle(self) -> None:
        """Look whether nothing has come for too long."""
        now = self._loop.time()
        if now >= self._idle_until and not self._storing:
            self._transport.close()
            return
        self._idling = self._loop.call_at(max(self._idle_until, now + 1.0), self._idle)

    def close(self) -> None:
        """End the connection, after its answer if one is on its way."""
        if not self._storing:
            self._transport.close()

    def _address(self, head: Head | None) -> str:
        peer = self._transport.get_extra_info("peername")
        forwarded = head.fields.get("x-forwarded-for", "") if head else ""
        return sender([forwarded] if forwarded else [], peer[0] if peer else None, self._listener.trusted_proxies)


@lru_cache(maxsize=8)
def _said(status: HTTPStatus, text: str, closes: bool, second: int) -> bytes:
    """An answer, as it is for so long as its Date is the same."""
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"Date: {formatdate(second, usegmt=True)}", f"Content-Length: {len(text)}"]
    if text:
        lines += ["Content-Type: text/plain; charset=utf-8", f"Retry-After: {RETRY_AFTER}"]
    return "\r\n".join([*lines, *(["Connection: close"] if closes else ()), "", text]).encode()
