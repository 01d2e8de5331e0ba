"""One turn: the question is committed, the model is asked, what comes is shown and kept, the outcome is stored.

Whatever ends it in between, power included, the question is there, and of the answer what came up to a moment before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from time import monotonic
from uuid import uuid4

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from aura_cli.chat import prices, sessions
from aura_cli.chat.about import about
from aura_cli.chat.budget import Fitted, fit
from aura_cli.chat.fallback import canned
from aura_cli.chat.model import Model, Reply, Said, Usage, Wish
from aura_cli.chat.sessions import Outcome, Session, storable
from aura_cli.db.engine import reading, writing
from aura_cli.db.failures import translate
from aura_cli.errors import AuraError, ConfigurationError, NotFoundError, ServiceError

KEEP_SECONDS = 2.0  # how much of an answer a power cut may take
AFTER_ALL = (1 << 31) - 1  # a number behind every message
SYSTEM = (
    "You assist the operators of AURA, a service with paying customers, their subscriptions, connected accounts and mail. "
    "Answer briefly, in Markdown."
)


@dataclass(frozen=True)
class Question:
    """What is asked. `session`: the one that it belongs to; None begins one, about `user_id`.

    `context`: so many tokens are sent, at most; the answer comes beside them.
    """

    prompt: str
    wish: Wish
    session: str | None = None
    system: str | None = None
    user_id: str | None = None
    context: int | None = None
    fallback: bool = True


@dataclass(frozen=True)
class Spoken:
    """The answer's message. `state`: complete, interrupted (what came is here), failed; `error` says why."""

    number: int
    role: str
    content: str
    state: str
    error: str | None


@dataclass(frozen=True)
class Answer:
    """A turn's result. `source`: model or fallback. `cost`: US dollars. `dropped`: turns that the model did not get."""

    session: str
    message: Spoken
    source: str | None
    model: str
    usage: Usage | None
    cost: str | None
    duration_s: float
    finish: str | None
    dropped: int


@dataclass(frozen=True)
class Prepared:
    """What would be sent: to which model, how many messages, about how many tokens, which turns not."""

    session: str | None
    model: str
    messages: tuple[Said, ...]
    tokens: int
    dropped: int


