"""A small Redis in memory: strings, hashes and sorted sets, with times to live, and the scripts of Upstash's rate limiters.

What is answered, errors included, is what Redis answers (https://redis.io/docs/latest/commands/); what is missing is an unknown command.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, NoReturn, TypeVar

from aura_cli.sandbox.upstash.scripts import NATIVE, Script

LARGEST = 2**63 - 1
T = TypeVar("T")


class RedisError(Exception):
    """An error as Redis answers it, such as `WRONGTYPE Operation against …`."""


@dataclass
class Value:
    """What a key holds: text, a hash (name → text) or a sorted set (member → score); `until` (epoch milliseconds) if it ends."""

    content: str | dict[str, str] | dict[str, float]
    until: int | None = None


@dataclass
class Store:
    """The database; `clock` gives epoch seconds. One command after the other, never two at once."""

    clock: Callable[[], float] = time.time
    values: dict[str, Value] = field(default_factory=dict)
    loaded: dict[str, Script] = field(default_factory=dict)  # scripts by their SHA-1

    async def run(self, commands: Sequence[Sequence[str]], *, atomic: bool = False) -> list[Any]:
        """What each command answers; its RedisError where it fails. They are `atomic` in any case."""
        del atomic
        return [self._answer(command) for command in commands]

    async def close(self) -> None:
        """There is nothing to close."""

    def call(self, *command: str) -> Any:
        """What one command answers: a number, text, None, a list of these. Raises RedisError."""
        name, *arguments = command
        known = COMMANDS.get(name.lower())
        if known is None:
            raise RedisError(f"ERR unknown command '{name}', with args beginning with: {' '.join(map(repr, arguments[:3]))}".rstrip())
        least, most, run = known
        if not least <= len(arguments) <= (most if most is not None else len(arguments)):
            raise RedisError(f"ERR wrong number of arguments for '{name.lower()}' command")
        return run(self, *arguments)

    def _answer(self, command: Sequence[str]) -> Any:
        try:
            return self.call(*command)
        except RedisError as error:
            return error

    def now(self) -> int:
        return int(self.clock() * 1000)

    def find(self, key: str) -> Value | None:
        found = self.values.get(key)
        if found and found.until is not None and found.until <= self.now():
            del self.values[key]
            return None
        return found

    def text(self, key: str) -> str | None:
        content = self._content(key, str)
        return content if content is None else str(content)

    def mapping(self, key: str, kind: str) -> dict[str, Any]:
        """The hash or sorted set of a key, empty where there is none."""
        if _type(self.find(key)) not in (kind, "none"):
            _wrong_type()
        return self._content(key, dict) or {}

    def put(self, key: str, content: Any) -> None:
        """Keep a key's content, and when it ends."""
        old = self.find(key)
        self.values[key] = Value(content, old.until if old else None)

    def _content(self, key: str, kind: type[T]) -> T | None:
        found = self.find(key)
        if found is not None and not isinstance(found.content, kind):
            _wrong_type()
        return found.content if found is not None else None  # type: ignore[return-value]


def _wrong_type() -> NoReturn:
    raise RedisError("WRONGTYPE Operation against a key holding the wrong kind of value")


def _type(value: Value | None) -> str:
    if value is None:
        return "none"
    if isinstance(value.content, str):
        return "string"
    return "zset" if all(isinstance(one, float) for one in value.content.values()) else "hash"


def _number(text: str, what: str = "value is not an integer or out of range") -> int:
    if not re.fullmatch(r"-?\d{1,19}", text, re.ASCII) or abs(int(text)) > LARGEST:
        raise RedisError(f"ERR {what}")
    return int(text)


def _set(store: Store, key: str, text: str, *options: str) -> str | None:
    rest, until, words = iter(options), None, set[str]()
    for word in rest:
        if word.upper() in ("EX", "PX"):
            until = store.now() + _number(next(rest, "")) * (1000 if word.upper() == "EX" else 1)
        elif word.upper() in ("NX", "XX", "KEEPTTL"):
            words.add(word.upper())
        else:
            raise RedisError("ERR syntax error")
    old = store.find(key)
    if ("NX" in words and old) or ("XX" in words and not old):
        return None
    store.values[key] = Value(text, old.until if old and "KEEPTTL" in words else until)
    return "OK"


def _increase(store: Store, key: str, by: str = "1") -> int:
    total = _number(store.text(key) or "0") + _number(by)
    if abs(total) > LARGEST:
        raise RedisError("ERR increment or decrement would overflow")
    store.put(key, str(total))
    return total


def _expire(store: Store, key: str, milliseconds: int) -> int:
    found = store.find(key)
    if found is None:
        return 0
    found.until = store.now() + milliseconds
    return 1


def _time_left(store: Store, key: str) -> int:
    """In milliseconds; -2: no such key, -1: it does not end."""
    found = store.find(key)
    if found is None:
        return -2
    return -1 if found.until is None else found.until - store.now()


def _delete(store: Store, *keys: str) -> int:
    return sum(store.find(key) is not None and store.values.pop(key, None) is not None for key in keys)


def _many(store: Store, *keys: str) -> list[str | None]:
    found = (store.find(key) for key in keys)
    return [value.content if value and isinstance(value.content, str) else None for value in found]


def _matching(store: Store, pattern: str) -> list[str]:
    wanted = glob(pattern)
    return [key for key in list(store.values) if store.find(key) and wanted.fullmatch(key)]


def _scan(store: Store, cursor: str, *options: str) -> list[Any]:
    """All at once: COUNT is a hint, and who asks goes on until the cursor is 0."""
    _number(cursor, "invalid cursor")
    chosen = {name.upper(): value for name, value in _pairs(options)}
    found = _matching(store, chosen.get("MATCH", "*"))
    return ["0", [key for key in found if chosen.get("TYPE", _type(store.find(key))) == _type(store.find(key))]]


