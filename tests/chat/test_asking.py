"""One question, one answer: what comes back, what is kept, what the next process goes on with."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine

from aura_cli.chat import sessions
from aura_cli.chat.asking import Assistant, Question
from aura_cli.chat.model import Wish
from aura_cli.db.engine import writing
from aura_cli.db.shared import integrations, subscriptions, users
from aura_cli.sandbox.openai.state import Model
from tests.chat.conftest import Desk, said

ADA = "11111111-1111-4111-8111-111111111111"


def test_an_answer(desk: Desk) -> None:
    """JSON says whose session, what was answered by whom, tokens by the service's own count, the exact cost and how long it took."""
    found = desk.ask("hello")
    assert {"session", "message", "source", "model", "usage", "cost", "duration_s"} <= found.keys()
    assert (found["source"], found["model"]) == ("model", "gpt-4o-mini-2024-07-18")
    assert found["message"]["content"].startswith("You said: **hello**")
    assert (found["message"]["number"], found["message"]["state"], found["message"]["error"]) == (2, "complete", None)
    usage = found["usage"]
    exact = (Decimal("0.15") * usage["input_tokens"] + Decimal("0.60") * usage["output_tokens"]) / 1_000_000
    assert Decimal(found["cost"]) == exact > 0
    asked = desk.model.asked[0]
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("gpt-4o-mini", 1000, 0.7)
    [session] = desk.sessions()
    assert (session.id, session.title, session.operator, session.turns, session.cost) == (
        found["session"],
        "hello",
        "ada",
        1,
        found["cost"],
    )
    assert [(one.role, one.state) for one in desk.messages()] == [("user", "complete"), ("assistant", "complete")]


def test_text(light: Desk) -> None:
    """In a pipe the answer alone is on standard output, as it came; -q leaves it there."""
    light.model.says("Some **bold** words", times=0)
    done = light("ask", "how", "are", "you")
    assert (done.out, done.err) == ("Some **bold** words\n", "")
    assert light.messages()[0].content == "how are you"
    done = light("ask", "hello", "-q")
    assert (done.out, done.err) == ("Some **bold** words\n", "")


def test_going_on(desk: Desk) -> None:
    """A session goes on in another process: last, by the beginning of its id, by title; the model gets what was said before."""
    desk.model.says("Nice to meet you, Ada")
    first = desk.ask("My name is Ada")
    assert said(desk.model.asked[0]) == [("user", "My name is Ada")]
    for way in (["-c"], ["--session", first["session"][:8]], ["--session", "my name IS ada"], ["--session", "name is"]):
        before = len(desk.messages())
        desk.model.says("Ada")
        found = desk.ask("Who am I?", *way)
        assert (found["session"], found["message"]["number"]) == (first["session"], before + 2)
        assert said(desk.model.asked[-1])[:2] == [("user", "My name is Ada"), ("assistant", "Nice to meet you, Ada")]
        assert said(desk.model.asked[-1])[-1] == ("user", "Who am I?")
    [session] = desk.sessions()
    assert session.turns == 5
    costs = [Decimal(one.cost) for one in desk.messages() if one.role == "assistant"]
    assert Decimal(session.cost) == sum(costs)
    assert session.input_tokens == sum(one.input_tokens or 0 for one in desk.messages())


def test_whose_session(desk: Desk) -> None:
    """-c is the operator's own last session; a name that fits none, or several, tells what there is."""
    desk("ask", "alpha beta")
    desk("ask", "alpha gamma")
    assert "bob has no session" in desk("ask", "x", "-c", env={"AURA_OPERATOR": "bob"}, exit=5).err
    assert "alpha beta" in desk("ask", "x", "--session", "alpha", exit=2).err
    desk("ask", "x", "--session", "nowhere", exit=5)
    desk("ask", "x", "--session", "alpha beta", "-c", exit=2)
    assert len(desk.messages()) == 4


def test_system_and_model(light: Desk) -> None:
    """A system prompt holds for the session until there is another; the model stays the session's; reasoning models get what they take."""
    light("ask", "one", "--system", "Be brief", "--model", "gpt-4o", "--max-tokens", "50")
    light("ask", "two", "-c")
    light("ask", "three", "-c", "--system", "Be long")
    light("ask", "four", "-c", "--model", "o4-mini")
    systems = [request["messages"][0]["content"] for request in light.model.asked]
    assert systems == ["Be brief", "Be brief", "Be long", "Be long"]
    assert [request["model"] for request in light.model.asked] == ["gpt-4o", "gpt-4o", "gpt-4o", "o4-mini"]
    assert (light.model.asked[0]["max_tokens"], light.model.asked[3]["max_completion_tokens"]) == (50, 1000)
    assert "temperature" not in light.model.asked[3]


