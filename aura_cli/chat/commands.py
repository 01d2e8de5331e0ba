"""`aura chat`: ask the assistant, talk with it, and look after what was said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aura_cli.chat import session_commands
from aura_cli.errors import UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from aura_cli.chat.asking import Answer, Assistant, Prepared, Question
    from aura_cli.chat.limiting import Turnstile
    from aura_cli.chat.rendering import Writer

app = typer.Typer(help="Talk with the assistant; sessions are kept, searched and exported.", rich_markup_mode=None, no_args_is_help=True)

CONTINUE = typer.Option(False, "-c", "--continue", help="Go on with your last session.")
SESSION = typer.Option(None, "--session", metavar="SESSION", help="Go on with this one: the beginning of its id, or its title.")
MODEL = typer.Option(None, "--model", metavar="NAME", help="Default gpt-4o-mini, or the session's.")
SYSTEM = typer.Option(None, "--system", metavar="TEXT", help="The system prompt.")
USER = typer.Option(None, "--user", metavar="WHO", help="The session is about this person: the model is told plan and connections.")
MAX_TOKENS = typer.Option(1000, "--max-tokens", min=1, help="The longest answer.")
TEMPERATURE = typer.Option(0.7, "--temperature", min=0, max=2, help="How freely it chooses its words.")
CONTEXT = typer.Option(None, "--context", metavar="TOKENS", min=100, help="What the model gets at most; default what it holds.")
RAW = typer.Option(False, "--raw", help="The text as it comes, no Markdown; so it is in a pipe.")
NO_FALLBACK = typer.Option(False, "--no-fallback", help="Fail rather than give a canned answer.")
WAIT = typer.Option(False, "--wait", help="Wait where the rate limit is used up.")
TIMEOUT = typer.Option(120.0, "--timeout", metavar="SECONDS", min=0.1, help="Give up after so long without a word.")


@dataclass(frozen=True)
class _Wanted:
    """The options that `ask` and `repl` share."""

    go_on: bool
    session: str | None
    model: str | None
    system: str | None
    user: str | None
    max_tokens: int
    temperature: float
    context: int | None
    fallback: bool


@app.command()
def ask(
    ctx: typer.Context,
    prompt: list[str] | None = typer.Argument(None, metavar="[PROMPT]...", help="What to ask; standard input is added to it."),
    files: list[Path] | None = typer.Option(None, "-f", "--file", metavar="FILE", help="Add this file to the question."),
    go_on: bool = CONTINUE,
    session: str | None = SESSION,
    model: str | None = MODEL,
    system: str | None = SYSTEM,
    user: str | None = USER,
    max_tokens: int = MAX_TOKENS,
    temperature: float = TEMPERATURE,
    context: int | None = CONTEXT,
    raw: bool = RAW,
    no_fallback: bool = NO_FALLBACK,
    wait: bool = WAIT,
    timeout: float = TIMEOUT,
) -> None:
    """Ask one question; the answer comes as it is given.

    Without a key, or when the model fails, a canned answer comes, marked as such. Example: git log -5 | aura chat ask "what changed?"
    Example: aura chat ask "Why twice?" --file notes.md --continue
    """
    from aura_cli.chat import prompting
    from aura_cli.chat.asking import notes

    runtime: Runtime = ctx.obj
    console = runtime.console
    piped = "" if console.stdin.isatty() else prompting.read(console.stdin.buffer, console.say)  # type: ignore[arg-type]
    text = _without_credentials(runtime, prompting.compose([word for word in prompt or () if word != "-"], files or (), piped))
    wanted = _Wanted(go_on, session, model, system, user, max_tokens, temperature, context, not no_fallback)
    question = _question(runtime, wanted, text)
    with ExitStack() as opened:
        assistant = _assistant(runtime, opened, timeout)
        if runtime.options.dry_run:
            prepared = assistant.prepare(question)
            console.result(prepared, lambda: _prepared(prepared), asked=True)
            return
        _bind(runtime)
        _turnstile(runtime, opened, wait=wait).take(question.user_id or assistant.operator)
        writer = _writer(runtime, raw=raw)
        try:
            answer, cause = assistant.ask(question, _while_read(runtime, writer))
        finally:
            writer.close()
    if runtime.options.as_json:
        console.result(answer, lambda: ())
    _tell(runtime, answer, list(notes(answer, question.wish)))
    if cause:
        raise cause


@app.command()
def repl(
    ctx: typer.Context,
    go_on: bool = CONTINUE,
    session: str | None = SESSION,
    model: str | None = MODEL,
    system: str | None = SYSTEM,
    user: str | None = USER,
    max_tokens: int = MAX_TOKENS,
    temperature: float = TEMPERATURE,
    context: int | None = CONTEXT,
    raw: bool = RAW,
    no_fallback: bool = NO_FALLBACK,
    wait: bool = WAIT,
    timeout: float = TIMEOUT,
) -> None:
    """Talk, question after question, on a terminal; /help tells what can be typed.

    Ctrl-C stops an answer and keeps what came, a second one leaves. Example: aura chat repl -c
    """
    from aura_cli.chat.rendering import writer
    from aura_cli.chat.repl import Repl

    runtime: Runtime = ctx.obj
    console = runtime.console
    if runtime.options.as_json or not (console.stdin.isatty() and console.is_terminal):
        raise UsageError("A conversation needs a terminal", "Ask a single question: aura chat ask PROMPT")
    if runtime.options.dry_run:
        raise UsageError("A conversation cannot be a dry run", "See what would be sent: aura chat ask PROMPT -n")
    wanted = _Wanted(go_on, session, model, system, user, max_tokens, temperature, context, not no_fallback)
    question = _question(runtime, wanted, "")
    with ExitStack() as opened:
        assistant = _assistant(runtime, opened, timeout)
        _bind(runtime)
        turnstile = _turnstile(runtime, opened, wait=wait)
        history = runtime.settings.home / "chat_history"
        told = console.say, console.show, console.error
        Repl(assistant, question, turnstile.take, lambda: writer(console.out, raw=raw), history, console.redact, *told).run()


def _question(runtime: Runtime, wanted: _Wanted, text: str) -> Question:
    from aura_cli.chat import sessions
    from aura_cli.chat.asking import Question
    from aura_cli.chat.model import DEFAULT, Wish
    from aura_cli.chat.prices import known
    from aura_cli.db.engine import reading

    if wanted.go_on and wanted.session:
        raise UsageError("-c goes on with your last session, --session with another: not both")
    if wanted.user and (wanted.go_on or wanted.session):
        raise UsageError("A session is about whom it began with", "Begin one about somebody else, without -c and --session")
    found = user_id = None
    if wanted.go_on or wanted.session or wanted.user:
        with reading(runtime.engine) as connection:
            if wanted.user:
                from aura_cli.users.who import resolve

                user_id = resolve(connection, wanted.user).id
            elif wanted.session:
                found = sessions.find(connection, wanted.session)
            else:
                found = sessions.last(connection, runtime.settings.operator)
    name = wanted.model or (found.model if found else DEFAULT)
    wish = Wish(name, wanted.max_tokens, wanted.temperature, known(name).reasons)
    about = found.user_id if found else user_id
    system = None if wanted.system is None else _without_credentials(runtime, wanted.system)
    return Question(text, wish, found.id if found else None, system, about, wanted.context, wanted.fallback)


def _without_credentials(runtime: Runtime, prompt: str) -> str:
    """No key of ours, and nothing that looks like one, is told to a model or kept among what was said."""
    runtime.console.secrets = tuple(runtime.settings.secret_values())  # a run that has asked for no setting yet knows none
    masked = runtime.console.redact(prompt)
    if masked != prompt:
        runtime.console.say("What looks like a credential was masked before it was sent")
    return masked


def _assistant(runtime: Runtime, opened: ExitStack, timeout: float) -> Assistant:
    from aura_cli.chat.asking import Assistant
    from aura_cli.chat.model import model_of

    model = None if runtime.options.dry_run else model_of(runtime.settings, timeout)
    if model:
        opened.enter_context(model.service)
    return Assistant(runtime.engine, runtime.settings.operator, model, runtime.clock, runtime.console.say)


def _bind(runtime: Runtime) -> None:
    """The guard before a write that stays within `aura_ops`, without asking Stripe whose key that is: no chat depends on it."""
    from dataclasses import replace

    from aura_cli.db.binding import Identity, check

    check(runtime.engine, replace(Identity.of(runtime.settings, str), stripe_account=None), store=True)


def _turnstile(runtime: Runtime, opened: ExitStack, *, wait: bool) -> Turnstile:
    from aura_cli.chat.limiting import Turnstile, limits

    say = runtime.console.say
    return Turnstile(opened.enter_context(limits(runtime.settings, say)), wait, say)


def _writer(runtime: Runtime, *, raw: bool) -> Writer:
    from aura_cli.chat.rendering import Silent, writer

    return Silent() if runtime.options.as_json else writer(runtime.console.out, raw=raw)


def _while_read(runtime: Runtime, writer: Writer) -> Callable[[str], None]:
    """What shows a piece of the answer, until whoever reads it has read enough (`| head`): it is stored whole all the same."""
    reading = True

    def show(piece: str) -> None:
        nonlocal reading
        try:
            if reading:
                writer.feed(piece)
        except BrokenPipeError:
            reading = False
            runtime.console.drop_output()

    return show


def _tell(runtime: Runtime, answer: Answer, told: list[str]) -> None:
    """What a person sees beside the answer; of a canned one in a pipe, too, that it is canned."""
    if not runtime.console.is_terminal and answer.source != "fallback":
        told = told[:-1]
    for line in told:
        runtime.console.say(line)


def _prepared(prepared: Prepared) -> Iterator[str]:
    for message in prepared.messages:
        yield f"{message.role}: {message.content}"
    dropped = f", without the oldest {prepared.dropped:,} turns" if prepared.dropped else ""
    yield f"{len(prepared.messages)} messages, about {prepared.tokens:,} tokens, to {prepared.model}{dropped}. Nothing was sent."


session_commands.add_to(app)
