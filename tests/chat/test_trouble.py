"""What goes wrong with a model, on the way to it, and with what it says."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aura_cli.chat.fallback import canned
from aura_cli.sandbox.openai.state import Model
from tests.chat.conftest import Desk
from tests.parts.service import free_port

CUTS = [("cut", 8), ("not_json", 7), ("error", 7), ("short", 7)]
BROKEN = [({"status": 500}, 7), ({"status": 429}, 7), ({"status": 401}, 4), ({"trouble": "cut", "after": 0}, 8)]


@pytest.mark.parametrize(("trouble", "exit"), CUTS)
def test_a_stream_that_breaks_off(desk: Desk, trouble: str, exit: int) -> None:  # noqa: A002
    """What came is shown, kept and marked; it is not asked again, and no canned answer is put behind it."""
    desk.model.says("one two three four five six", trouble=trouble, after=3)
    done = desk("ask", "count", exit=exit)
    assert done.out == "one two three\n"
    [question, answer] = desk.messages()
    assert (question.content, answer.content, answer.state, answer.source) == ("count", "one two three", "interrupted", "model")
    assert (answer.cost, answer.input_tokens, desk.sessions()[0].cost) == (None, None, None)
    assert answer.error
    assert len(desk.model.asked) == 1
    desk.model.says("four")
    found = desk.ask("go on", "-c")
    assert desk.model.asked[1]["messages"][-2] == {"role": "assistant", "content": "one two three"}
    assert (found["message"]["state"], desk.sessions()[0].cost) == ("complete", None)


def test_a_stream_that_breaks_off_as_json(light: Desk) -> None:
    """The object is there, with what came and why it ended, and so is the exit code."""
    light.model.says("one two three four", trouble="cut", after=2)
    done = light("ask", "count", "--json", exit=8)
    message = done.json["message"]
    assert (message["content"], message["state"]) == ("one two", "interrupted")
    assert "broke off" in message["error"]
    assert json.loads(done.err.splitlines()[-1])["error"]["kind"] == "unreachable"


def test_a_model_that_is_not_there(light: Desk) -> None:
    """A name that is misspelt is nobody's outage: no canned answer, exit 5, and what to do."""
    light.model.says("x", times=0, status=404)
    done = light("ask", "really", "--model", "gpt-4o-mimi", exit=5)
    assert (done.out, "--model" in done.err) == ("", True)
    assert [(one.role, one.state) for one in light.messages()] == [("user", "complete"), ("assistant", "failed")]


def test_silence(light: Desk) -> None:
    """A model that says nothing more is given up after --timeout."""
    light.model.says("one two three four", trouble="silence", after=2)
    begun = time.monotonic()
    assert light("ask", "count", "--timeout", "0.7", exit=8).out == "one two\n"
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize(("trouble", "exit"), BROKEN)
def test_no_answer(light: Desk, trouble: dict[str, Any], exit: int) -> None:  # noqa: A002
    """Without an answer there is a canned one, marked as such, exit 0; with --no-fallback the reason's exit code. The question stays."""
    light.model.says("x", times=0, **trouble)
    found = light.ask("what about a refund?")
    assert (found["source"], found["message"]["content"], found["usage"], found["cost"]) == ("fallback", canned("refund"), None, None)
    assert found["message"]["error"]
    done = light("ask", "what about a refund?")
    assert "canned answer (source: fallback)" in done.err
    assert done.out == canned("refund") + "\n"
    failed = light("ask", "really", "--no-fallback", exit=exit)
    assert failed.out == ""
    rows = light.messages()
    assert [(one.role, one.state, one.source) for one in rows if one.content in ("really", "")] == [
        ("user", "complete", None),
        ("assistant", "failed", None),
    ]
    assert {one.cost for one in light.sessions()} == {"0"}


def test_trying_again(light: Desk) -> None:
    """A 429 and a 500 pass: asked again, after Retry-After where there is one, and answered."""
    light.model.says(status=429, retry_after=0.6)
    light.model.says(status=500)
    begun = time.monotonic()
    done = light("ask", "hello", "--json")
    assert done.json["source"] == "model"
    assert (len(light.model.asked), done.err.count("Trying again")) == (3, 2)
    assert time.monotonic() - begun > 0.6


