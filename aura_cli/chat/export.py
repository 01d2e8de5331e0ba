"""A session as a file: Markdown to read, JSON whole, JSON lines a message each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from aura_cli.console import brief, dump

if TYPE_CHECKING:  # the command line knows the formats before it needs a database
    from aura_cli.chat.sessions import Message, Session

WHO = {"user": "You", "assistant": "Assistant", "system": "System prompt"}


class ExportFormat(StrEnum):
    """How a session is written."""

    MARKDOWN = "md"
    JSON = "json"
    JSONL = "jsonl"


@dataclass(frozen=True)
class Transcript:
    """A session and everything that was said in it; `messages` is read once."""

    session: Session
    messages: Iterable[Message]


def lines(found: Transcript, form: ExportFormat) -> Iterator[str]:
    """The file's lines, streamed."""
    match form:
        case ExportFormat.JSON:
            yield '{"session": ' + dump(found.session) + ","
            yield ' "messages": ['
            for number, message in enumerate(found.messages):
                yield ("  ," if number else "   ") + dump(message)
            yield " ]}"
        case ExportFormat.JSONL:
            for message in found.messages:
                yield dump({"session": found.session.id, **vars(message)})
        case ExportFormat.MARKDOWN:
            yield from markdown(found)


def markdown(found: Transcript) -> Iterator[str]:
    """A heading for each message; an answer's tells who gave it, and whether it is whole."""
    session = found.session
    cost = f", ${session.cost}" if session.cost is not None else ""
    tokens = session.input_tokens + session.output_tokens
    yield f"# {session.title}"
    yield ""
    yield f"Session {session.id}, {brief(session.created_at)} to {brief(session.last_at)}, {session.model}, {tokens:,} tokens{cost}"
    if session.system:
        yield from ("", "## System prompt", "", session.system)
    for message in found.messages:
        yield from ("", f"## {_heading(message)}", "", *([message.content] if message.content else []))


def _heading(message: Message) -> str:
    facts = [brief(message.created_at)]
    if message.role == "assistant":
        facts += ["canned answer" if message.source == "fallback" else message.model or "no model"]
        facts += [] if message.state == "complete" else [message.state]
        facts += [message.error] if message.error else []
    return f"{WHO.get(message.role, message.role)} ({', '.join(facts)})"
