"""A stream as we read it is a stream as OpenAI's own library reads it; prices, budgets and the rate limit around it."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import openai
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.chat import prices
from aura_cli.chat.budget import estimate, fit, least
from aura_cli.chat.fallback import canned
from aura_cli.chat.limiting import Turnstile, limits
from aura_cli.chat.model import Model, Reply, Said, Usage, Wish, model_of
from aura_cli.console import harmless
from aura_cli.errors import AuraError, ServiceError, UsageError
from aura_cli.ratelimit.limits import Limit, Limits
from tests.chat.conftest import Desk
from tests.parts.loopback import serving
from tests.parts.openai import Assistant, assistant
from tests.parts.upstash import settings, upstash

HELLO = (Said("system", "Be brief"), Said("user", "hello"))
TEXTS = [
    "",
    "plain",
    "a\u2028b\u2029c\x85d\x0be",
    "\r\n\n\ttabs",
    "漢字 👩‍👩‍👧 é",
    'quotes " and \\ and \x1b[31m',
    "data: [DONE]\n\ndata: x",
    "x" * 70_000,
]


@pytest.fixture
def stand_in() -> Iterator[Assistant]:
    with assistant() as found:
        yield found


def ours(env: dict[str, str], wish: Wish | None = None) -> tuple[str, Reply]:
    """The answer as `aura` reads it."""
    made = model_of(settings(env), 10)
    assert made
    reply = Reply()
    with made.service:
        return "".join(made.answer(HELLO, wish or Wish(), reply, lambda seconds, why: None)), reply


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("chunk", [1, 7, 0])
def test_read_as_the_official_library_does(stand_in: Assistant, text: str, chunk: int) -> None:
    """Text, model, reason of the end and usage are the same, and so is the request but for the library's own words."""
    stand_in.says(text, times=2, chunk=chunk if len(text) < 1000 else 5000, cached_tokens=3, reasoning_tokens=2)
    found, reply = ours(stand_in.env)
    with openai.OpenAI(api_key=stand_in.state.api_key, base_url=f"{stand_in.base}/v1", max_retries=0) as sdk:
        messages: Any = [{"role": one.role, "content": one.content} for one in HELLO]
        asked = {"model": "gpt-4o-mini", "messages": messages, "max_tokens": 1000, "temperature": 0.7}
        chunks: Any = sdk.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        told = list(chunks)
    assert found == "".join(one.choices[0].delta.content or "" for one in told if one.choices) == text
    usage = told[-1].usage
    details = usage.prompt_tokens_details.cached_tokens, usage.completion_tokens_details.reasoning_tokens
    assert reply.usage == Usage(usage.prompt_tokens, usage.completion_tokens, *details)
    assert (reply.model, reply.finish) == (told[0].model, "stop")
    assert stand_in.asked[0] == stand_in.asked[1]


def answering(body: bytes, content_type: str = "text/event-stream") -> web.Application:
    """An application that answers every question with these bytes."""

    async def answer(request: web.Request) -> web.Response:
        del request
        return web.Response(body=body, content_type=content_type)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    return app


