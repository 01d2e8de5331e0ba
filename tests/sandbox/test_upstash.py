"""The stand-in of Upstash, asked over real HTTP: its own store and a real Valkey behind it answer alike."""

import base64
import time
from collections.abc import Iterator
from hashlib import sha1
from typing import Any

import httpx
import pytest
from upstash_ratelimit import Ratelimit, SlidingWindow
from upstash_redis import Redis
from upstash_redis.errors import UpstashError

from aura_cli.errors import UsageError
from aura_cli.sandbox.credentials import UPSTASH_REDIS_REST_TOKEN
from aura_cli.sandbox.generation import build
from aura_cli.sandbox.server import running
from aura_cli.sandbox.upstash import database
from aura_cli.sandbox.upstash.scripts import NATIVE
from aura_cli.sandbox.upstash.store import Store, glob
from tests.parts.loopback import plain_client
from tests.parts.service import free_port
from tests.parts.upstash import STORES, Upstash, in_one_window, over, upstash, valkey

SHEBANG = "#!lua flags=allow-key-locking\n"


@pytest.fixture(scope="module", params=STORES)
def redis(request: pytest.FixtureRequest) -> Iterator[Upstash]:
    with over(request.param) as found:
        yield found


@pytest.fixture
def http(redis: Upstash) -> Iterator[httpx.Client]:
    """A client with the token, on an empty database."""
    with plain_client(base_url=redis.base, headers={"Authorization": f"Bearer {redis.state.token}"}) as client:
        client.post("/", json=["FLUSHALL"]).raise_for_status()
        yield client


@pytest.fixture
def official(redis: Upstash, http: httpx.Client) -> Iterator[Redis]:
    """Upstash's own client, on an empty database."""
    with Redis(redis.base, redis.state.token, rest_retries=0) as client:
        yield client


CASES: list[tuple[list[Any], Any]] = [
    (["PING"], "PONG"),
    (["ECHO", "ü"], "ü"),
    (["SET", "text", "value"], "OK"),
    (["get", "text"], "value"),
    (["GET", "nothing"], None),
    (["SET", "text", "other", "NX"], None),
    (["SET", "fresh", "one", "NX", "EX", 100], "OK"),
    (["TTL", "fresh"], 100),
    (["TTL", "text"], -1),
    (["PTTL", "nothing"], -2),
    (["SET", "fresh", "two", "XX", "KEEPTTL"], "OK"),
    (["TTL", "fresh"], 100),
    (["INCR", "count"], 1),
    (["INCRBY", "count", 41], 42),
    (["DECR", "count"], 41),
    (["MGET", "count", "nothing", "text"], ["41", None, "value"]),
    (["EXISTS", "count", "count", "nothing"], 2),
    (["EXPIRE", "count", 50], 1),
    (["PEXPIRE", "nothing", 50], 0),
    (["TYPE", "count"], "string"),
    (["HSET", "hash", "a", 1, "b", 2], 2),
    (["HSET", "hash", "a", 3, "c", 4], 1),
    (["HGET", "hash", "a"], "3"),
    (["HMGET", "hash", "b", "x"], ["2", None]),
    (["HGETALL", "hash"], ["a", "3", "b", "2", "c", "4"]),
    (["TYPE", "hash"], "hash"),
    (["MGET", "hash"], [None]),
    (["ZINCRBY", "set", 1, "x"], "1"),
    (["ZINCRBY", "set", 0.5, "y"], "0.5"),
    (["ZRANGE", "set", 0, -1, "WITHSCORES"], ["y", "0.5", "x", "1"]),
    (["ZRANGE", "set", -1, -1], ["x"]),
    (["TYPE", "set"], "zset"),
    (["DBSIZE"], 5),
    (["DEL", "hash", "set", "nothing"], 2),
    (["TYPE", "set"], "none"),
    (["SCRIPT", "EXISTS", "0" * 40], [0]),
    (["UNLINK", "count"], 1),
]
WRONG: list[tuple[list[Any], str]] = [
    (["INCR", "text"], "ERR value is not an integer or out of range"),
    (["INCRBY", "new", "much"], "ERR value is not an integer or out of range"),
    (["INCRBY", "largest", "1"], "ERR increment or decrement would overflow"),
    (["HGET", "text", "a"], "WRONGTYPE Operation against a key holding the wrong kind of value"),
    (["GET", "hash"], "WRONGTYPE Operation against a key holding the wrong kind of value"),
    (["GET"], "ERR wrong number of arguments for 'get' command"),
    (["SET", "text", "value", "SOON"], "ERR syntax error"),
    (["NONSENSE", "a"], "ERR unknown command 'NONSENSE', with args beginning with: 'a'"),
    (["EVALSHA", "0" * 40, 0], "NOSCRIPT No matching script."),
    (["SCAN", "here"], "ERR invalid cursor"),
]


