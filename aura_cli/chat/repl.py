"""The conversation on a terminal: several lines at once, history, commands; Ctrl-C stops the answer, then leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aura_cli.chat import sessions
from aura_cli.chat.asking import Assistant, Question, notes
from aura_cli.chat.rendering import Writer
from aura_cli.chat.sessions import Session
from aura_cli.db.engine import reading, writing
from aura_cli.errors import AuraError

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.key_binding import KeyBindings

PROMPT = "you> "
MORE = "...  "
BANNER = "Enter asks, Esc Enter begins a new line, /help tells more, Ctrl-D leaves"


@dataclass
class Repl:
    """One conversation: `question` is what the next one is made of, its prompt apart; `take` lets a turn through the rate limit.

    `mask` gives a text without the credentials in it: nothing that is typed here is asked, kept or remembered before that.
    """

    assistant: Assistant
    question: Question
    take: Callable[[str], None]
    writer: Callable[[], Writer]
    history: Path
    mask: Callable[[str], str]
    say: Callable[[str], None]
    show: Callable[[str], None]
    complain: Callable[[AuraError], None]
    _leaving: bool = False  # the last thing that was typed was Ctrl-C
    _over: bool = False
    _editor: PromptSession[str] | None = field(default=None, repr=False)

    def run(self) -> None:
        """Until the person leaves."""
        self._editor = _editor(self.history, self.mask)
        self.say(BANNER)
        while not self._over:
            try:
                self._handle(self._editor.prompt(PROMPT))
            except EOFError:
                return
            except KeyboardInterrupt as stop:
                if type(stop) is not KeyboardInterrupt:  # SIGTERM
                    raise
                if self._leaving:
                    return
                self._leaving = True
                self.say("Ctrl-C again leaves")
            except AuraError as error:
                self.complain(error)

    def _handle(self, typed: str) -> None:
        self._leaving = False
        if not typed.strip():
            return
        if (text := self.mask(typed)) != typed:
            self.say("What looks like a credential was masked before anything else was done with it")
        if text.startswith("/") and not text.startswith("//"):
            name, _, rest = text[1:].strip().partition(" ")
            if name not in COMMANDS:
                self.say(f"There is no /{name}; /help lists what there is. A question that begins with / is asked with //")
                return
            COMMANDS[name][1](self, rest.strip())
            return
        self._ask(text.removeprefix("/") if text.startswith("//") else text)

    def _ask(self, prompt: str) -> None:
        self.take(self.question.user_id or self.assistant.operator)
        writer = self.writer()
        try:
            answer, cause = self.assistant.ask(replace(self.question, prompt=prompt), writer.feed, self._begun)
        finally:
            writer.close()
        for note in notes(answer, self.question.wish):
            self.say(note)
        if isinstance(cause, AuraError):
            self.complain(cause)
        elif cause:
            if type(cause) is not KeyboardInterrupt:
                raise cause
            self._leaving = True
            self.say("Stopped; what came is kept. Ctrl-C again leaves")

    def _begun(self, session: str) -> None:
        self.question = replace(self.question, session=session, system=None)

    def _current(self) -> Session | None:
        if self.question.session is None:
            return None
        with reading(self.assistant.engine) as connection:
            return sessions.get(connection, self.question.session)

    def _help(self, rest: str) -> None:
        del rest
        for name, (about, _) in COMMANDS.items():
            self.show(f"/{name:<8} {about}")
        self.show("Enter asks, Esc Enter (or Alt-Enter) begins a new line, arrows bring back what was asked before.")
        self.show("Ctrl-C stops an answer and keeps what came; once more, it leaves. Ctrl-D leaves.")

    def _new(self, rest: str) -> None:
        del rest
        if self.question.session is None:  # what it is about, and its system prompt, are still to come
            self.say("The next question begins a new session anyway")
            return
        about = ", about nobody" if self.question.user_id else ""
        self.question = replace(self.question, session=None, user_id=None)
        self.say(f"The next question begins a new session{about}, with the usual system prompt")

    def _model(self, rest: str) -> None:
        if rest:
            self.question = replace(self.question, wish=wish_for(rest, self.question))
        self.say(f"Model: {self.question.wish.model}")

    def _system(self, rest: str) -> None:
        if rest:
            self.question = replace(self.question, system=rest)
        self.say("The next question sets this system prompt" if rest else "Say it: /system You answer in one sentence")

    def _title(self, rest: str) -> None:
        session = self._current()
        if session is None:
            self.say("There is no session yet: ask something")
            return
        if rest:
            with writing(self.assistant.engine) as connection:
                sessions.retitle(connection, session.id, rest)
        self.say(f"Title: {sessions.title_of(rest) if rest else session.title}")

    def _usage(self, rest: str) -> None:
        del rest
        session = self._current()
        if session is None:
            self.say("There is no session yet: ask something")
            return
        cost = f"${session.cost}" if session.cost is not None else "cost not known"
        tokens = f"{session.input_tokens:,} + {session.output_tokens:,} tokens"
        self.say(f"{session.id[:8]} {session.title!r}: {session.turns} turns, {tokens}, {cost}")

    def _quit(self, rest: str) -> None:
        del rest
        self._over = True


def wish_for(model: str, question: Question) -> Any:
    """The same wish of another model."""
    from aura_cli.chat.prices import known

    return replace(question.wish, model=model, reasons=known(model).reasons)


COMMANDS: Mapping[str, tuple[str, Callable[[Repl, str], None]]] = {
    "help": ("what can be typed", Repl._help),
    "new": ("begin a new session", Repl._new),
    "model": ("NAME: ask another model from now on", Repl._model),
    "system": ("TEXT: another system prompt from now on", Repl._system),
    "title": ("TEXT: call the session so", Repl._title),
    "usage": ("turns, tokens and cost of the session", Repl._usage),
    "quit": ("leave", Repl._quit),
}


def _editor(history: Path, mask: Callable[[str], str]) -> PromptSession[str]:
    """A line editor for several lines, with a history that is the person's alone, and holds no credential."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory

    class Masked(FileHistory):
        def store_string(self, string: str) -> None:
            super().store_string(mask(string))

    history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(history, os.O_CREAT | os.O_WRONLY, 0o600))
    return PromptSession(
        history=Masked(str(history)),
        multiline=True,
        key_bindings=_keys(),
        prompt_continuation=MORE,
        enable_open_in_editor=False,
    )


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()

    @keys.add("enter")
    def asks(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def breaks(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def clears(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    return keys
