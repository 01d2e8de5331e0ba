"""OpenAI's stand-in, with the official SDK as the judge of its shapes."""

import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from aura_cli.sandbox.openai.answers import pieces, tokens
from tests.parts.loopback import plain_client
from tests.parts.openai import Assistant, assistant

HELLO: Any = [{"role": "user", "content": "hello"}]
MODEL = "gpt-4o-mini"


@pytest.fixture
def stand_in() -> Iterator[Assistant]:
    """A stand-in of its own for each test."""
    with assistant() as found:
        yield found


@pytest.fixture
def sdk(stand_in: Assistant) -> Iterator[openai.OpenAI]:
    """The official client, led to it, that tries once."""
    with client(stand_in) as found:
        yield found


def client(stand_in: Assistant, **options: Any) -> openai.OpenAI:
    """The official client, which holds every answer to OpenAI's own description of it."""
    usual = {"api_key": stand_in.state.api_key, "base_url": f"{stand_in.base}/v1", "max_retries": 0, "timeout": 10}
    usual["_strict_response_validation"] = True
    return openai.OpenAI(**{**usual, "http_client": openai.DefaultHttpxClient(trust_env=False, verify=False), **options})


def complete(sdk: openai.OpenAI, **more: Any) -> ChatCompletion:
    found: ChatCompletion = sdk.chat.completions.create(**{"model": MODEL, "messages": HELLO, **more})
    return found


def chunks(sdk: openai.OpenAI, **more: Any) -> Iterator[ChatCompletionChunk]:
    with sdk.chat.completions.create(**{"model": MODEL, "messages": HELLO, "stream": True, **more}) as stream:
        yield from stream


def text(found: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in found if chunk.choices)


def test_an_answer_at_once(stand_in: Assistant, sdk: openai.OpenAI) -> None:
    """It quotes what was said, says what it is, and counts tokens; the model is named as OpenAI does, with its date."""
    found = complete(sdk, max_tokens=1000, temperature=0.7)
    assert (found.object, found.model, found.choices[0].finish_reason) == ("chat.completion", "gpt-4o-mini-2024-07-18", "stop")
    answer = found.choices[0].message
    assert answer.role == "assistant"
    assert answer.content
    assert answer.content.startswith("You said: **hello**")
    assert found.usage
    assert found.usage.prompt_tokens == 7
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens
    assert found.usage.completion_tokens == tokens(answer.content)
    assert stand_in.asked == [{"model": MODEL, "messages": HELLO, "max_tokens": 1000, "temperature": 0.7}]


@pytest.mark.parametrize("with_usage", [True, False])
def test_a_stream(stand_in: Assistant, sdk: openai.OpenAI, with_usage: bool) -> None:
    """The role first, a token a chunk, the reason of the end, and what it cost last: only when that was asked for."""
    found = list(chunks(sdk, stream_options={"include_usage": with_usage}))
    whole = complete(sdk)
    assert text(found) == whole.choices[0].message.content
    assert {chunk.id for chunk in found} == {found[0].id}
    assert found[0].choices[0].delta.role == "assistant"
    reasons = [chunk.choices[0].finish_reason for chunk in found if chunk.choices]
    assert (set(reasons[:-1]), reasons[-1]) == ({None}, "stop")
    assert [chunk.usage for chunk in found if chunk.usage] == ([whole.usage] if with_usage else [])
    assert bool(found[-1].choices) is not with_usage
    assert [(entry.ended, entry.chunks) for entry in stand_in.state.journal] == [("complete", len(reasons) - 2), ("complete", 0)]


def test_the_asynchronous_client_is_served_too(stand_in: Assistant) -> None:
    """The same stream for `AsyncOpenAI`."""
    import asyncio

    async def talk() -> str:
        http = openai.DefaultAsyncHttpxClient(trust_env=False)
        async with openai.AsyncOpenAI(http_client=http, api_key=stand_in.state.api_key, base_url=f"{stand_in.base}/v1") as sdk:
            stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
            return text([chunk async for chunk in stream])

    assert asyncio.run(talk()).startswith("You said: **hello**")