def test_an_unknown_model_has_no_cost(desk: Desk) -> None:
    """Tokens alone, and never nothing; the session's cost is then not known either."""
    desk.model.state.models["house-model"] = Model("house-model", 50_000, 10_000)
    found = desk.ask("hello", "--model", "house-model")
    assert (found["cost"], found["usage"]["input_tokens"] > 0) == (None, True)
    assert desk.sessions()[0].cost is None
    desk("ask", "again", "-c", "--model", "gpt-4o-mini")
    assert desk.sessions()[0].cost is None


def test_openrouter(light: Desk) -> None:
    """Its key is preferred, and models carry their vendor's name there; the price is that of the model."""
    light.model.state.models["openai/gpt-4o-mini"] = Model("openai/gpt-4o-mini", 128_000, 16_384)
    env = {"OPENAI_API_KEY": "sk-nothing-here", "OPENROUTER_API_KEY": light.model.state.api_key}
    found = light.ask("hello", env={**env, "OPENROUTER_BASE_URL": f"{light.model.base}/v1", "OPENAI_BASE_URL": ""})
    assert (light.model.asked[0]["model"], found["source"]) == ("openai/gpt-4o-mini", "model")
    assert Decimal(found["cost"]) > 0


def test_sources_of_a_prompt(light: Desk, tmp_path: Path) -> None:
    """Words, files and standard input make one prompt; nothing at all, and what is no text, is said."""
    notes = tmp_path / "notes.txt"
    notes.write_text("a file ``` with a fence\n")
    light("ask", "summarise", "-f", str(notes), input="from a pipe\n")
    assert light.messages()[0].content == "summarise\n\nnotes.txt:\n````\na file ``` with a fence\n````\n\nfrom a pipe"
    light("ask", input="only this")
    for arguments, piped in (((), ""), ((), " \n"), (("-f", str(tmp_path / "none")), None), (("-f", str(tmp_path)), None)):
        light("ask", *arguments, input=piped, exit=2)
    notes.write_bytes(b"\xff\xfe\x00")
    assert "no text" in light("ask", "x", "-f", str(notes), exit=2).err
    assert len(light.sessions()) == 2


def test_credentials_stay_here(light: Desk) -> None:
    """A configured secret, and what looks like a key, is neither sent nor kept."""
    done = light("ask", "why does whsec_abcdefgh123456 and hunter22secret fail", env={"RESEND_API_KEY": "hunter22secret"})
    assert "masked" in done.err
    assert said(light.model.asked[0]) == [("user", "why does whsec_**** and **** fail")]
    assert "hunter22" not in light.messages()[0].content


def test_a_dry_run(light: Desk) -> None:
    """-n shows what would be sent; nothing is sent, nothing is kept."""
    found = light("ask", "hello", "-n", "--json").json
    assert [one["role"] for one in found["messages"]] == ["system", "user"]
    assert "Nothing was sent" in light("ask", "hello", "-n").out
    assert (light.model.asked, light.sessions()) == ([], [])


def test_about_a_person(desk: Desk) -> None:
    """The model is told plan and connections as they are now, and neither name nor address nor id nor anything sealed."""
    with writing(desk.engine) as connection:
        connection.execute(users.insert().values(id=ADA, privy_user_id="did:privy:ada", email="ada@example.com", name="Ada Example"))
        connection.execute(
            subscriptions.insert().values(user_id=ADA, stripe_subscription_id="sub_1", status="active", stripe_price_id="price_pro")
        )
        connection.execute(
            integrations.insert().values(user_id=ADA, provider="slack", access_token="sealed:1", metadata={"team": "Secret"})
        )
    found = desk.ask("Why can they not log in?", "--user", "ada@example.com")
    system = desk.model.asked[0]["messages"][0]["content"]
    assert "Plan: active, price price_pro" in system
    assert "Connected integrations: slack" in system
    assert not any(
        part in json.dumps(desk.model.asked) for part in ("ada@example.com", "Ada", ADA, "did:privy", "sealed", "Secret", "sub_1")
    )
    assert desk.sessions()[0].user_id == ADA
    with writing(desk.engine) as connection:
        connection.execute(integrations.insert().values(user_id=ADA, provider="github"))
    desk("ask", "And now?", "-c")
    assert "github, slack" in desk.model.asked[1]["messages"][0]["content"]
    assert [one["id"] for one in desk("list", "--user", "ada@example.com", "--json").json] == [found["session"]]
    desk("ask", "x", "--user", "nobody@example.com", exit=5)
    desk("ask", "x", "--user", "ada@example.com", "-c", exit=2)
    with writing(desk.engine) as connection:
        connection.execute(users.delete())
    assert "not known here any more" in desk("ask", "Still?", "-c").err


