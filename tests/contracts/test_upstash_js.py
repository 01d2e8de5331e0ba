"""The web app's own limiter, `@upstash/ratelimit` on `@upstash/redis`, on the same store as `aura ratelimit`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aura_cli.ratelimit.limits import RULES, Limit, Limits, Usage, Verdict
from tests.parts.outside import Outside, node_script
from tests.parts.program import Aura, Completed
from tests.parts.upstash import STORES, Upstash, in_one_window, over


@pytest.fixture(scope="module", params=STORES)
def redis(request: pytest.FixtureRequest) -> Iterator[Upstash]:
    with over(request.param) as found:
        yield found


@pytest.fixture
def env(redis: Upstash, migrated: None, sqlite_database: str) -> dict[str, str]:
    """Settings for the store and a database."""
    return {"AURA_ENV": "development", "DATABASE_URL": sqlite_database, **redis.env}


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


def test_six_and_six(aura: Aura, env: dict[str, str], instance: Outside) -> None:
    """Six here, then six there: the eleventh is refused there."""

    def both(who: str) -> tuple[Completed, list[Any]]:
        here = aura("ratelimit", "try", who, "--count", "6", "--json", env=env)
        return here, [told(instance, "take", limit="general", id=who) for _ in range(6)]

    here, there = in_one_window(10, both)
    assert (here.exit, here.json["allowed"]) == (0, 6)
    assert [one["success"] for one in there] == [True] * 4 + [False] * 2
    assert [one["remaining"] for one in there] == [3, 2, 1, 0, 0, 0]


def test_six_and_six_the_other_way(aura: Aura, env: dict[str, str], instance: Outside) -> None:
    """Six there, then six here: the eleventh is refused here, and both say that nothing is left."""

    def both(who: str) -> tuple[list[Any], Completed, Completed, Any]:
        there = [told(instance, "take", limit="general", id=who) for _ in range(6)]
        here = aura("ratelimit", "try", who, "--count", "6", "--json", env=env)
        shown = aura("ratelimit", "show", who, "--json", env=env)
        return there, here, shown, told(instance, "left", limit="general", id=who)

    there, here, shown, left = in_one_window(10, both)
    assert all(one["success"] for one in there)
    assert (here.exit, here.json["allowed"], here.json["refused"]) == (7, 4, 2)
    assert (shown.json["limits"][0]["used"], left["remaining"], left["limit"]) == (10, 0, 10)


@pytest.mark.parametrize("limit", Limit)
def test_turn_by_turn(redis: Upstash, instance: Outside, limit: Limit) -> None:
    """One here, one there: each sees what the other took, and both say the same end of the window."""
    rule = RULES[limit]
    with Limits(redis.settings) as limits:

        def turns(who: str) -> tuple[list[int | None], Any, Usage, Verdict]:
            left: list[int | None] = []
            for number in range(rule.requests):
                there = number % 2
                left.append(told(instance, "take", limit=limit, id=who)["remaining"] if there else limits.check(limit, who).remaining)
            refused = told(instance, "take", limit=limit, id=who)
            return left, refused, limits.peek(limit, who), limits.check(limit, who)

        left, refused, seen, last = in_one_window(rule.window_s, turns)
    assert left == [*reversed(range(rule.requests))]
    assert (refused["success"], last.allowed) == (False, False)
    assert (seen.remaining, int(seen.reset_at.timestamp() * 1000)) == (0, refused["reset"])


def test_reset_and_what_a_hot_instance_remembers(aura: Aura, redis: Upstash, sqlite_database: str, migrated: None) -> None:
    """After a reset a new instance lets them through, and one that has refused them goes on until the window ends: what is warned of."""
    env = {"AURA_ENV": "development", "DATABASE_URL": sqlite_database, **redis.env}

    def hot_and_new(who: str) -> tuple[Completed, list[Any]]:
        with web_app(redis, "remembering") as hot, web_app(redis) as new:
            before = [told(hot, "take", limit="auth", id=who) for _ in range(6)]
            done = aura("ratelimit", "reset", who, "--json", env=env)
            return done, [before[-1], told(new, "take", limit="auth", id=who), told(hot, "take", limit="auth", id=who)]

    done, (refused, let_through, still) = in_one_window(60, lambda who: hot_and_new(f"{who}*"))
    assert (refused["success"], done.exit, done.json["deleted"], let_through["success"]) == (False, 0, 1, True), done.err
    assert (still["success"], still["reason"]) == (False, "cacheBlock")


def test_their_reset(redis: Upstash, instance: Outside) -> None:
    """What the library forgets, with its pattern, is forgotten here too."""
    with Limits(redis.settings) as limits:
        limits.check(Limit.AUTH, "forgotten")
        assert told(instance, "forget", limit="auth", id="forgotten") == {}
        assert limits.keys("forgotten") == []


def test_the_client(redis: Upstash, instance: Outside) -> None:
    """Text with every kind of character, null, and a transaction arrive as they were sent."""
    text = 'größer \U0001f600 "quoted" \\ / \n'
    assert told(instance, "set", id="text", text=text) == {"got": "OK"}
    assert told(instance, "get", id="text") == {"got": text}
    assert told(instance, "get", id="nothing") == {"got": None}
    assert told(instance, "many", id="number") == {"got": [1, 2]}