def test_an_answer_is_no_longer_than_asked_for(sdk: openai.OpenAI) -> None:
    """`max_tokens` cuts the usual answer, and `finish_reason` says so."""
    found = complete(sdk, max_tokens=5)
    assert found.choices[0].finish_reason == "length"
    assert found.usage
    assert found.usage.completion_tokens == 5


def test_scripts_are_played_in_their_order(stand_in: Assistant, sdk: openai.OpenAI) -> None:
    """Each as often as ordered, and only where it matches; what is ordered over HTTP and what a test orders is the same."""
    stand_in.says("two at most", match="weather", times=2)
    order = [{"text": "first", "cached_tokens": 4, "reasoning_tokens": 6}, {"text": "always", "times": 0}]
    base = f"{stand_in.base}/_sandbox/scripts"
    assert httpx.post(base, json=order, trust_env=False).json() == {"waiting": 3}
    weather: Any = [{"role": "user", "content": [{"type": "text", "text": "the weather"}, {"type": "text", "text": "?"}]}]
    first = complete(sdk)
    said = [complete(sdk, messages=weather).choices[0].message.content for _ in range(3)]
    assert [first.choices[0].message.content, *said] == ["first", "two at most", "two at most", "always"]
    assert first.usage
    assert first.usage.prompt_tokens_details
    assert first.usage.prompt_tokens_details.cached_tokens == 4
    assert first.usage.completion_tokens_details
    assert (first.usage.completion_tokens_details.reasoning_tokens, first.usage.completion_tokens) == (6, 7)
    assert [entry.script for entry in stand_in.state.journal] == [True] * 4
    assert [one["text"] for one in httpx.get(base, trust_env=False).json()] == ["always"]
    assert httpx.delete(base, trust_env=False).status_code == 204
    assert (complete(sdk).choices[0].message.content or "").startswith("You said")


@pytest.mark.parametrize(
    "wrong", [{"txet": "?"}, {"status": 99}, {"trouble": "flood"}, {"times": -1}, "nothing", [{"delay": "long"}]], ids=str
)
def test_a_script_that_cannot_be_played_is_refused(stand_in: Assistant, wrong: Any) -> None:
    """400, with what is wrong."""
    answer = httpx.post(f"{stand_in.base}/_sandbox/scripts", json=wrong, trust_env=False)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert stand_in.state.scripts == []


def test_models(sdk: openai.OpenAI) -> None:
    """A list, one of them, and one that there is not."""
    names = [model.id for model in sdk.models.list()]
    assert MODEL in names
    assert sdk.models.retrieve(MODEL).owned_by == "system"
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        sdk.models.retrieve("gpt-nothing")


@pytest.mark.parametrize(
    ("script", "error", "code"),
    [
        ({"status": 401}, openai.AuthenticationError, None),
        ({"status": 403}, openai.PermissionDeniedError, None),
        ({"status": 429}, openai.RateLimitError, "rate_limit_exceeded"),
        ({"status": 429, "code": "insufficient_quota"}, openai.RateLimitError, "insufficient_quota"),
        ({"status": 500}, openai.InternalServerError, None),
        ({"status": 503}, openai.InternalServerError, None),
        ({"trouble": "cut"}, openai.APIConnectionError, None),
        ({"trouble": "error"}, openai.InternalServerError, None),
        ({"trouble": "silence"}, openai.APITimeoutError, None),
    ],
    ids=str,
)
def test_trouble_with_an_answer_at_once(
    stand_in: Assistant, script: dict[str, Any], error: type[openai.APIError], code: str | None
) -> None:
    """Each is the exception that the SDK has for it; once, and then all is well."""
    stand_in.says("hello yourself", **script)
    with client(stand_in, timeout=0.5) as sdk:
        with pytest.raises(error) as raised:
            complete(sdk)
        assert raised.value.code == code
        assert complete(sdk).choices[0].message.content


def test_an_answer_that_cannot_be_read(stand_in: Assistant, sdk: openai.OpenAI) -> None:
    """A page instead of JSON, with 200: the SDK has no exception of its own for it."""
    stand_in.says(trouble="not_json")
    with pytest.raises(ValueError, match="Expecting value"):
        complete(sdk)


