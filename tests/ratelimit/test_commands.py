"""`aura ratelimit`, as an operator types it."""

import sys
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading
from aura_cli.ratelimit.limits import RULES, Limit, Limits
from tests.parts.migrated import engine_of
from tests.parts.program import Aura, Completed
from tests.parts.service import free_port
from tests.parts.terminal import on_a_terminal
from tests.parts.upstash import Upstash, answering, in_one_window, upstash

WHO = "chat:203.0.113.7"


@pytest.fixture
def redis() -> Iterator[Upstash]:
    with upstash() as found:
        yield found


@pytest.fixture
def env(redis: Upstash, migrated: None, sqlite_database: str) -> dict[str, str]:
    """Settings for Upstash's stand-in and a database."""
    return {"AURA_ENV": "development", "DATABASE_URL": sqlite_database, **redis.env}


def test_show(aura: Aura, redis: Upstash, env: dict[str, str]) -> None:
    """Both limits, what is used and what is left, and nothing is taken."""

    def looked(who: str) -> tuple[str, Completed, Completed]:
        with Limits(redis.settings) as limits:
            for _ in range(3):
                limits.check(Limit.GENERAL, who)
        return who, aura("ratelimit", "show", who, "--json", env=env), aura("ratelimit", "show", who, env=env)

    who, shown, plain = in_one_window(10, looked)
    assert (shown.exit, shown.json["identifier"], shown.json["enforced"], shown.json["why"]) == (0, who, True, None)
    assert [(one["limit"], one["used"], one["remaining"], one["window_s"]) for one in shown.json["limits"]] == [
        ("general", 3, 7, 10),
        ("auth", 0, 5, 60),
    ]
    assert plain.out.splitlines()[0].startswith("general  3 used of 10 in 10 s, 7 left; the window ends ")


def test_try_until_it_is_refused(aura: Aura, redis: Upstash, env: dict[str, str]) -> None:
    """Six, then four of six; whoever is refused is told until when, with exit code 7. A dry run only looks."""

    def tried(who: str) -> list[Completed]:
        words = (("--count", "6"), ("-n",), ("-c", "6"))
        return [aura("ratelimit", "try", who, *some, "--json", env=env) for some in words]

    first, looked, second = in_one_window(10, tried)
    assert (first.exit, first.json["allowed"], first.json["refused"], first.json["remaining"]) == (0, 6, 0, 4)
    assert looked.json["limits"][0]["used"] == 6
    assert (second.exit, second.json["allowed"], second.json["refused"]) == (7, 4, 2)
    assert "over the general limit" in second.err
    other = aura("ratelimit", "try", WHO, "--limit", "auth", env=env)
    assert (other.exit, other.out.split(",")[0]) == (0, "Allowed 1 of 1; the limit is 5 in 60 s")
    with engine_of(env["DATABASE_URL"]) as engine, reading(engine) as connection:
        noted = list(connection.execute(select(operator_log).where(operator_log.c.what == "ratelimit.try").order_by(operator_log.c.id)))
    assert [one.details for one in noted][-2:] == [{"limit": "general", "count": 6}, {"limit": "auth", "count": 1}]
    assert all(one.key.startswith("sha256:") for one in noted)


def test_reset(aura: Aura, redis: Upstash, env: dict[str, str]) -> None:
    """A dry run lists the keys; then exactly they are gone, it is in the operator log without the address, and caches are warned of."""
    with Limits(redis.settings) as limits:
        for who in (WHO, f"{WHO}1", "chat"):
            limits.check(Limit.AUTH, who)
        listed = aura("ratelimit", "reset", WHO, "-n", "--json", env=env)
        assert (listed.exit, listed.json["dry_run"], listed.json["deleted"]) == (0, True, 0)
        assert [key.rpartition(":")[0] for key in listed.json["keys"]] == [f"{RULES[Limit.AUTH].prefix}:{WHO}"]
        assert limits.keys(WHO) == listed.json["keys"]
        done = aura("ratelimit", "reset", WHO, "--json", env=env)
        assert (done.exit, done.json["deleted"], done.json["keys"]) == (0, 1, listed.json["keys"])
        assert "remembers it in memory" in done.err
        assert [bool(limits.keys(who)) for who in (WHO, f"{WHO}1", "chat")] == [False, True, True]
        again = aura("ratelimit", "reset", WHO, env=env)
        assert (again.exit, again.out, again.err) == (0, "Nothing is counted of them now.\n", "")
    with engine_of(env["DATABASE_URL"]) as engine, reading(engine) as connection:
        (noted,) = connection.execute(select(operator_log).where(operator_log.c.what == "ratelimit.reset"))
    assert (noted.key.startswith("sha256:"), noted.details) == (True, {"counters": 1})