@pytest.mark.parametrize(
    "trouble", [{"retry_after": 3600.0}, {"code": "insufficient_quota"}, {"retry_after": "Wed, 01 Jan 2098 00:00:00 GMT"}]
)
def test_not_worth_waiting(light: Desk, trouble: dict[str, Any]) -> None:
    """An empty account, and a wait of an hour, end it at the first try."""
    light.model.says(status=429, **trouble)
    assert light.ask("hello")["source"] == "fallback"
    assert len(light.model.asked) == 1


def test_nobody_there(light: Desk) -> None:
    """A port where nobody listens, an address that is none, a web page instead of a stream."""
    gone = {"OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}
    assert light.ask("hello", env=gone)["source"] == "fallback"
    light("ask", "hello", "--no-fallback", env=gone, exit=8)
    light("ask", "hello", env={"OPENAI_BASE_URL": "ftp://nowhere"}, exit=4)
    assert "base address" in light("ask", "hello", env={"OPENAI_BASE_URL": f"{light.model.base}/nowhere"}, exit=5).err


def test_without_a_key(light: Desk) -> None:
    """The canned answer, chosen by keyword; with --no-fallback a configuration is missing, and nothing is kept."""
    without = {"OPENAI_API_KEY": ""}
    assert light.ask("which webhooks are dead?", env=without)["message"]["content"] == canned("webhooks")
    assert canned("which webhooks are dead?") == canned("webhooks") != canned("hello") != canned("what is the meaning of it all?")
    light("ask", "hello", "--no-fallback", env=without, exit=4)
    assert (len(light.messages()), light.model.asked) == (2, [])
    light.model.says("here again")
    light("ask", "and now?", "-c")
    assert "canned" not in json.dumps(light.model.asked[0]["messages"])


def test_a_long_answer(desk: Desk) -> None:
    """200,000 characters arrive whole, are kept whole, and can be searched, their end included."""
    desk.model.says("lorem ipsum ", repeat=16_660, chunk=100)
    done = desk("ask", "everything", "--max-tokens", "16000")
    assert len(done.out) == 12 * 16_660 + 1
    assert desk.messages()[1].content == "lorem ipsum " * 16_660
    assert len(desk("search", "ipsum", "--json").json) == 1


def test_a_cut_answer_is_told(light: Desk) -> None:
    """An answer that --max-tokens ended says so."""
    found = light("ask", "hello " * 20, "--max-tokens", "5", "--json")
    assert found.json["finish"] == "length"
    assert "cut at --max-tokens 5" in found.err


def test_nothing_drives_the_terminal(desk: Desk) -> None:
    """Control characters, escapes and direction marks of an answer are shown harmless; what is kept is what came, but for NUL."""
    nasty = "a\x1b[2J\x1b]0;title\x07b\x9bc\x00d\u202ee\r\nf"
    desk.model.says(nasty, chunk=3)
    done = desk("ask", "be nasty")
    assert done.out == "a�[2J�]0;title�b�c�d�e�\nf\n"
    kept = desk.messages()[1].content
    assert kept == nasty.replace("\0", "�")
    for view in (("show", "nasty"), ("export", "nasty"), ("search", "title"), ("list",)):
        shown = desk(*view).out
        assert view[0] == "export" or not any(sign in shown for sign in "\x1b\x07\x9b\u202e")
    assert desk("export", "nasty", "--format", "json").json["messages"][1]["content"] == kept


def test_odd_prompts(desk: Desk) -> None:
    """NUL, emoji and odd line ends are no trouble for either database."""
    desk("ask", input="nul \0 and 👩‍👩‍👧 and \u2028 line")
    assert desk.messages()[0].content == "nul � and 👩‍👩‍👧 and \u2028 line"
    assert desk.model.asked[0]["messages"][-1]["content"] == "nul � and 👩‍👩‍👧 and \u2028 line"


def test_a_prompt_of_a_megabyte(desk: Desk, tmp_path: Path) -> None:
    """Refused where no context of the model holds it, before anything is sent or kept; taken by a model that does."""
    words = tmp_path / "words.txt"
    words.write_text(" ".join(f"{number:07x}" for number in range(125_000)))
    refused = desk("ask", "summarise", "-f", str(words), exit=2)
    assert "128" in refused.err or "127" in refused.err
    assert (desk.model.asked, desk.sessions()) == ([], [])
    desk.model.says("short")
    desk.model.state.models["gpt-4.1"] = Model("gpt-4.1-2025-04-14", 2_000_000, 32_768)
    desk("ask", "summarise", "--model", "gpt-4.1", input=words.read_text())
    assert len(desk.messages()[0].content) > 990_000
    assert desk("search", "0000007", "--json").json


def test_a_prompt_of_one_word(desk: Desk) -> None:
    """A megabyte without a space is taken or refused as any other, and what was said beside it is found."""
    word = "aB3_" * 250_000
    assert "tokens or more" in desk("ask", input=word, exit=2).err
    desk.model.says("a remarkable word")
    desk.model.state.models["gpt-4.1"] = Model("gpt-4.1-2025-04-14", 2_000_000, 32_768)
    desk("ask", "--model", "gpt-4.1", input=word)
    assert desk.messages()[0].content == word
    assert len(desk("search", "remarkable", "--json").json) == 1


def test_standard_input_is_closed(light: Desk) -> None:
    """A prompt that was to come from there is missing; one on the command line is enough."""
    for arguments, code in (([], 2), (["hello"], 0)):
        command = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "aura_cli", "chat", "ask", *arguments]
        environment = {**light.aura.environment, **light.env}
        done = subprocess.run(command, env=environment, cwd=light.aura.work, capture_output=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped(desk: Desk, number: signal.Signals, code: int) -> None:
    """Ctrl-C keeps what came."""
    desk.model.says("word " * 400, rate=40)
    running = desk.aura.start("chat", "ask", "talk", env=desk.env)
    assert running.stdout
    assert running.stdout.read(20)
    running.send_signal(number)
    _, told = running.communicate(timeout=30)
    assert (running.returncode, "Stopped at a safe point" in told) == (code, True)
    [_, answer] = desk.messages()
    assert answer.state == "interrupted"
    assert answer.content.strip().startswith("word word word")
    assert len(answer.content.strip()) >= 15
    assert "interrupted by" in answer.error


def test_killed(desk: Desk) -> None:
    """kill -9 in the middle of an answer: the question is there, and of the answer all but the last moments."""
    desk.model.says("word " * 4000, rate=40)
    running = desk.aura.start("chat", "ask", "talk", env=desk.env)
    assert running.stdout
    until = time.monotonic() + 30
    while not any(one.content for one in desk.messages() if one.role == "assistant"):
        assert time.monotonic() < until
        time.sleep(0.2)
    running.kill()
    running.communicate()
    [question, answer] = desk.messages()
    assert (question.content, question.state, answer.state) == ("talk", "complete", "interrupted")
    assert answer.content.startswith("word word")
    assert desk.sessions()[0].cost is None


def test_a_reader_that_has_enough(light: Desk) -> None:
    """`| head -c` ends the showing; the answer is kept whole."""
    light.model.says("word\n" * 3000, rate=3000)
    running = light.aura.start("chat", "ask", "talk", env=light.env)
    assert running.stdout
    running.stdout.read(5)
    running.stdout.close()
    assert running.wait(60) == 0
    assert light.messages()[1].content == "word\n" * 3000


def test_deleted_meanwhile(desk: Desk) -> None:
    """The answer is shown all the same, and it is said that it could not be kept."""
    desk.model.says("too late", delay=3)
    running = desk.aura.start("chat", "ask", "talk", env=desk.env)
    until = time.monotonic() + 20
    while not desk.sessions():
        assert time.monotonic() < until
        time.sleep(0.05)
    desk("delete", "talk", "--yes")
    out, told = running.communicate(timeout=30)
    assert (running.returncode, out) == (5, "too late\n")
    assert "deleted" in told
    assert desk.messages() == []