def test_both_stores_answer_alike(http: httpx.Client) -> None:
    """One command after the other, each with its answer as Redis gives it."""
    for command, answer in CASES:
        got = http.post("/", json=command)
        assert (command, got.status_code, got.json()) == (command, 200, {"result": answer})


@pytest.mark.parametrize(("command", "error"), WRONG, ids=[" ".join(map(str, command)) for command, _ in WRONG])
def test_both_stores_refuse_alike(http: httpx.Client, command: list[Any], error: str) -> None:
    """An error is a 400 with Redis' words."""
    for prepared in (["SET", "text", "value"], ["HSET", "hash", "a", "1"], ["SET", "largest", str(2**63 - 1)]):
        http.post("/", json=prepared).raise_for_status()
    got = http.post("/", json=command)
    assert (got.status_code, got.json()["error"].strip()) == (400, error)


def test_a_key_ends(http: httpx.Client) -> None:
    """What has a time to live is gone after it."""
    http.post("/", json=["SET", "short", "life", "PX", 30])
    assert http.post("/", json=["GET", "short"]).json()["result"] == "life"
    time.sleep(0.06)
    assert http.post("/", json=["GET", "short"]).json()["result"] is None


def test_paths_and_bodies(http: httpx.Client) -> None:
    """A command's words as a path, with a body or a query behind them; an escaped slash is part of a word."""
    assert http.get("/set/key/a%2Fb?EX=100").json() == {"result": "OK"}
    assert http.get("/get/key").json() == {"result": "a/b"}
    assert 0 < http.get("/ttl/key").json()["result"] <= 100
    assert http.post("/set/body", content='{"a": 1}').json() == {"result": "OK"}
    assert http.get("/get/body").json() == {"result": '{"a": 1}'}


def test_base64(http: httpx.Client) -> None:
    """All text but OK, also in a list, and no number."""
    asked = {"Upstash-Encoding": "base64"}
    assert http.post("/", json=["SET", "key", "ü"], headers=asked).json() == {"result": "OK"}
    coded = base64.b64encode("ü".encode()).decode()
    assert http.post("/", json=["MGET", "key", "none"], headers=asked).json() == {"result": [coded, None]}
    assert http.post("/", json=["INCR", "n"], headers=asked).json() == {"result": 1}


def test_many_at_once(http: httpx.Client) -> None:
    """A pipeline goes on after an error; in a transaction all happens together."""
    commands = [["SET", "a", "1"], ["INCR", "a"], ["HGET", "a", "x"], ["GET", "a"]]
    wrong = {"error": "WRONGTYPE Operation against a key holding the wrong kind of value"}
    for path in ("/pipeline", "/multi-exec"):
        got = http.post(path, json=commands)
        assert (got.status_code, got.json()) == (200, [{"result": "OK"}, {"result": 2}, wrong, {"result": "2"}])


@pytest.mark.parametrize("body", [b"no JSON", b"{}", b"[]", b'[["GET", "a"]]', b'"GET"'])
def test_what_is_no_command(http: httpx.Client, body: bytes) -> None:
    """It is refused, and nothing is run."""
    assert http.post("/", content=body).status_code == 400
    assert http.post("/pipeline", content=b"[]").status_code == 400


def test_the_token(redis: Upstash) -> None:
    """Nothing is answered without it; it may stand in the address."""
    with plain_client(base_url=redis.base) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {redis.state.token}"}):
            refused = client.post("/pipeline", json=[["PING"]], headers=headers)
            assert (refused.status_code, refused.json()["error"][:9]) == (401, "WRONGPASS")
        assert client.get(f"/ping?_token={redis.state.token}").json() == {"result": "PONG"}


def test_scanning(http: httpx.Client) -> None:
    """Pages until the cursor is 0 hold each key once or more, and only those that match."""
    http.post("/pipeline", json=[["SET", f"aura:{number}", "x"] for number in range(1500)] + [["SET", "other", "x"]])
    found, cursor = set[str](), "0"
    while True:
        cursor, page = http.post("/", json=["SCAN", cursor, "MATCH", "aura:*", "COUNT", "200"]).json()["result"]
        found |= set(page)
        if cursor == "0":
            break
    assert found == {f"aura:{number}" for number in range(1500)}


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("a*c", "abbc", True),
        ("a*c", "abbd", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a[bc]d", "acd", True),
        ("a[^bc]d", "acd", False),
        ("a[^bc]d", "axd", True),
        ("a[a-c]d", "abd", True),
        (r"a\*c", "a*c", True),
        (r"a\*c", "abc", False),
        (r"a\[b\]", "a[b]", True),
        ("a.c", "abc", False),
        ("*", "line\nbreak", True),
    ],
)
def test_patterns(http: httpx.Client, pattern: str, key: str, matches: bool) -> None:
    """What matches in the store of our own matches in Redis."""
    http.post("/", json=["SET", key, "x"])
    assert (http.post("/", json=["KEYS", pattern]).json()["result"] == [key]) == matches == bool(glob(pattern).fullmatch(key))