def test_nothing_is_configured(aura: Aura) -> None:
    """Everything is allowed, said once; a reset has nothing to reset at."""
    shown = aura("ratelimit", "show", WHO, "--json")
    assert (shown.exit, shown.json["enforced"], shown.json["limits"]) == (0, False, [])
    tried = aura("ratelimit", "try", WHO, "-c", "20", "--json")
    assert (tried.exit, tried.json["allowed"], tried.json["unenforced"], tried.json["remaining"]) == (0, 20, 20, None)
    assert tried.err == "Nothing is limited: UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN are not set\n"
    assert aura("ratelimit", "reset", WHO).exit == 4


def test_redis_is_away(aura: Aura, migrated: None, sqlite_database: str) -> None:
    """A try is allowed, said and counted; what looks says that it could not."""
    env = {"UPSTASH_REDIS_REST_URL": f"http://127.0.0.1:{free_port()}", "UPSTASH_REDIS_REST_TOKEN": "sandbox-token"}
    env |= {"AURA_ENV": "development", "DATABASE_URL": sqlite_database}
    tried = aura("ratelimit", "try", WHO, "-c", "3", env=env)
    assert (tried.exit, tried.out) == (0, "Allowed 3 of 3, 3 of them without being counted; the limit is 10 in 10 s\n")
    assert tried.err.count("Nothing is limited: Upstash could not be reached") == 1
    assert aura("ratelimit", "show", WHO, env=env).exit == 8
    with answering(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n") as base:
        refused = aura("ratelimit", "show", WHO, env={**env, "UPSTASH_REDIS_REST_URL": base})
    assert (refused.exit, "sandbox-token" in refused.err) == (4, False)


def test_production_is_asked_about(aura: Aura, redis: Upstash, env: dict[str, str]) -> None:
    """Nobody's counters are forgotten, nor anything taken of them, in production before somebody agreed."""
    with Limits(redis.settings) as limits:
        assert aura("ratelimit", "try", WHO, env={**env, "AURA_ENV": "production"}).exit == 6
        assert not limits.keys(WHO)
        limits.check(Limit.AUTH, WHO)
        assert aura("ratelimit", "reset", WHO, env={**env, "AURA_ENV": "production"}).exit == 6
        assert limits.keys(WHO)
        assert aura("ratelimit", "reset", WHO, "--yes", env={**env, "AURA_ENV": "production"}).exit == 0
        assert not limits.keys(WHO)


def test_what_begins_while_a_person_thinks(aura: Aura, redis: Upstash, env: dict[str, str]) -> None:
    """Whoever agrees a window later has the counter forgotten that runs then, not only those that the question was about."""
    running: list[str] = []
    with Limits(redis.settings) as limits:

        def agreed(shown: str) -> str:
            seconds = RULES[Limit.GENERAL].window_s
            time.sleep(seconds - time.time() % seconds + 0.05)
            limits.check(Limit.GENERAL, WHO)
            running.extend(limits.keys(WHO))
            return "y\n"

        for limit in Limit:
            limits.check(limit, WHO)
        command = [sys.executable, "-m", "aura_cli", "ratelimit", "reset", WHO]
        about = {**aura.environment, **env, "AURA_ENV": "production"}
        code, shown = on_a_terminal(command, about, aura.work, dialogue=[("Write to production? [y/N]", agreed)])
        assert (code, limits.keys(WHO)) == (0, []), shown
    assert running
    assert not [key for key in running if key not in shown.splitlines()], shown


@pytest.mark.parametrize("words", [("show", ""), ("try", WHO, "-c", "0"), ("reset", "two\nlines"), ("try", WHO, "--limit", "none")])
def test_what_makes_no_sense(aura: Aura, words: tuple[str, ...]) -> None:
    """Exit code 2."""
    assert aura("ratelimit", *words).exit == 2
