"""Looking after sessions: lists, transcripts, files, and what goes."""

import json
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from aura_cli.audit.tables import operator_log
from aura_cli.chat import pruning, sessions
from aura_cli.chat.tables import chat_messages, chat_sessions
from aura_cli.db.engine import reading, writing
from aura_cli.errors import NotFoundError, UsageError
from tests.chat.conftest import Desk
from tests.parts.terminal import on_a_terminal


def made(engine: Engine, count: int, *, days: int = 0) -> list[str]:
    """Sessions of one turn, last talked in so many days ago."""
    ids = [f"{days:04}{number:04}-0000-4000-8000-000000000000" for number in range(count)]
    with writing(engine) as connection:
        for session in ids:
            sessions.start(connection, session, f"title {session[:8]}", "gpt-4o-mini", "ada", system=None, user_id=None)
            sessions.ask(connection, session, "question", "gpt-4o-mini", None)
        last = datetime.now(UTC) - timedelta(days=days)
        connection.execute(chat_sessions.update().where(chat_sessions.c.id.in_(ids)).values(last_at=last))
    return ids


def deeds(engine: Engine, what: str) -> list[Any]:
    with reading(engine) as connection:
        return list(connection.execute(select(operator_log).where(operator_log.c.what == what)))


def test_list(desk: Desk) -> None:
    """A line a session: title, turns, last, model, tokens, cost; the last first, chosen by operator and time."""
    desk("ask", "first one")
    desk("ask", "second one", env={"AURA_OPERATOR": "bob"})
    rows = desk("list", "--json").json
    assert [(row["title"], row["turns"], row["operator"]) for row in rows] == [("second one", 1, "bob"), ("first one", 1, "ada")]
    assert all(row["tokens"] > 0 and float(row["cost"]) > 0 for row in rows)
    assert [row["title"] for row in desk("list", "--operator", "ada", "--json").json] == ["first one"]
    assert desk("list", "--limit", "1").out.split("\t")[1] == "second one"
    assert desk("list", "--since", "2h", "--columns", "title", "--format", "csv").out == "title\nsecond one\nfirst one\n"


def test_list_on_a_terminal(light: Desk) -> None:
    """What names a session there is short enough to be typed."""
    light("ask", "a rather long question that goes on and on, and has a second half, which nobody needs to see in a list")
    environment = {**light.aura.environment, **light.env, "COLUMNS": "140"}
    code, shown = on_a_terminal([sys.executable, "-m", "aura_cli", "chat", "list"], environment, light.aura.work)
    session = light.sessions()[0].id
    assert (code, session[:8] in shown, session in shown, "…" in shown) == (0, True, False, True)
    words = [sys.executable, "-m", "aura_cli", "chat", "export", session, "--json"]
    code, shown = on_a_terminal(words, environment, light.aura.work)
    assert (code, json.loads(shown)["session"]["id"]) == (0, session)


def test_show_and_export(desk: Desk, tmp_path: Path) -> None:
    """A transcript as text, Markdown, JSON and JSON lines; a file is the person's alone, and none is written over."""
    desk.model.says("**Yes**")
    found = desk.ask("Is it so?")
    desk.model.says("No", trouble="cut", after=1)
    desk("ask", "Really?", "-c", exit=8)
    shown = desk("show", "is it so").out
    assert "## You (" in shown
    assert "**Yes**" in shown
    assert "interrupted" in shown
    whole = desk("show", found["session"], "--json").json
    assert (whole["session"]["turns"], [one["content"] for one in whole["messages"]]) == (2, ["Is it so?", "**Yes**", "Really?", "No"])
    assert desk("export", "is it", "--format", "json").json == whole == desk("export", "is it", "--json").json
    lines = [json.loads(line) for line in desk("export", "is it", "--format", "jsonl").out.splitlines()]
    assert [(one["session"], one["role"], one["state"]) for one in lines] == [
        (found["session"], role, state)
        for role, state in (("user", "complete"), ("assistant", "complete"), ("user", "complete"), ("assistant", "interrupted"))
    ]
    out = tmp_path / "talk.md"
    assert "would be written" in desk("export", "is it", "-o", str(out), "-n").err
    assert not out.exists()
    desk("export", "is it", "-o", str(out))
    assert out.read_text() == desk("export", "is it").out
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "already" in desk("export", "is it", "-o", str(out), exit=2).err
    desk("export", "is it", "-o", str(tmp_path / "none" / "x"), exit=2)
    desk("show", "nothing like it", exit=5)