@dataclass
class Assistant:
    """Who answers. `model` None: nobody but the canned answers. `say` gets what a person is to be told beside the answer."""

    engine: Engine
    operator: str
    model: Model | None
    clock: Callable[[], datetime]
    say: Callable[[str], None]

    def prepare(self, question: Question) -> Prepared:
        """What `ask` would send; nothing is written."""
        question = _clean(question)
        with reading(self.engine) as connection:
            session = sessions.get(connection, question.session) if question.session else None
            system = self._system(connection, session, question)
            fitted = self._fitted(connection, session, question, system, AFTER_ALL)
        return Prepared(question.session, question.wish.model, fitted.messages, fitted.tokens, fitted.dropped)

    def ask(
        self, question: Question, show: Callable[[str], None], begun: Callable[[str], None] = lambda session: None
    ) -> tuple[Answer, BaseException | None]:
        """The answer, each piece of it given to `show` as it comes; and what cut it short or kept it from being stored, if anything did.

        `begun` gets the session's id once the question is kept. Whoever stops the storing of an answer, too, stops it after that:
        KeyboardInterrupt is then raised.
        Raises UsageError for a prompt that no context holds, NotFoundError where the session is gone; then nothing was stored.
        """
        if self.model is None and not question.fallback:
            hint = "Set OPENAI_API_KEY or OPENROUTER_API_KEY; without --no-fallback there is a canned answer"
            raise ConfigurationError("No model is configured", hint)
        question = _clean(question)
        with writing(self.engine) as connection:
            session = self._session(connection, question)
            system = question.system if question.session else None
            asked, number = sessions.ask(connection, session.id, question.prompt, question.wish.model, system)
            fitted = self._fitted(connection, session, question, self._system(connection, session, question), asked)
        if fitted.dropped:
            turns = f"{fitted.dropped:,} turn{'' if fitted.dropped == 1 else 's'}"
            self.say(f"The oldest {turns} did not fit and went unsent; they are kept: aura chat show {session.id[:8]}")
        begun(session.id)
        place, reply, since = (session.id, number), Reply(), monotonic()
        cause: BaseException | None = KeyboardInterrupt()  # until it has ended some other way
        try:
            cause = self._converse(fitted, question, reply, place, show)
            outcome, lost = self._settled(question, reply, cause, place, since)
        except KeyboardInterrupt:
            self._settled(question, reply, cause, place, since)
            raise
        if outcome.source == "fallback":
            show(outcome.content)
        spoken = Spoken(number, "assistant", outcome.content, outcome.state, outcome.error)
        cost = None if outcome.cost is None else prices.dollars(outcome.cost)
        seconds = outcome.duration_ms / 1000
        model, finish = outcome.model or question.wish.model, reply.finish
        answer = Answer(session.id, spoken, outcome.source, model, outcome.usage, cost, seconds, finish, fitted.dropped)
        return answer, lost or (None if outcome.source == "fallback" else cause)

    def _session(self, connection: Connection, question: Question) -> Session:
        if question.session:
            sessions.hold(connection, question.session)  # before it is read: somebody else may be talking in it
            return sessions.get(connection, question.session)
        made, title = str(uuid4()), sessions.title_of(question.prompt)
        sessions.start(connection, made, title, question.wish.model, self.operator, system=question.system, user_id=question.user_id)
        return sessions.get(connection, made)

    def _system(self, connection: Connection, session: Session | None, question: Question) -> Said:
        """The system prompt that holds, and what is known of the person."""
        chosen = question.system if question.system is not None else sessions.system_of(connection, session) if session else None
        parts = [SYSTEM if chosen is None else chosen]
        user_id = session.user_id if session else question.user_id
        if user_id:
            try:
                parts.append(about(connection, user_id, self.clock()))
            except NotFoundError:
                self.say("The person whom this session is about is not known here any more: the model is told nothing of them")
        return Said("system", "\n\n".join(part for part in parts if part))

    def _fitted(self, connection: Connection, session: Session | None, question: Question, system: Said, before: int) -> Fitted:
        known = prices.known(question.wish.model)
        room = known.window - question.wish.max_tokens
        budget = question.context or room
        if known.certain:
            budget = min(budget, room)
        turns = sessions.turns(connection, session.id, before) if session else iter(())
        said = [system] if system.content else []
        total = session.turns if session else 0
        return fit(said, Said("user", question.prompt), turns, total, max(budget, 1))

    def _converse(
        self, fitted: Fitted, question: Question, reply: Reply, place: tuple[str, int], show: Callable[[str], None]
    ) -> BaseException | None:
        """Ask, show, keep. Returns what ended it before its end, foreseen or not: what came is paid for."""
        if self.model is None:
            return ConfigurationError("No model is configured: OPENAI_API_KEY is not set")
        kept = monotonic()
        try:
            for piece in self.model.answer(fitted.messages, question.wish, reply, self._waiting):
                show(piece)
                if monotonic() - kept > KEEP_SECONDS:
                    self._keep(*place, reply)
                    kept = monotonic()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (it is raised again once what came is stored)
            if isinstance(error, NotFoundError):
                error.hint = "Is the --model's name right, and the base address?"
            elif isinstance(error, ServiceError) and error.status == 429:
                error.hint = "Wait a while, or ask another --model"
            return error
        return None

    def _waiting(self, seconds: float, why: str) -> None:
        self.say(f"{why}. Trying again in {seconds:.1f} s")

    def _keep(self, session: str, number: int, reply: Reply) -> None:
        """A database that is away for a moment does not end an answer: `settle` stores it whole."""
        with suppress(SQLAlchemyError), writing(self.engine) as connection:
            sessions.keep(connection, session, number, storable(reply.text))

    def _outcome(self, question: Question, reply: Reply, cause: BaseException | None, duration_ms: int) -> Outcome:
        text, why = storable(reply.text), _why(cause)
        if cause is None:
            model = reply.model or question.wish.model
            cost = self._cost(model, reply)
            return Outcome(text, "model", model, "complete", None, reply.usage, cost, duration_ms)
        if text or not isinstance(cause, AuraError):
            model = reply.model or question.wish.model
            return Outcome(text, "model", model, "interrupted", why, reply.usage, self._cost(model, reply), duration_ms)
        if question.fallback and not isinstance(cause, NotFoundError):  # a model that is not there is nobody's outage
            return Outcome(canned(question.prompt), "fallback", None, "complete", why, None, None, duration_ms)
        return Outcome("", None, None, "failed", why, None, None, duration_ms)

    def _cost(self, model: str, reply: Reply) -> Decimal | None:
        if reply.usage is None:
            return None
        return reply.cost if reply.cost is not None else prices.cost(model, reply.usage, self.clock().date())

    def _settled(
        self, question: Question, reply: Reply, cause: BaseException | None, place: tuple[str, int], since: float
    ) -> tuple[Outcome, BaseException | None]:
        """Store what became of it, as often as it takes. Returns that, and what hindered it: the answer was given all the same."""
        outcome = self._outcome(question, reply, cause, int((monotonic() - since) * 1000))
        return outcome, self._settle(*place, outcome)

    def _settle(self, session: str, number: int, outcome: Outcome) -> BaseException | None:
        try:
            with writing(self.engine) as connection:
                sessions.settle(connection, session, number, outcome)
        except NotFoundError as error:
            return error
        except SQLAlchemyError as error:
            known = translate(error)
            if known is None:
                raise
            known.message = f"The answer could not be stored: {known.message}"
            return known
        return None


def _clean(question: Question) -> Question:
    """As it can be stored and sent, bytes of the command line that were no text included."""
    wish = replace(question.wish, model=storable(question.wish.model))
    system = None if question.system is None else storable(question.system)
    return replace(question, prompt=storable(question.prompt), system=system, wish=wish)


def _why(cause: BaseException | None) -> str | None:
    if cause is None:
        return None
    if isinstance(cause, KeyboardInterrupt):
        return "interrupted by the operator"
    return cause.message if isinstance(cause, AuraError) else f"{type(cause).__name__}: {cause}"


def notes(answer: Answer, wish: Wish) -> Sequence[str]:
    """What a person is told after an answer: that it is canned, or cut, and what it took."""
    found = []
    if answer.source == "fallback":
        found.append(f"This is a canned answer (source: fallback): {answer.message.error}")
    if answer.finish == "length":
        found.append(f"The answer was cut at --max-tokens {wish.max_tokens:,}")
    elif answer.finish == "content_filter":
        found.append("The answer was cut by the service's content filter")
    usage = answer.usage
    tokens = f" · {usage.input_tokens:,} + {usage.output_tokens:,} tokens" if usage else ""
    cost = f" · ${answer.cost}" if answer.cost is not None and answer.source == "model" else ""
    found.append(f"{answer.session[:8]} · {answer.model}{tokens}{cost} · {answer.duration_s:.1f} s")
    return found
