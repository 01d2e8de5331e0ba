"""A real Redis or Valkey behind the stand-in, spoken to in its own protocol (RESP2, https://redis.io/docs/latest/develop/reference/protocol-spec/).

Upstash's scripts begin with a line that only Upstash takes, `#!lua flags=allow-key-locking`: it is left out, and the SHA-1 of the
script with the line is known as that of the one without.
"""

import asyncio
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any
from urllib.parse import unquote, urlsplit

from aura_cli.errors import UnreachableError, UsageError
from aura_cli.sandbox.upstash.store import RedisError, Store
from aura_cli.settings import is_loopback

REDIS_PORT = 6379
_SHEBANG = re.compile(r"#!lua[^\n]*\n")


@dataclass
class Remote:
    """The database at `redis://[:password@]host[:port][/number]`, over one connection, one request's commands after the other's."""

    url: str
    renamed: dict[str, str] = field(default_factory=dict)  # SHA-1 of a script as it came → as it is there
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, commands: Sequence[Sequence[str]], *, atomic: bool = False) -> list[Any]:
        """What each command answers, a RedisError where it fails; `atomic`: in one transaction.

        Raises RedisError where nobody answers, or the transaction was given up.
        """
        wanted = [self._understood(command) for command in commands]
        async with self._turn:
            try:
                if not atomic:
                    return await self._talk(wanted)
                done = (await self._talk([["MULTI"], *wanted, ["EXEC"]]))[-1]
                if isinstance(done, RedisError):
                    raise done
                return list(done)
            except (OSError, EOFError, ValueError) as error:
                self._streams = None
                raise RedisError(f"ERR the Redis behind the sandbox cannot be reached: {error}") from error

    async def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            with suppress(OSError):
                await self._streams[1].wait_closed()

    async def _talk(self, commands: Sequence[Sequence[str]]) -> list[Any]:
        reader, writer = await self._connected()
        writer.write(b"".join(map(_packed, commands)))
        await writer.drain()
        return [await _answer(reader) for _ in commands]

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[1].is_closing():
            place = urlsplit(self.url)
            self._streams = await asyncio.open_connection(place.hostname or "127.0.0.1", place.port or REDIS_PORT)
            if place.password:
                await self._talk([["AUTH", *([unquote(place.username)] if place.username else []), unquote(place.password)]])
            if number := place.path.strip("/"):
                await self._talk([["SELECT", number]])
        return self._streams

    def _understood(self, command: Sequence[str]) -> list[str]:
        name, *rest = command
        if rest and name.upper() == "EVAL":
            return [name, self._stripped(rest[0]), *rest[1:]]
        if len(rest) == 2 and name.upper() == "SCRIPT" and rest[0].upper() == "LOAD":
            return [name, rest[0], self._stripped(rest[1])]
        if rest and name.upper() == "EVALSHA":
            return [name, self.renamed.get(rest[0].lower(), rest[0]), *rest[1:]]
        return [name, *rest]

    def _stripped(self, script: str) -> str:
        bare = _SHEBANG.sub("", script, count=1) if script.startswith("#!lua") else script
        self.renamed[_digest(script)] = _digest(bare)
        return bare


def database(url: str) -> Store | Remote:
    """The Redis at an address on this machine; a store in memory where none is given. Raises UsageError for what is no such address.

    Raises UnreachableError where nobody listens there.
    """
    if not url:
        return Store()
    place = urlsplit(url)
    try:
        usable = place.scheme in ("redis", "valkey") and is_loopback(place.hostname) and place.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise UsageError("That is no address of a Redis on this machine: the sandbox touches no other", "Example: redis://127.0.0.1:6379/0")
    try:
        socket.create_connection((place.hostname or "", place.port or REDIS_PORT), timeout=2).close()
    except OSError as error:
        raise UnreachableError(f"No Redis listens at {place.hostname}:{place.port or REDIS_PORT}: {error}", "Start it first") from error
    return Remote(url)


def _digest(script: str) -> str:
    return sha1(script.encode()).hexdigest()  # noqa: S324 (Redis' own name of a script)


def _packed(command: Sequence[str]) -> bytes:
    words = [word.encode(errors="surrogatepass") for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


async def _answer(reader: asyncio.StreamReader) -> Any:
    line = (await reader.readuntil(b"\r\n"))[:-2]
    kind, rest = line[:1], line[1:]
    match kind:
        case b"+":
            return rest.decode()
        case b"-":
            return RedisError(rest.decode(errors="replace"))
        case b":":
            return int(rest)
        case b"$":
            return None if rest == b"-1" else (await reader.readexactly(int(rest) + 2))[:-2]
        case b"*":
            return None if rest == b"-1" else [await _answer(reader) for _ in range(int(rest))]
    raise ValueError(f"no Redis answers {line[:40]!r}")