def test_delete(desk: Desk) -> None:
    """Named sessions go with their messages once somebody says so, and it is noted; -n deletes nothing."""
    first, second, third = made(desk.engine, 3)
    assert desk("delete", first, second, "-n", "--json").json == {"sessions": [first, second], "messages": 4, "applied": False}
    assert "Nobody is here to confirm" in desk("delete", first, exit=6).err
    desk("delete", first, "nowhere", "--yes", exit=5)
    assert len(desk.sessions()) == 3
    assert desk("delete", first, second, first, "--yes").out == "2 sessions with 4 messages deleted.\n"
    assert [one.id for one in desk.sessions()] == [third]
    assert {one.session for one in desk.messages()} == {third}
    assert sorted(one.key for one in deeds(desk.engine, "chat.delete")) == [first, second]


def test_prune(desk: Desk) -> None:
    """What nobody has talked in for long is counted, and deleted with --apply; the rest stays."""
    made(desk.engine, 3, days=100)
    young = made(desk.engine, 2, days=10)
    assert "3 sessions" in desk("prune").out
    assert desk("prune", "--apply", "-n", "--json").json["applied"] is False
    assert len(desk.sessions()) == 5
    done = desk("prune", "--older-than", "90d", "--apply", "--json").json
    assert (done["sessions"], done["messages"], done["applied"]) == (3, 6, True)
    assert sorted(one.id for one in desk.sessions()) == young
    assert {one.session for one in desk.messages()} == set(young)
    assert [one.details for one in deeds(desk.engine, "chat.prune")] == [{"sessions": 3, "messages": 6}]
    desk("prune", "--older-than", "soon", exit=2)
    desk("prune", "--apply", "--older-than", "20d", env={"AURA_ENV": "production"}, exit=6)


def test_prune_in_chunks(engine: Engine) -> None:
    """However many there are, a transaction holds a chunk."""
    made(engine, 25, days=50)
    seen: list[int] = []
    done = pruning.prune(engine, datetime.now(UTC) - timedelta(days=40), "ada", seen.append, chunk=10)
    assert (done.sessions, done.messages, seen) == (25, 50, [10, 20, 25])


def test_found_by_its_name(engine: Engine) -> None:
    """Beginning of an id, title, part of a title; what several share is told with their ids; what could be a pattern is text."""
    with writing(engine) as connection:
        for session, title in (("aaaa1111", "Refund 100%"), ("aaaa2222", "refund_x"), ("bbbb1111", "aaaa")):
            sessions.start(connection, f"{session}-0000-4000-8000-000000000000", title, "m", "ada", system=None, user_id=None)
    with reading(engine) as connection:
        for text, title in (("aaaa1", "Refund 100%"), ("AAAA2222-0000", "refund_x"), ("refund 100%", "Refund 100%"), ("d_x", "refund_x")):
            assert sessions.find(connection, text).title == title
        for text in ("aaaa", "refund", "n"):
            with pytest.raises(UsageError, match="could be"):
                sessions.find(connection, text)
        for text in ("%", "_____", "", " ", "\0", "cccc", "'; DROP TABLE"):
            if text == "%":
                assert sessions.find(connection, text).title == "Refund 100%"
                continue
            with pytest.raises(NotFoundError):
                sessions.find(connection, text)


def test_titles() -> None:
    """The first line that says something, on one line, cut."""
    assert sessions.title_of("\n\n  a\t b \nc") == "a b"
    assert sessions.title_of("") == "untitled"
    assert len(sessions.title_of("x" * 500)) == sessions.TITLE_LENGTH


def test_no_number_twice(engine: Engine) -> None:
    """Numbers are unique whatever happens: the table itself refuses a second one."""
    [session] = made(engine, 1)
    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(chat_messages.insert().values(session=session, number=1, role="user", content="x"))