def _hash_set(store: Store, key: str, *pairs: str) -> int:
    if len(pairs) % 2:
        raise RedisError("ERR wrong number of arguments for 'hset' command")
    content = store.mapping(key, "hash")
    new = len({name for name, _ in _pairs(pairs)} - content.keys())
    store.put(key, content | dict(_pairs(pairs)))
    return new


def _add_score(store: Store, key: str, by: str, member: str) -> str:
    content = store.mapping(key, "zset")
    try:
        content[member] = content.get(member, 0.0) + float(by)
    except ValueError:
        raise RedisError("ERR value is not a valid float") from None
    store.put(key, content)
    return f"{content[member]:.17g}"


def _range(store: Store, key: str, start: str, stop: str, *options: str) -> list[str]:
    ordered = sorted(store.mapping(key, "zset").items(), key=lambda pair: (pair[1], pair[0]))
    first, last = _number(start), _number(stop)
    chosen = ordered[first if first >= 0 else max(0, len(ordered) + first) : (last + 1 if last >= 0 else len(ordered) + last + 1)]
    scored = [option.upper() for option in options] == ["WITHSCORES"]
    return [text for member, score in chosen for text in ((member, f"{score:.17g}") if scored else (member,))]


def _flush(store: Store, *_: str) -> str:
    store.values.clear()
    return "OK"


def _script(store: Store, verb: str, *arguments: str) -> Any:
    match verb.upper(), arguments:
        case "LOAD", (text,):
            return _load(store, text)
        case "EXISTS", _:
            return [int(digest.lower() in store.loaded) for digest in arguments]
        case "FLUSH", _:
            store.loaded.clear()
            return "OK"
    raise RedisError(f"ERR unknown subcommand '{verb}'. Try SCRIPT HELP.")


def _load(store: Store, text: str) -> str:
    digest = sha1(text.encode()).hexdigest()  # noqa: S324 (Redis' own name of a script)
    if digest not in NATIVE:
        raise RedisError(f"ERR the sandbox's own store does not know script {digest}: give the sandbox a Redis or Valkey to run it")
    store.loaded[digest] = NATIVE[digest]
    return digest


def _run(store: Store, digest: str, count: str, *rest: str) -> Any:
    if digest.lower() not in store.loaded:
        raise RedisError("NOSCRIPT No matching script.")
    keys = _number(count)
    if not 0 <= keys <= len(rest):
        raise RedisError("ERR Number of keys can't be greater than number of args")
    return store.loaded[digest.lower()](store.call, rest[:keys], rest[keys:])


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """Names and values that follow each other. Raises RedisError for one without the other."""
    if len(words) % 2:
        raise RedisError("ERR syntax error")
    return list(zip(words[::2], words[1::2], strict=True))


def glob(pattern: str) -> re.Pattern[str]:
    """A pattern of Redis' (`*`, `?`, `[a-z]`, `[^a]`, `\\` before what is meant literally) as a regular expression."""
    parts = re.findall(r"\\.|\[\^?(?:\\.|[^\]\\])*\]|.", pattern, re.DOTALL)
    return re.compile("".join(map(_regex, parts)), re.DOTALL)


def _regex(part: str) -> str:
    if part in ("*", "?"):
        return {"*": ".*", "?": "."}[part]
    if len(part) > 1 and part[0] == "[":
        inside = re.sub(r"([\[&~|])", r"\\\1", part[1:-1])
        return f"[{inside}]" if inside not in ("", "^") else "(?!)"
    return re.escape(part[1:] if part[0] == "\\" and len(part) > 1 else part)


def _flat(content: Mapping[str, str]) -> list[str]:
    return [text for pair in content.items() for text in pair]


COMMANDS: Mapping[str, tuple[int, int | None, Callable[..., Any]]] = {  # name → least and most arguments, and what does it
    "ping": (0, 1, lambda store, text="PONG": text),
    "echo": (1, 1, lambda store, text: text),
    "get": (1, 1, Store.text),
    "set": (2, None, _set),
    "mget": (1, None, _many),
    "del": (1, None, _delete),
    "unlink": (1, None, _delete),
    "exists": (1, None, lambda store, *keys: sum(store.find(key) is not None for key in keys)),
    "type": (1, 1, lambda store, key: _type(store.find(key))),
    "incr": (1, 1, _increase),
    "incrby": (2, 2, _increase),
    "decr": (1, 1, lambda store, key: _increase(store, key, "-1")),
    "expire": (2, 2, lambda store, key, seconds: _expire(store, key, _number(seconds) * 1000)),
    "pexpire": (2, 2, lambda store, key, milliseconds: _expire(store, key, _number(milliseconds))),
    "ttl": (1, 1, lambda store, key: left if (left := _time_left(store, key)) < 0 else round(left / 1000)),
    "pttl": (1, 1, _time_left),
    "keys": (1, 1, _matching),
    "scan": (1, None, _scan),
    "dbsize": (0, 0, lambda store: len(_matching(store, "*"))),
    "flushdb": (0, 1, _flush),
    "flushall": (0, 1, _flush),
    "hset": (3, None, _hash_set),
    "hget": (2, 2, lambda store, key, name: store.mapping(key, "hash").get(name)),
    "hmget": (2, None, lambda store, key, *names: [store.mapping(key, "hash").get(name) for name in names]),
    "hgetall": (1, 1, lambda store, key: _flat(store.mapping(key, "hash"))),
    "zincrby": (3, 3, _add_score),
    "zrange": (3, None, _range),
    "script": (1, None, _script),
    "eval": (2, None, lambda store, text, count, *rest: _run(store, _load(store, text), count, *rest)),
    "evalsha": (2, None, _run),
}
