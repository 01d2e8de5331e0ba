"""The conversation in a pseudo terminal, as a person has it."""

import stat
import time
from collections.abc import Iterator

import pytest

from tests.chat.conftest import Desk
from tests.chat.conversation import Terminal, terminal

ENTER, NEW_LINE, CTRL_C, CTRL_D, UP = "\r", "\x1b\r", "\x03", "\x04", "\x1b[A"


@pytest.fixture
def talk(light: Desk) -> Iterator[Terminal]:
    """A conversation that waits for its first question."""
    with terminal(light.aura, "chat", "repl", env=light.env) as found:
        found.wait("you>")
        yield found


def test_talking(light: Desk, talk: Terminal) -> None:
    """Question and answer, and again; several lines make one question; Ctrl-D leaves. All of it is one session."""
    light.model.says("Hello **Ada**")
    talk.type("My name is Ada" + ENTER)
    talk.wait("Hello Ada")
    talk.wait("you>")
    talk.type("first line" + NEW_LINE + "second line" + ENTER)
    talk.wait("You said:")
    talk.wait("you>")
    talk.type(CTRL_D)
    assert talk.end() == 0
    rows = light.messages()
    assert [(one.number, one.role) for one in rows] == [(1, "user"), (2, "assistant"), (3, "user"), (4, "assistant")]
    assert (rows[0].content, rows[1].content, rows[2].content) == ("My name is Ada", "Hello **Ada**", "first line\nsecond line")
    assert [one["role"] for one in light.model.asked[1]["messages"]] == ["system", "user", "assistant", "user"]


def test_pasting_several_lines(light: Desk, talk: Terminal) -> None:
    """What is pasted is one question, however many lines it has."""
    talk.type("\x1b[200~one\ntwo\n\nthree\x1b[201~" + ENTER)
    talk.wait("You said:")
    assert light.messages()[0].content == "one\ntwo\n\nthree"


def test_history(light: Desk) -> None:
    """What was asked comes back with the arrow, in the next conversation too; its file is the person's alone."""
    for number in range(2):
        with terminal(light.aura, "chat", "repl", env=light.env) as talk:
            talk.wait("you>")
            talk.type("the one question" + ENTER if not number else UP + ENTER)
            talk.wait("You said:")
            talk.wait("you>")
            talk.type(CTRL_D)
            assert talk.end() == 0
    assert [one.content for one in light.messages() if one.role == "user"] == ["the one question"] * 2
    history = light.aura.directory / "data" / "chat_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_credentials_stay_here(light: Desk) -> None:
    """A configured secret, and what looks like a key, is neither sent nor kept: question, system prompt, title, what was typed."""
    env = {**light.env, "RESEND_API_KEY": "hunter22secret"}
    with terminal(light.aura, "chat", "repl", "--system", "Say hunter22secret", env=env) as talk:
        talk.wait("masked")
        talk.wait("you>")
        for typed, shown in (
            ("why does whsec_abcdefgh123456 and hunter22secret fail", "You said:"),
            ("/title my hunter22secret", "Title: my ****"),
            ("/system keep hunter22secret", "sets this system prompt"),
            ("again", "You said: again"),
        ):
            talk.type(typed + ENTER)
            talk.wait(shown)
            talk.wait("you>")
        talk.type(CTRL_D)
        assert talk.end() == 0
    history = (light.aura.directory / "data" / "chat_history").read_text()
    asked = [one["content"] for request in light.model.asked for one in request["messages"] if one["role"] != "assistant"]
    assert asked[:2] == ["Say ****", "why does whsec_**** and **** fail"]
    assert asked[2] == "keep ****"
    kept = [one.content for one in light.messages()] + [f"{one.title} {one.system}" for one in light.sessions()]
    assert not any(secret in text for secret in ("hunter22", "abcdefgh") for text in (*kept, *asked, history))
    assert "why does whsec_**** and **** fail" in history


def test_ctrl_c_twice(light: Desk, talk: Terminal) -> None:
    """The first stops the answer and keeps what came; the second leaves."""
    light.model.says("word " * 4000, rate=50)
    talk.type("talk" + ENTER)
    talk.wait("word word word")
    talk.type(CTRL_C)
    talk.wait("Stopped; what came is kept")
    talk.wait("you>")
    [_, answer] = light.messages()
    assert (answer.state, answer.content.startswith("word word")) == ("interrupted", True)
    talk.type(CTRL_C)
    assert talk.end() == 0


def test_ctrl_c_at_the_prompt(light: Desk, talk: Terminal) -> None:
    """It clears what was typed; on an empty line it asks for a second one, and typing anything takes that back."""
    talk.type("never mind" + CTRL_C)
    time.sleep(0.3)
    talk.type("hello" + ENTER)
    talk.wait("You said: hello")
    talk.wait("you>")
    talk.type(CTRL_C)
    talk.wait("again leaves")
    talk.wait("you>")
    talk.type("once more" + ENTER)
    talk.wait("You said: once more")
    talk.wait("you>")
    talk.type(CTRL_C)
    talk.wait("again leaves")
    talk.wait("you>")
    talk.type(CTRL_C)
    assert talk.end() == 0
    assert [one.content for one in light.messages() if one.role == "user"] == ["hello", "once more"]


@pytest.mark.parametrize("answering", [True, False])
def test_terminated(light: Desk, talk: Terminal, answering: bool) -> None:
    """SIGTERM ends it, in the middle of an answer, which is kept, and at the prompt."""
    if answering:
        light.model.says("word " * 4000, rate=50)
        talk.type("talk" + ENTER)
        talk.wait("word word word")
    talk.process.terminate()
    assert talk.end() == 143
    assert [one.state for one in light.messages() if one.role == "assistant"] == (["interrupted"] if answering else [])


