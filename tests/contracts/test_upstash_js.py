"""The web app's own limiter, `@upstash/ratelimit` on `@upstash/redis`, on the same store as `aura ratelimit`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aura_cli.ratelimit.limits import RULES, Limit, Limits
from tests.parts.outside import Outside, node_script
from tests.parts.program import Aura
from tests.parts.upstash import STORES, Upstash, in_window, over


@pytest.fixture(scope="module", params=STORES)
def redis(request: pytest.FixtureRequest) -> Iterator[Upstash]:
    with over(request.param) as found:
        yield found


@contextmanager
def web_app(redis: Upstash, *words: str) -> Iterator[Outside]:
    with node_script("limit.mjs", redis.base, *words, secret=redis.state.token) as outside:
        yield outside


@pytest.fixture(scope="module")
def instance(redis: Upstash) -> Iterator[Outside]:
    """An instance of the web app that remembers nothing."""
    with web_app(redis) as outside:
        yield outside


def told(outside: Outside, op: str, **asked: Any) -> Any:
    outside.tell({"op": op, **asked})
    return outside.hear()


def test_six_and_six(aura: Aura, redis: Upstash, instance: Outside) -> None:
    """Six here, then six there: the eleventh is refused there."""
    in_window(10, 6)
    done = aura("ratelimit", "try", "chat:203.0.113.1", "--count", "6", "--json", env=redis.env)
    assert (done.exit, done.json["allowed"]) == (0, 6)
    takes = [told(instance, "take", limit="general", id="chat:203.0.113.1") for _ in range(6)]
    assert [one["success"] for one in takes] == [True] * 4 + [False] * 2
    assert [one["remaining"] for one in takes] == [3, 2, 1, 0, 0, 0]


def test_six_and_six_the_other_way(aura: Aura, redis: Upstash, instance: Outside) -> None:
    """Six there, then six here: the eleventh is refused here, at the same moment told by both."""
    in_window(10, 6)
    takes = [told(instance, "take", limit="general", id="chat:203.0.113.2") for _ in range(6)]
    assert all(one["success"] for one in takes)
    done = aura("ratelimit", "try", "chat:203.0.113.2", "--count", "6", "--json", env=redis.env)
    assert (done.exit, done.json["allowed"], done.json["refused"]) == (7, 4, 2)
    shown = aura("ratelimit", "show", "chat:203.0.113.2", "--json", env=redis.env).json["limits"][0]
    left = told(instance, "left", limit="general", id="chat:203.0.113.2")
    assert (shown["used"], left["remaining"], left["limit"]) == (10, 0, 10)


@pytest.mark.parametrize("limit", Limit)
def test_turn_by_turn(redis: Upstash, instance: Outside, limit: Limit) -> None:
    """One here, one there: each sees what the other took, and both say the same end of the window."""
    rule, who = RULES[limit], f"turns:{limit}"
    in_window(rule.window_s, 5)
    with Limits(redis.settings) as limits:
        left = []
        for number in range(rule.requests):
            if number % 2:
                left.append(told(instance, "take", limit=limit, id=who)["remaining"])
            else:
                left.append(limits.check(limit, who).remaining)
        assert left == [*reversed(range(rule.requests))]
        refused = told(instance, "take", limit=limit, id=who)
        seen = limits.peek(limit, who)
        assert not refused["success"]
        assert not limits.check(limit, who).allowed
        assert (seen.remaining, int(seen.reset_at.timestamp() * 1000)) == (0, refused["reset"])


def test_reset_and_what_a_hot_instance_remembers(aura: Aura, redis: Upstash, sqlite_database: str, migrated: None) -> None:
    """After a reset a new instance lets them through, and one that has refused them goes on until the window ends: what is warned of."""
    env = {"AURA_ENV": "development", "DATABASE_URL": sqlite_database, **redis.env}
    in_window(60, 15)
    with web_app(redis, "remembering") as hot, web_app(redis) as new:
        for _ in range(6):
            last = told(hot, "take", limit="auth", id="someone*")
        assert not last["success"]
        done = aura("ratelimit", "reset", "someone*", "--json", env=env)
        assert (done.exit, done.json["deleted"]) == (0, 1), done.err
        assert told(new, "take", limit="auth", id="someone*")["success"]
        still = told(hot, "take", limit="auth", id="someone*")
        assert (still["success"], still["reason"]) == (False, "cacheBlock")


def test_their_reset(redis: Upstash, instance: Outside) -> None:
    """What the library forgets, with its pattern, is forgotten here too."""
    in_window(60, 5)
    with Limits(redis.settings) as limits:
        limits.check(Limit.AUTH, "forgotten")
        assert told(instance, "forget", limit="auth", id="forgotten") == {}
        assert limits.peek(Limit.AUTH, "forgotten").used == 0


def test_the_client(redis: Upstash, instance: Outside) -> None:
    """Text with every kind of character, null, and a transaction arrive as they were sent."""
    text = 'größer \U0001f600 "quoted" \\ / \n'
    assert told(instance, "set", id="text", text=text) == {"got": "OK"}
    assert told(instance, "get", id="text") == {"got": text}
    assert told(instance, "get", id="nothing") == {"got": None}
    assert told(instance, "many", id="number") == {"got": [1, 2]}