def event(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"model": "m", "choices": [choice], **more}).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("body", "text", "failure"),
    [
        (b": OPENROUTER PROCESSING\r\n\r\n" + event("hi", "stop").replace(b"\n", b"\r\n") + b"data: [DONE]\r\n\r\n", "hi", None),
        (b'data: {"choices":\ndata: [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\n', "hi", None),
        (event("hi") + event(None, "stop").rstrip(), "hi", None),
        (event("hi", "stop") + b'data: {"choices": [], "usage": null}\n\nid: 7\nevent: x\n\n', "hi", None),
        (event("hi", "stop").replace(b"data: ", b"data:"), "hi", None),
        (b'data: {"choices": [{"delta": {"refusal": "no"}, "finish_reason": "stop"}]}\n\n', "no", None),
        (event("hi"), "hi", "ended without an end"),
        (b"", "", "ended without an end"),
        (b"<html>", "", "ended without an end"),
        (event("hi \ud83d") + event("\udc69 \ud83d") + event("x", "stop"), "hi 👩 �x", None),  # cut between the halves of a pair
        (event("hi") + b"data: [1]\n\n", "hi", "is none"),
        (event("hi") + b'data: {"error": {"message": "overloaded", "code": 502}}\n\n', "hi", "overloaded"),
        (event("hi") + b"data: \xff\xfe\n\n", "hi", "cannot be read"),
        (event("hi") + b'data: {"x": 1e99999999999999999999}\n\n', "hi", "cannot be read"),
        (event("hi") + b"data: " + b"[" * 100_000 + b"\n\n", "hi", "cannot be read"),
        (b'data: {"choices": "none", "usage": {"prompt_tokens": "x"}, "model": 7}\n\n', "", "ended without an end"),
    ],
)
def test_odd_streams(body: bytes, text: str, failure: str | None) -> None:
    """What servers send beside OpenAI's own is read; what is no answer is told, after what came before."""
    with serving(answering(body)) as base:
        made = model_of(settings({"OPENAI_API_KEY": "sk-test-key-000000", "OPENAI_BASE_URL": f"{base}/v1"}))
        assert made
        reply, seen = Reply(), ""
        with made.service:
            try:
                for piece in made.answer(HELLO, Wish(), reply, lambda seconds, why: None):
                    seen += piece
                ended = None
            except ServiceError as error:
                ended = error.message
    assert (seen, reply.text) == (text, text)
    assert (ended is None) if failure is None else (ended is not None and failure in ended)


def test_openrouters_own_cost() -> None:
    """Where the service says what it cost, that is what it cost, to the last digit."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 0.00001234567}
    body = event("hi", "stop") + b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"
    with serving(answering(body)) as base:
        _, reply = ours({"OPENROUTER_API_KEY": "sk-or-test-000000", "OPENROUTER_BASE_URL": f"{base}/v1"})
    assert (reply.cost, reply.usage) == (Decimal("0.00001234567"), Usage(10, 5, 0, 0))


def test_prices() -> None:
    """By date, dated name and OpenRouter's; cached tokens at their price; what the table does not know has no cost."""
    usage = Usage(1_000_000, 1_000_000, 400_000, 0)
    today = date(2026, 11, 22)
    for name in ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"):
        assert prices.cost(name, usage, today) == Decimal("0.09") + Decimal("0.03") + Decimal("0.60")
    short = replace(usage, input_tokens=100_000, cached_tokens=0)
    assert prices.cost("gpt-5.6-luna", short, date(2026, 7, 29)) == Decimal("0.1") + 6
    assert prices.cost("gpt-5.6-luna", short, date(2026, 7, 30)) == Decimal("0.02") + Decimal("1.2")
    for name, spent, day in (
        ("gpt-5.6-luna", usage, today),
        ("gpt-4o-mini", usage, date(2024, 1, 1)),
        ("anthropic/x", usage, today),
        ("gpt-4o-2024-05-13", usage, today),
    ):
        assert prices.cost(name, spent, day) is None
    assert prices.dollars(prices.cost("gpt-4o-mini", Usage(1, 0, 0, 0), today) or Decimal(9)) == "0.00000015"
    assert (prices.dollars(Decimal("1E+2")), prices.dollars(Decimal("0.600")), prices.dollars(Decimal(0))) == ("100", "0.6", "0")
    assert [prices.total(costs) for costs in (["0.1", "0.2"], ["0.1", None], [])] == [Decimal("0.3"), None, 0]
    assert (prices.known("gpt-4o-mini-2024-07-18").window, prices.known("whatever").certain) == (128_000, False)


def test_every_price_is_whole() -> None:
    """Each row has a model that is known, a source stands above, and none stands twice."""
    rows = [(one.model, one.since) for one in prices._prices()]
    assert len(rows) == len(set(rows))
    assert all(prices.known(model).certain for model, _ in rows)
    assert all(0 < one.cached <= one.input < one.output for one in prices._prices())


TURNS = st.lists(
    st.lists(st.builds(Said, st.sampled_from(["user", "assistant"]), st.text(max_size=400)), min_size=1, max_size=3), max_size=12
)


