"""The limits themselves: counted, looked at, forgotten; and open, said and counted where nobody can be asked."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from aura_cli.errors import AuraError, ConfigurationError, ServiceError, UnreachableError, UsageError
from aura_cli.ratelimit.limits import RULES, Limit, Limits, Usage, Verdict, check
from aura_cli.sandbox.upstash.store import Store
from tests.parts.service import free_port
from tests.parts.upstash import STORES, Upstash, answering, in_one_window, over, settings, upstash


@pytest.fixture(scope="module", params=STORES)
def redis(request: pytest.FixtureRequest) -> Iterator[Upstash]:
    with over(request.param) as found:
        yield found


@pytest.mark.parametrize("limit", Limit)
def test_until_it_is_used_up(redis: Upstash, limit: Limit) -> None:
    """As many as the rule says, and no more; looking takes nothing."""
    rule = RULES[limit]
    with Limits(redis.settings) as limits:

        def used_up(who: str) -> tuple[list[Verdict], list[Usage]]:
            verdicts = [limits.check(limit, who) for _ in range(rule.requests + 2)]
            return verdicts, [limits.peek(limit, name) for name in (who, who, who[:-1])]

        verdicts, (seen, again, other) = in_one_window(rule.window_s, used_up)
    assert [one.allowed for one in verdicts] == [True] * rule.requests + [False] * 2
    assert [one.remaining for one in verdicts] == [*reversed(range(rule.requests)), 0, 0]
    assert all(one.enforced and one.limit == rule.requests and one.why is None for one in verdicts)
    assert (seen.used, seen.remaining, seen.reset_at) == (rule.requests, 0, verdicts[0].reset_at)
    assert (again, other.used) == (seen, 0)
    assert seen.reset_at.timestamp() % rule.window_s == 0


def test_forgetting_is_exact(redis: Upstash) -> None:
    """The counters of one identifier, whatever glob characters are in it, and of no other that looks like it."""
    names = ["chat", "chat:203.0.113.7", "c*", "c?at", "[chat]", "c\\hat", "chat:*", "chat:203.0.113.7:9"]
    with Limits(redis.settings) as limits:
        for name in names:
            limits.check(Limit.AUTH, name)
            limits.check(Limit.GENERAL, name)
        for number, name in enumerate(names):
            keys = limits.keys(name)
            assert {key.rpartition(":")[0] for key in keys} == {f"{rule.prefix}:{name}" for rule in RULES.values()}
            assert set(limits.keys(name, everywhere=True)) == set(keys)
            assert limits.delete(keys) == 2
            assert [bool(limits.keys(other)) for other in names] == [False] * (number + 1) + [True] * (len(names) - number - 1)
        assert limits.delete([]) == 0


def test_looking_everywhere(redis: Upstash) -> None:
    """Counters of windows that had another length are found among thousands of others; the library's own statistics are left alone."""
    with Limits(redis.settings) as limits:
        asked = limits._asked()
        pipeline = [["SET", f"aura:ratelimit:other{number}:1", "1"] for number in range(3000)]
        limits._asked()._service.call("POST", "/pipeline", json=pipeline)
        asked.set("aura:ratelimit:events:28888888", "4")
        asked.set("aura:ratelimit:events:text", "4")
        asked.zincrby("aura:ratelimit:events:1795000000000", 1, '{"identifier":"x"}')
        assert limits.keys("events") == []
        assert limits.keys("events", everywhere=True) == ["aura:ratelimit:events:28888888"]
        assert len(limits.keys("other7", everywhere=True)) == 1


def test_nothing_is_configured() -> None:
    """Everything is allowed; it is said once and counted, and what would show or forget says what is missing."""
    said: list[str] = []
    with Limits(settings({}), said.append) as limits:
        verdicts = [limits.check(Limit.GENERAL, "someone") for _ in range(30)]
        assert all(one.allowed and not one.enforced and one.remaining is None and one.reset_at is None for one in verdicts)
        assert (limits.unenforced, said) == (30, ["UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN are not set"])
        with pytest.raises(ConfigurationError):
            limits.peek(Limit.GENERAL, "someone")
    half = check(settings({"UPSTASH_REDIS_REST_TOKEN": "sandbox-token"}), Limit.AUTH, "someone")
    assert (half.allowed, half.why, half.limit) == (True, "UPSTASH_REDIS_REST_URL is not set", 5)


HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


@pytest.mark.parametrize(
    ("answer", "slowly", "kind", "why"),
    [
        (HTML, 0, ServiceError, "a web page"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 0, ConfigurationError, "401"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 0, ServiceError, "500"),
        (b"HTTP/1.1 302 Elsewhere\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", 0, ServiceError, "302"),
        (b"", 0, UnreachableError, "2 seconds"),
        (HTML, 0.3, UnreachableError, "2 seconds"),
        (b"nonsense\r\n\r\n", 0, UnreachableError, "could not be reached"),
        (JSON % (2, b"[]"), 0, ServiceError, "none of Redis'"),
        (JSON % (15, b'{"result":null}'), 0, ServiceError, ""),
        (JSON % (19, b'{"result":["a","b"]'), 0, ServiceError, "none of Redis'"),
        (JSON % (0, b""), 0, ServiceError, "none of Redis'"),
    ],
    ids=["html", "401", "500", "redirect", "silence", "byte by byte", "no HTTP", "list", "null", "half JSON", "nothing"],
)
def test_an_upstash_that_is_not_well(answer: bytes, slowly: float, kind: type[AuraError], why: str) -> None:
    """A check is allowed within the time limit, and says why; the next ones do not wait for it again. Looking raises."""
    said: list[str] = []
    with answering(answer, slowly=slowly) as base:
        env = {"UPSTASH_REDIS_REST_URL": base, "UPSTASH_REDIS_REST_TOKEN": "sandbox-token"}
        with Limits(settings(env), said.append) as limits:
            begun = time.monotonic()
            verdicts = [limits.check(Limit.GENERAL, "someone") for _ in range(5)]
            assert time.monotonic() - begun < 8  # one waits for 2 s; five would for 10
            assert all(one.allowed and not one.enforced for one in verdicts)
            assert (limits.unenforced, len(said)) == (5, 1)
            assert why in said[0]
            assert "sandbox-token" not in said[0]
            if kind is not ServiceError or why:
                with pytest.raises(kind):
                    limits.keys("someone")


@pytest.mark.parametrize("base", ["http://127.0.0.1:{port}", "no address", "https://", "ftp://127.0.0.1"])
def test_an_upstash_that_is_not_there(base: str) -> None:
    """A refused connection and what is no address: allowed, and said."""
    env = {"UPSTASH_REDIS_REST_URL": base.format(port=free_port()), "UPSTASH_REDIS_REST_TOKEN": "sandbox-token"}
    verdict = check(settings(env), Limit.GENERAL, "someone")
    assert (verdict.allowed, verdict.enforced, bool(verdict.why)) == (True, False, True)


def test_counters_that_are_none() -> None:
    """What somebody else keeps under a counter's key is an error where it is looked at, and no reason to refuse."""
    with upstash() as redis, Limits(redis.settings) as limits:
        limits.check(Limit.GENERAL, "someone")
        assert isinstance(redis.state.database, Store)
        for value in redis.state.database.values.values():
            value.content = "text"
        assert not limits.check(Limit.GENERAL, "someone").enforced
        with pytest.raises(ServiceError):
            limits.peek(Limit.GENERAL, "someone")


def test_one_request_and_no_telemetry() -> None:
    """A take is asked for once, also where it fails, and nothing tells what program and what machine ask."""
    with upstash() as redis:
        seen: list[dict[str, Any]] = []
        redis.faults.server_error = 1.0
        with Limits(redis.settings) as limits:
            service = limits._asked()._service
            assert service._client is not None
            service._client.event_hooks = {"request": [lambda request: seen.append(dict(request.headers))]}
            assert not limits.check(Limit.GENERAL, "someone").enforced
    assert len(seen) == 1
    assert not [name for name in seen[0] if "telemetry" in name.lower()]


@pytest.mark.parametrize("identifier", ["", "  ", "two\nlines", "\x1b[31m", "x" * 513, "\udcff"])
def test_what_is_no_identifier(identifier: str) -> None:
    """It is an error of who asks, before anybody is asked."""
    with pytest.raises(UsageError):
        check(settings({}), Limit.GENERAL, identifier)