@pytest.mark.parametrize(
    ("trouble", "error"),
    [("cut", openai.APIConnectionError), ("not_json", ValueError), ("error", openai.APIError), ("silence", openai.APITimeoutError)],
)
def test_trouble_in_the_middle_of_a_stream(stand_in: Assistant, trouble: str, error: type[Exception]) -> None:
    """What came before it has arrived."""
    stand_in.says("one two three four five", trouble=trouble, after=2)
    with client(stand_in, timeout=0.5) as sdk:
        stream = chunks(sdk)
        assert text([next(stream) for _ in range(3)]) == "one two"
        with pytest.raises(error):
            next(stream)


def test_a_stream_that_ends_too_soon(stand_in: Assistant, sdk: openai.OpenAI) -> None:
    """Nothing is wrong with the connection, but no reason of the end came."""
    stand_in.says("one two three", trouble="short", after=1)
    found = list(chunks(sdk))
    assert (text(found), {chunk.choices[0].finish_reason for chunk in found}) == ("one", {None})
    assert stand_in.state.journal[0].ended == "cut"


@pytest.mark.parametrize("after", [None, 0.2, "0.3", formatdate(0, usegmt=True)], ids=["none", "number", "text", "date"])
def test_retry_after(stand_in: Assistant, after: float | str | None) -> None:
    """The header says what was ordered, or is not there; the SDK's second try arrives, and counts itself."""
    stand_in.says(status=429, retry_after=after)
    stand_in.says("the second time")
    seen: list[str | None] = []
    http = openai.DefaultHttpxClient(
        trust_env=False, event_hooks={"response": [lambda response: seen.append(response.headers.get("retry-after"))]}
    )
    with client(stand_in, max_retries=1, http_client=http) as sdk:
        assert complete(sdk).choices[0].message.content == "the second time"
    assert seen == [None if after is None else str(after), None]
    assert [(entry.status, entry.retry) for entry in stand_in.state.journal] == [(429, 0), (200, 1)]


def test_a_slow_answer(stand_in: Assistant, sdk: openai.OpenAI) -> None:
    """`delay` before the first byte, `rate` chunks a second after it."""
    stand_in.says("a b c d e", delay=0.2, rate=20)
    begun = time.monotonic()
    moments = [time.monotonic() - begun for _ in chunks(sdk)]
    assert moments[0] >= 0.2
    assert moments[-1] - moments[0] >= 0.19


def test_who_does_not_wait_is_seen(stand_in: Assistant, sdk: openai.OpenAI) -> None:
    """A stream that is closed by the client stops, and the journal says how far it came."""
    stand_in.says("word " * 1000, rate=50)
    for number, _ in enumerate(chunks(sdk)):
        if number == 3:
            break
    entry = stand_in.state.journal[0]
    late = time.monotonic() + 10
    while not entry.ended and time.monotonic() < late:
        time.sleep(0.02)
    assert (entry.ended, 2 <= entry.chunks < 100) == ("left", True)
    shown = httpx.get(f"{stand_in.base}/_sandbox/journal", trust_env=False).json()
    assert [(one["path"], one["ended"], one["request"]["stream"]) for one in shown] == [("/v1/chat/completions", "left", True)]
    assert httpx.delete(f"{stand_in.base}/_sandbox/journal", trust_env=False).status_code == 204
    assert stand_in.state.journal == []


@pytest.mark.parametrize("streamed", [True, False])
def test_long_and_wild_answers_arrive_as_they_are(stand_in: Assistant, sdk: openai.OpenAI, streamed: bool) -> None:
    """200,000 characters, escapes of a terminal, characters of several code points: byte for byte, whatever the limit."""
    wild = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \u202eabc 👩‍🚀 e\u0301 \x00 "
    for said in (wild, "0123456789" * 20_000):
        stand_in.says(said, chunk=1000 if len(said) > 1000 else 1)
        got = text(list(chunks(sdk, max_tokens=10))) if streamed else complete(sdk, max_tokens=10).choices[0].message.content
        assert got == said