@given(TURNS, st.text(max_size=200), st.integers(50, 3000))
def test_what_fits(turns: list[list[Said]], prompt: str, budget: int) -> None:
    """System and prompt always, then the newest turns, whole, without a gap, as long as they fit; what is left is counted."""
    system, asked = Said("system", "Be brief"), Said("user", prompt)
    if least(prompt) > budget:
        return
    found = fit([system], asked, turns, len(turns), budget)
    kept = len(turns) - found.dropped
    assert found.messages == (system, *(one for turn in reversed(turns[:kept]) for one in turn), asked)
    assert not kept or found.tokens <= budget
    if found.dropped:
        assert found.tokens + sum(estimate(one.content) for one in turns[kept]) > budget


def test_too_long_a_prompt() -> None:
    """What cannot fit, however well it is packed, is refused."""
    with pytest.raises(UsageError, match="tokens or more"):
        fit([], Said("user", "word " * 200_000), [], 0, 127_000)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("The quick brown fox jumps over the lazy dog. " * 20, 200), ("漢字かな交じり文" * 20, 140), ("Привет, мир! " * 20, 100)],
)
def test_estimates_are_high(text: str, tokens: int) -> None:
    """At least what OpenAI's tokenizer (o200k) counts, and not four times that."""
    assert tokens <= estimate(text) <= 4 * tokens


def test_canned_answers() -> None:
    """Chosen by keyword; each is harmless text, and none is empty."""
    assert len({canned(word) for word in ("hello", "refund", "plan", "tokens", "oauth", "webhook", "mail", "login", "xyz")}) == 9
    assert canned("my REFUND, please") == canned("refund")
    assert canned("a refund of a plan: invoice, card") == canned("refund")
    assert harmless(canned("")) == canned("") != ""


def used_up(held: Limits, who: str) -> None:
    """Take until nothing is left; a window may end meanwhile."""
    while held.check(Limit.GENERAL, f"chat:{who}").allowed:
        pass


def test_the_rate_limit() -> None:
    """Ten turns in ten seconds; then it is said until when, or waited, and said once."""
    told: list[str] = []
    with upstash() as redis, limits(redis.settings, told.append) as held:
        turnstile = Turnstile(held, wait=False, say=told.append)
        used_up(held, "ada")
        with pytest.raises(ServiceError, match=r"chat:ada has had its 10 turns in 10 s, until 20\d\d-.*Z"):
            turnstile.take("ada")
        turnstile.take("grace")
        assert told == []
        begun = time.monotonic()
        replace(turnstile, wait=True).take("ada")
        assert (len(told), time.monotonic() - begun < 20) == (1, True)


def test_the_rate_limit_is_away() -> None:
    """A Redis that is away, or half configured, lets everybody through, and that is said once; without one nothing is said."""
    away = {"UPSTASH_REDIS_REST_URL": "http://127.0.0.1:9", "UPSTASH_REDIS_REST_TOKEN": "t"}
    for env, count in ((away, 1), ({"UPSTASH_REDIS_REST_TOKEN": "t"}, 1), ({}, 0)):
        told: list[str] = []
        with limits(settings(env), told.append) as held:
            for _ in range(12):
                Turnstile(held, wait=False, say=told.append).take("ada\nx")
        assert len(told) == count


def test_limited(light: Desk) -> None:
    """`ask` that is limited exits 7 and keeps nothing; the limit is the operator's own."""
    with upstash() as redis, limits(redis.settings, print) as held:
        light("ask", "hello", env=redis.env)
        used_up(held, "ada")
        assert "chat:ada has had" in light("ask", "hello", env=redis.env, exit=7).err
        light("ask", "hello", env={**redis.env, "AURA_OPERATOR": "grace"})
    assert {one.operator for one in light.sessions()} == {"ada", "grace"}
    assert len(light.messages()) == 4


def test_waited_for(light: Desk) -> None:
    """`ask --wait` says that it waits, and is answered; it need not where a window has just ended."""
    with upstash() as redis, limits(redis.settings, print) as held:
        for _ in range(3):
            used_up(held, "ada")
            if "waiting" in light("ask", "hello", "--wait", env=redis.env).err:
                break
        else:
            pytest.fail("it never waited")
    assert light.messages()[-1].state == "complete"


def test_no_model_without_a_key() -> None:
    """Nobody to ask; a key with odd characters is a configuration error, not a crash."""
    assert model_of(settings({})) is None
    made = model_of(settings({"OPENAI_API_KEY": "sk-ключ"}))
    assert isinstance(made, Model)
    with pytest.raises(AuraError), made.service:
        pass