def test_commands(light: Desk, talk: Terminal) -> None:
    """Help, model, system prompt, title, usage, a new session; what is no command is told; // asks what begins with a stroke."""
    for typed, shown in (
        ("/help", "begins a new line"),
        ("/usage", "no session yet"),
        ("/nonsense", "There is no /nonsense"),
        ("/model gpt-4o", "Model: gpt-4o"),
        ("/system Be brief", "sets this system prompt"),
        ("//etc is what?", "You said: /etc is what?"),
        ("/title My talk", "Title: My talk"),
        ("/usage", "'My talk': 1 turns"),
        ("/new", "begins a new session"),
        ("again", "You said: again"),
    ):
        talk.type(typed + ENTER)
        talk.wait(shown)
        talk.wait("you>")
    talk.type("/quit" + ENTER)
    assert talk.end() == 0
    assert {one.title for one in light.sessions()} == {"My talk", "again"}
    first = light.model.asked[0]
    assert (first["model"], first["messages"][0]["content"]) == ("gpt-4o", "Be brief")


def test_resized(light: Desk, talk: Terminal) -> None:
    """A window that changes its size in the middle of an answer, and at the prompt, ends nothing."""
    light.model.says("A rather long paragraph of words that wraps. " * 30 + "\n\nThe end.", rate=120)
    talk.type("talk" + ENTER)
    talk.wait("A rather long")
    for rows, columns in ((10, 40), (40, 120), (5, 20), (24, 80)):
        talk.resize(rows, columns)
        time.sleep(0.3)
    talk.wait("The end.")
    talk.wait("you>")
    talk.resize(12, 50)
    talk.type("again" + ENTER)
    talk.wait("You said: again")
    talk.wait("you>")
    talk.type(CTRL_D)
    assert talk.end() == 0
    [_, answer, _, _] = light.messages()
    assert answer.content.count("A rather long paragraph") == 30
    shown = " ".join(talk.text.split())
    assert "A rather long paragraph of words that wraps. A rather long" in shown
    assert shown.index("The end.") < shown.index("You said: again")


def test_two_conversations_in_one_session(desk: Desk) -> None:
    """Each sees what the other said, and no number is given twice."""
    session = desk.ask("start")["session"]
    with (
        terminal(desk.aura, "chat", "repl", "--session", session, env=desk.env) as one,
        terminal(desk.aura, "chat", "repl", "--session", session, env=desk.env) as other,
    ):
        for number, talk in enumerate((one, other, one, other)):
            if number < 2:
                talk.wait("you>")
            talk.type(f"question {number}" + ENTER)
            talk.wait(f"You said: question {number}")
            talk.wait("you>")
        assert [text["content"] for text in desk.model.asked[-1]["messages"] if text["role"] == "user"] == [
            "start",
            *(f"question {number}" for number in range(4)),
        ]
    assert [one.number for one in desk.messages()] == list(range(1, 11))


def test_two_conversations_at_once(desk: Desk) -> None:
    """Questions that are asked in one session at the same time are both answered, and each answer follows its question."""
    session = desk.ask("start")["session"]
    desk.model.says("Both are heard", times=0, delay=1)
    with (
        terminal(desk.aura, "chat", "repl", "--session", session, env=desk.env) as one,
        terminal(desk.aura, "chat", "repl", "--session", session, env=desk.env) as other,
    ):
        one.wait("you>")
        other.wait("you>")
        one.type("the one" + ENTER)
        other.type("the other" + ENTER)
        for talk in (one, other):
            talk.wait("Both are heard")
            talk.wait("you>")
    rows = desk.messages()
    assert [(row.number, row.role, row.state) for row in rows] == [(n, ("assistant", "user")[n % 2], "complete") for n in range(1, 7)]
    assert {row.content for row in rows if row.role == "user"} == {"start", "the one", "the other"}
    asked, answered = desk.model.state.journal[1:], [row.content for row in rows[3::2]]
    assert (len(asked), answered) == (2, ["Both are heard"] * 2)


def test_trouble_does_not_end_it(light: Desk, talk: Terminal) -> None:
    """A stream that breaks off and a model that is away are told, and the conversation goes on."""
    light.model.says("one two three", trouble="cut", after=2)
    talk.type("count" + ENTER)
    talk.wait("broke off")
    talk.wait("you>")
    light.model.says(status=401)
    talk.type("hello" + ENTER)
    talk.wait("canned answer")
    talk.wait("you>")
    talk.type("still there?" + ENTER)
    talk.wait("You said: still there?")
    talk.wait("you>")
    assert [one.state for one in light.messages() if one.role == "assistant"] == ["interrupted", "complete", "complete"]


def test_escapes_of_an_answer(light: Desk, talk: Terminal) -> None:
    """An answer cannot set the window's title, or hide what it says, as Markdown either."""
    light.model.says("\x1b]0;owned\x07 and \x1b[8mhidden\x1b[0m `\x1b[2J` [a](http://x.test/\x1b[31m)\n")
    talk.type("be nasty" + ENTER)
    talk.wait("hidden")
    talk.wait("you>")
    assert not any(sign in talk.seen for sign in ("\x1b]0;owned", "\x1b[8m", "\x1b[2J`", "\x07"))


def test_only_on_a_terminal(light: Desk) -> None:
    """In a pipe, with --json and as a dry run it is told what to do instead."""
    assert "aura chat ask" in light("repl", exit=2).err
    with terminal(light.aura, "chat", "repl", "-n", env=light.env) as talk:
        assert talk.end() == 2
