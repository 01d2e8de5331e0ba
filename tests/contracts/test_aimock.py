"""Chat against aimock's OpenAI and OpenRouter, which others wrote."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from aura_cli.db.migrate import upgrade
from tests.parts.migrated import engine_of
from tests.parts.outside import Outside, node_script
from tests.parts.program import Aura, Completed

KEY = "sk-test-aimock-0000000000"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
LONG = 'A longer answer, in many words, 漢字 and 👩‍👩‍👧, "quotes" and \\ too. ' * 20


def fixture(asked: str, response: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"match": {"userMessage": asked}, "response": response, **more}


FIXTURES = [
    fixture("hello", {"content": "Hello **there**", "usage": USAGE}),
    fixture("long", {"content": LONG}),
    fixture("cut", {"content": LONG}, truncateAfterChunks=5, latency=20),
    fixture("garbled", {"content": LONG}, chaos={"malformedRate": 1}),
    fixture(
        "refused",
        {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}, "status": 429, "retryAfter": 3600},
    ),
    fixture("wrong key", {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}, "status": 401}),
    fixture("short", {"content": "No more", "finishReason": "length"}),
    fixture("routed", {"content": "By way of OpenRouter", "usage": {**USAGE, "cost": 0.000321}}, openRouterProcessing=True),
]


@dataclass(frozen=True)
class Desk:
    aura: Aura
    env: Mapping[str, str]
    mock: Outside

    def ask(self, *words: str, **env: str) -> Completed:
        return self.aura("chat", "ask", *words, env={**self.env, **env})

    def requests(self) -> list[Any]:
        """What aimock was asked so far."""
        self.mock.tell("requests")
        found: list[Any] = self.mock.hear()
        return found


@pytest.fixture
def desk(aura: Aura, sqlite_database: str) -> Iterator[Desk]:
    with engine_of(sqlite_database) as engine:
        upgrade(engine)
    with node_script("aimock.mjs", json.dumps(FIXTURES)) as mock:
        env = {"DATABASE_URL": sqlite_database, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{mock.base}/v1"}
        yield Desk(aura, env, mock)


def test_answers(desk: Desk) -> None:
    """Streams arrive whole, usage and cost are the service's and the table's, a session goes on."""
    found = desk.ask("hello", "--json").json
    assert (found["source"], found["message"]["content"], found["finish"]) == ("model", "Hello **there**", "stop")
    assert (found["usage"]["input_tokens"], found["usage"]["output_tokens"], found["cost"]) == (1000, 200, "0.00027")
    assert desk.ask("long", "-c").out == LONG + "\n"
    assert desk.ask("short", "-c", "--json").json["finish"] == "length"
    requests = desk.requests()
    assert [one["role"] for one in requests[-1]["body"]["messages"]] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert requests[0]["body"]["stream_options"] == {"include_usage": True}


def test_trouble(desk: Desk) -> None:
    """A stream that is cut keeps what came; what cannot be read, a limit and a wrong key give the canned answer, or their exit codes."""
    cut = desk.ask("cut", "--json")
    assert (cut.exit, cut.json["message"]["state"]) in ((7, "interrupted"), (8, "interrupted"))
    assert LONG.startswith(cut.json["message"]["content"])
    for words, code in (("garbled", 7), ("refused", 7), ("wrong key", 4)):
        assert desk.ask(words, "--json").json["source"] == "fallback"
        assert desk.ask(words, "--no-fallback").exit == code


def test_openrouter(desk: Desk) -> None:
    """Its comments are read over, and what it says it cost is what it cost."""
    done = desk.ask("routed", "--json", OPENROUTER_API_KEY=KEY, OPENROUTER_BASE_URL=f"{desk.mock.base}/api/v1")
    assert done.exit == 0, done.err
    assert (done.json["message"]["content"], done.json["source"]) == ("By way of OpenRouter", "model")
    assert done.json["cost"] == "0.000321"
    assert desk.requests()[-1]["body"]["model"] == "openai/gpt-4o-mini"