def test_the_oldest_turns_go_unsent(desk: Desk) -> None:
    """What does not fit is left out, the oldest first, said so, and kept in the database."""
    for number in range(4):
        desk.model.says(f"answer {number} " + "word " * 300)
        desk("ask", f"question {number}", *(["-c"] if number else []))
    done = desk("ask", "the last", "-c", "--context", "2000", "--max-tokens", "100")
    assert "oldest" in done.err
    sent = said(desk.model.asked[-1])
    assert sent[-1] == ("user", "the last")
    assert ("user", "question 3") in sent
    assert ("user", "question 0") not in sent
    assert len(desk.messages()) == 10
    assert desk("ask", "more", "-c", "-n", "--json").json["dropped"] == 0
    few = desk("ask", "more", "-c", "-n", "--context", "900", "--json").json  # the answer's --max-tokens are not among these
    assert (few["dropped"] > 0, 400 < few["tokens"] <= 900) == (True, True)


def test_many_at_once(desk: Desk) -> None:
    """Processes that talk in one session at once never get the same number, and each answer follows its question."""
    first = desk.ask("start")
    desk.model.says("same", times=0, delay=0.3)
    ended: list[int] = []
    ask = ("chat", "ask", "--session", first["session"])
    threads = [
        threading.Thread(target=lambda number=number: ended.append(desk.aura(*ask, f"question {number}", env=desk.env).exit))
        for number in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [0] * 5
    rows = desk.messages()
    assert [one.number for one in rows] == list(range(1, 13))
    assert [one.role for one in rows] == ["user", "assistant"] * 6
    assert {one.state for one in rows} == {"complete"}
    [session] = desk.sessions()
    assert (session.turns, Decimal(session.cost)) == (6, sum(Decimal(one.cost) for one in rows if one.cost))


def test_a_turn_in_between(engine: Engine) -> None:
    """Whoever waits for somebody else's question gets that, too, and no turn is missed."""
    assistant = Assistant(engine, "ada", None, lambda: datetime.now(UTC), print)
    first, _ = assistant.ask(Question("start", Wish()), print)
    with ThreadPoolExecutor(1) as other:
        with writing(engine) as connection:
            sessions.hold(connection, first.session)
            waiting = other.submit(assistant.ask, Question("last", Wish(), first.session), print)
            time.sleep(0.5)
            sessions.ask(connection, first.session, "between", "gpt-4o-mini", None)
        answer, _ = waiting.result(30)
    assert (answer.dropped, answer.message.number) == (0, 6)


def test_what_is_no_text(desk: Desk) -> None:
    """Bytes on the command line that are no UTF-8 are asked, kept and looked for with signs in their place."""
    odd = os.fsdecode(b"a\xff")
    found = desk.ask(f"why {odd}?", "--system", odd)
    assert found["source"] == "model"
    assert [one["content"][:5] for one in desk.model.asked[0]["messages"]] == ["a���", "why a"]
    assert desk.ask("and now?", "--session", f"why {odd}", "--system", odd)["session"] == found["session"]
    assert desk("search", f"why {odd}", "--json").json
    assert desk("ask", odd, "--model", odd, "-n").out


def test_another_environment(light: Desk) -> None:
    """What was said belongs to one environment: asking from another stops before anything is sent."""
    light("ask", "hello", env={"AURA_ENV": "development"})
    assert "another environment" in light("ask", "hello", env={"AURA_ENV": "staging"}, exit=4).err
    assert len(light.model.asked) == 1


@pytest.mark.parametrize(
    "arguments", [("--temperature", "3"), ("--max-tokens", "0"), ("--context", "x"), ("--context", "99"), ("--timeout", "0")]
)
def test_options_out_of_range(light: Desk, arguments: tuple[str, ...]) -> None:
    """Told before anything is asked."""
    light("ask", "hello", *arguments, exit=2)
    assert light.model.asked == []