def test_the_official_client(official: Redis) -> None:
    """Its types survive the way: text, numbers, lists, pipelines, transactions, errors."""
    assert official.set("key", "größer", ex=100)
    assert official.get("key") == "größer"
    assert official.mget("key", "none") == ["größer", None]
    pipeline = official.pipeline()
    pipeline.incr("n")
    pipeline.get("n")
    assert pipeline.exec() == [1, "1"]
    transaction = official.multi()
    transaction.incr("n")
    transaction.incr("n")
    assert transaction.exec() == [2, 3]
    assert official.scan(0, match="k*")[1] == ["key"]
    with pytest.raises(UpstashError, match="not an integer"):
        official.incr("key")


def test_the_official_limiter(official: Redis) -> None:
    """Ten pass, the eleventh does not; what is left is told."""
    limiter = Ratelimit(official, SlidingWindow(10, 10), "aura:ratelimit")
    taken, left = in_one_window(10, lambda who: ([limiter.limit(who) for _ in range(11)], limiter.get_remaining(who)))
    assert [one.allowed for one in taken] == [True] * 10 + [False]
    assert [one.remaining for one in taken] == [*range(9, -1, -1), 0]
    assert left == 0


def test_scripts_are_known_by_their_names(redis: Upstash, http: httpx.Client) -> None:
    """EVALSHA knows a script after EVAL, by the SHA-1 of what the client sent, Upstash's first line included."""
    script = SlidingWindow.SCRIPT
    assert script.startswith(SHEBANG)
    digest = sha1(script.encode()).hexdigest()
    assert digest in NATIVE
    arguments = [2, "k:2", "k:1", 10, 20_000, 10_000, 1]
    http.post("/", json=["SCRIPT", "FLUSH"])
    assert http.post("/", json=["EVALSHA", digest, *arguments]).json()["error"].startswith("NOSCRIPT")
    assert http.post("/", json=["EVAL", script, *arguments]).json() == {"result": 9}
    assert http.post("/", json=["EVALSHA", digest, *arguments]).json() == {"result": 8}
    assert http.post("/", json=["SCRIPT", "LOAD", script]).status_code == 200


def test_an_unknown_script(redis: Upstash, http: httpx.Client) -> None:
    """The store of our own says what would run it; a real Valkey runs it, without Upstash's first line."""
    got = http.post("/", json=["EVAL", f"{SHEBANG}return 1 + 1", 0])
    if isinstance(redis.state.database, Store):
        assert (got.status_code, "Redis or Valkey" in got.json()["error"]) == (400, True)
    else:
        assert got.json() == {"result": 2}


def test_a_redis_that_is_not_there() -> None:
    """It is an error that says so, and the stand-in goes on."""
    with upstash(f"redis://127.0.0.1:{free_port()}") as found:
        headers = {"Authorization": f"Bearer {found.state.token}"}
        for _ in range(2):
            got = httpx.post(found.base, json=["PING"], headers=headers, trust_env=False)
            assert (got.status_code, "cannot be reached" in got.json()["error"]) == (400, True)


def test_a_whole_sandbox_on_a_real_redis() -> None:
    """What is counted through the stand-in stands in the Redis that the sandbox was given."""
    with valkey() as url, running(build(1, seed=1, now=1_795_000_000), redis=url) as addresses:
        headers = {"Authorization": f"Bearer {UPSTASH_REDIS_REST_TOKEN}"}
        with plain_client(base_url=addresses.upstash, headers=headers) as client:
            assert client.post("/", json=["INCR", "n"]).json() == {"result": 1}
        with upstash(url) as another:
            assert httpx.get(f"{another.base}/get/n", headers=headers, trust_env=False).json() == {"result": "1"}


@pytest.mark.parametrize("url", ["redis://example.com", "http://127.0.0.1:6379", "redis://127.0.0.1:port", "127.0.0.1:6379", "redis:"])
def test_a_redis_elsewhere(url: str) -> None:
    """The sandbox touches none but this machine's."""
    with pytest.raises(UsageError):
        database(url)