@pytest.mark.parametrize(
    ("more", "error", "param", "code"),
    [
        ({"model": "gpt-nothing"}, openai.NotFoundError, None, "model_not_found"),
        ({"messages": []}, openai.BadRequestError, "messages", "invalid_value"),
        ({"messages": [{"role": "robot", "content": "x"}]}, openai.BadRequestError, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, openai.BadRequestError, "messages[0].content", "missing_required_parameter"),
        ({"temperature": 3}, openai.BadRequestError, "temperature", "invalid_value"),
        ({"temperature": "hot"}, openai.BadRequestError, "temperature", "invalid_type"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens", "invalid_value"),
        ({"max_tokens": 16_385}, openai.BadRequestError, "max_tokens", "invalid_value"),
        ({"extra_body": {"tempreature": 1}}, openai.BadRequestError, None, None),
        ({"stream_options": {"include_usage": True}}, openai.BadRequestError, "stream_options", None),
        ({"model": "o4-mini", "max_tokens": 10}, openai.BadRequestError, "max_tokens", "unsupported_parameter"),
        ({"model": "o4-mini", "temperature": 0.7}, openai.BadRequestError, "temperature", "unsupported_value"),
        ({"messages": [{"role": "user", "content": "x" * 1_000_000}]}, openai.BadRequestError, "messages", "context_length_exceeded"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_asked(sdk: openai.OpenAI, more: dict[str, Any], error: type[openai.APIStatusError], param: str, code: str) -> None:
    """Refused with OpenAI's type, parameter and code."""
    with pytest.raises(error) as raised:
        complete(sdk, **more)
    assert (raised.value.type, raised.value.param, raised.value.code) == ("invalid_request_error", param, code)


@pytest.mark.parametrize(("key", "shown"), [("sk-of-somebody-else-0000", "sk-of-so********0000"), ("short", "*****")])
def test_another_key(stand_in: Assistant, key: str, shown: str) -> None:
    """401, and the key is not said whole."""
    with client(stand_in, api_key=key) as sdk, pytest.raises(openai.AuthenticationError) as raised:
        complete(sdk)
    assert raised.value.code == "invalid_api_key"
    assert f"provided: {shown}." in raised.value.message
    assert stand_in.state.journal == []


def test_requests_that_no_sdk_makes(stand_in: Assistant) -> None:
    """No key, no JSON, nowhere: OpenAI's shape all the same."""
    allowed = {"Authorization": f"Bearer {stand_in.state.api_key}"}
    with plain_client(base_url=stand_in.base) as http:
        answers = [
            http.post("/v1/chat/completions", json={}),
            http.post("/v1/chat/completions", content=b"{", headers=allowed),
            http.post("/v1/chat/completions", content=b"[]", headers=allowed),
            http.get("/v1/nowhere", headers=allowed),
            http.get("/v1/chat/completions", headers=allowed),
        ]
    assert [answer.status_code for answer in answers] == [401, 400, 400, 404, 405]
    assert {answer.json()["error"]["type"] for answer in answers} == {"invalid_request_error"}


@pytest.mark.parametrize(("fault", "error"), [("too_many", openai.RateLimitError), ("server_error", openai.InternalServerError)])
def test_faults_have_openai_s_shape(stand_in: Assistant, sdk: openai.OpenAI, fault: str, error: type[openai.APIStatusError]) -> None:
    """Those that come at a rate, as at every stand-in."""
    stand_in.faults.change({fault: 1})
    with pytest.raises(error) as raised:
        complete(sdk)
    assert raised.value.type in ("requests", "server_error")


@pytest.mark.parametrize("fault", ["cut_before", "cut_half"])
def test_faults_cut_streams_too(stand_in: Assistant, sdk: openai.OpenAI, fault: str) -> None:
    """Half of the text, or none of it, and then the end of the connection."""
    stand_in.faults.change({fault: 1})
    stand_in.says("one two three four")
    got: list[ChatCompletionChunk] = []
    with pytest.raises(openai.APIConnectionError):
        got.extend(chunks(sdk))
    assert text(got) == {"cut_before": "", "cut_half": "one two"}[fault]


@given(said=st.text(max_size=300), size=st.integers(0, 9))
def test_pieces_make_the_whole(said: str, size: int) -> None:
    """Whatever the text, its chunks put together are it; as many as its tokens where no size is ordered."""
    found = pieces(said, size)
    assert "".join(found) == said
    assert "" not in found
    assert size or len(found) == tokens(said)
