"""Full-text search in everything that was said: PostgreSQL's tsvector index, SQLite's FTS5 table.

A query is words that must all be there, "a phrase", -unwanted, and OR between such groups, as `websearch_to_tsquery` reads it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Integer, Text, bindparam, text

from aura_cli.chat.sessions import storable
from aura_cli.chat.tables import PIECE, SEARCHED
from aura_cli.db.engine import is_sqlite, reading
from aura_cli.db.types import Id, UtcTime
from aura_cli.errors import UsageError

START, END = "»", "«"
_TERM = re.compile(r'(-?)"([^"]*)"?|(\S+)')
_RESULT: dict[str, Any] = {"session": Id, "title": Text(), "number": Integer(), "role": Text(), "created_at": UtcTime(), "snippet": Text()}
_TEXT = f"regexp_replace(left(m.content, {SEARCHED}), {', '.join(PIECE)})"
_POSTGRESQL = f"""
    SELECT m.session, s.title, m.number, m.role, m.created_at,
           ts_headline('simple', {_TEXT}, query, 'StartSel={START}, StopSel={END}, MaxWords=18, MinWords=6') AS snippet
      FROM websearch_to_tsquery('simple', :query) AS query, aura_ops.chat_messages m JOIN aura_ops.chat_sessions s ON s.id = m.session
     WHERE to_tsvector('simple'::regconfig, {_TEXT}) @@ query AND m.created_at >= :since
     ORDER BY m.created_at DESC, m.id DESC LIMIT :most"""
_SQLITE = f"""
    SELECT m.session, s.title, m.number, m.role, m.created_at, snippet(chat_search, 0, '{START}', '{END}', '…', 14) AS snippet
      FROM chat_search JOIN chat_messages m ON m.id = chat_search.rowid JOIN chat_sessions s ON s.id = m.session
     WHERE chat_search MATCH :query AND m.created_at >= :since
     ORDER BY m.created_at DESC, m.id DESC LIMIT :most"""
_MOST = 1_000_000
_EVER = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


@dataclass(frozen=True)
class Found:
    """A message with the words: `snippet` is a part of it, with what was found between » and «."""

    session: str
    title: str
    number: int
    role: str
    created_at: datetime
    snippet: str


def search(engine: Engine, query: str, since: datetime | None = None, limit: int | None = None) -> Iterator[Found]:
    """Messages with what is looked for, the newest first, streamed. Raises UsageError where nothing is."""
    query = storable(query.replace("\0", " "))
    groups = _groups(query)
    with reading(engine) as connection:
        asked = _fts5(groups) if is_sqlite(connection) else query
        rows = connection.execute(_statement(connection), {"query": asked, "since": since or _EVER, "most": limit or _MOST})
        for row in rows:
            yield Found(**{**row._mapping, "snippet": " ".join(row.snippet.split())})


def _statement(connection: Connection) -> Any:
    wanted = text(_SQLITE if is_sqlite(connection) else _POSTGRESQL)
    return wanted.bindparams(bindparam("since", type_=UtcTime())).columns(**_RESULT)


def _groups(query: str) -> list[tuple[list[str], list[str]]]:
    """Wanted and unwanted terms of each group. Raises UsageError for a group that wants nothing."""
    groups: list[tuple[list[str], list[str]]] = [([], [])]
    for minus, phrase, word in _TERM.findall(query):
        if word.lower() == "or":
            groups.append(([], []))
            continue
        term = phrase or word.removeprefix("-")
        if any(letter.isalnum() for letter in term):
            groups[-1][bool(minus or word.startswith("-"))].append(term)
    groups = [group for group in groups if group[0] or group[1]]
    if not groups or not all(wanted for wanted, _ in groups):
        raise UsageError("There is no word to look for", 'Examples: refund; "past due" -test; invoice OR receipt')
    return groups


def _fts5(groups: list[tuple[list[str], list[str]]]) -> str:
    """The same in FTS5's words (https://www.sqlite.org/fts5.html#full_text_query_syntax); each term is a string, so none is syntax."""

    def quoted(term: str) -> str:
        return '"' + term.replace('"', '""') + '"'

    return " OR ".join(
        "((" + " AND ".join(map(quoted, wanted)) + ")" + "".join(f" NOT {quoted(term)}" for term in unwanted) + ")"
        for wanted, unwanted in groups
    )
