"""Mail carried out of the outbox to Resend, by a worker beside a listener or by a command."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import ceil, inf
from typing import Any, ClassVar, Self
from uuid import uuid4

from sqlalchemy import Engine, select

from aura_cli.db.engine import reading, upsert, writing
from aura_cli.db.shared import subscriptions, users
from aura_cli.errors import AuraError, ConfigurationError, NotFoundError
from aura_cli.mail import asking, requests, resend
from aura_cli.mail.addresses import sender
from aura_cli.mail.rendering import TEMPLATES
from aura_cli.mail.requests import NO_ADDRESS, NOT_CONFIGURED, Letterhead, Prepared, Settled
from aura_cli.mail.resend import REFUSED_WAIT, Failure, Verdict
from aura_cli.mail.tables import mails
from aura_cli.outbox import queue
from aura_cli.outbox.carrying import Carried, Carrier, Outcome
from aura_cli.outbox.queue import Effect
from aura_cli.settings import Settings
from aura_cli.transport import Service

FROM = "AURA <noreply@moreaura.ai>"  # the web app's own default
SOON = 2.0  # seconds until what failed for the first time is tried again
PATIENCE = 60.0  # seconds that a command waits where Resend asks for a slower pace, or somebody else has what it is to send
PLAN = "AURA"  # where nobody says what a plan is called
ASKS_STRIPE = 4  # tries in which a mail waits for what Stripe calls a plan, where it is only away

Plans = Callable[[str | None], Mapping[str, Any]]  # a price's id → the template's variables that say what was bought


def unnamed(price: str | None) -> Mapping[str, Any]:
    """What a plan is called where Stripe cannot be asked."""
    del price
    return {"plan": PLAN}


@dataclass(eq=False)
class Mailing:
    """Delivers mails to Resend, a request at a time. Without a key they are `not_configured`. `plans` may ask Stripe."""

    engine: Engine
    settings: Settings = field(repr=False)
    letterhead: Letterhead
    plans: Plans = unnamed
    kind: ClassVar[str] = asking.MAIL
    most: ClassVar[int] = 1
    to: ClassVar[str] = "Resend"
    _resend: Service | None = None

    @classmethod
    def of(cls, engine: Engine, settings: Settings, plans: Plans = unnamed) -> Self:
        """As configured. Raises ConfigurationError for a sender that is none, or a sandbox that would write to real people."""
        resend.service(settings)
        return cls(
            engine, settings, Letterhead(sender(settings.get("FROM_EMAIL") or FROM), settings.get("NEXT_PUBLIC_APP_URL") or ""), plans
        )

    @contextmanager
    def opened(self) -> Iterator[None]:
        service = resend.service(self.settings)
        if service is None:
            yield
            return
        with service as self._resend:
            yield
        self._resend = None

    def deliver(self, effects: Sequence[Effect], stop: threading.Event) -> Iterator[Outcome]:
        del stop
        for effect in effects:
            yield self._deliver(effect)

    def _deliver(self, effect: Effect) -> Outcome:
        try:
            if "template" in effect.payload:
                self._adopt(effect)
            with writing(self.engine) as connection:
                found = requests.prepare(connection, effect, self.letterhead, configured=self._resend is not None)
        except AuraError as error:  # nothing was sent
            halts = error if isinstance(error, ConfigurationError) else None
            last = effect.attempt >= queue.ATTEMPTS and not halts
            note = partial(requests.note_hindered, effect=effect, error=error.message, last=last)
            return Outcome(effect, error.message, note=note, halts=halts, wait=REFUSED_WAIT if halts else None)
        if isinstance(found, Settled):
            return Outcome(effect, found.error, final=True, note=partial(requests.forget, effect=effect))
        if self._resend is None:  # the key was taken away after the first try: the request is kept for the next one
            missing = ConfigurationError(NOT_CONFIGURED, "What was tried with it before waits for it, for a day")
            return Outcome(effect, missing.message, halts=missing, wait=REFUSED_WAIT)
        answer = resend.send(self._resend, found.request, len(found.mails))
        if isinstance(answer, Failure):
            return _failed(effect, found, answer)
        return Outcome(effect, note=partial(requests.note_told, effect=effect, prepared=found, told=answer))

    def _adopt(self, effect: Effect) -> None:
        """A mail that was asked for while an event was handled gets its row: to whom, and with what, is known only now.

        Raises NotFoundError as long as nobody knows to whom, and for the first tries what keeps Stripe from saying what was bought: the
        row is there then, too. Who may not ask Stripe, or has waited for long, sends the mail without.
        """
        asked, m = effect.payload, mails.c
        with reading(self.engine) as connection:
            if connection.execute(select(m.id).where(m.key == effect.key, m.address.is_not(None))).first():
                return
            person = connection.execute(select(users.c.email, users.c.name).where(users.c.id == asked["user_id"])).first()
            s = subscriptions.c
            renews = connection.execute(select(s.current_period_end).where(s.stripe_subscription_id == asked.get("subscription"))).scalar()
        template = asked["template"].replace("_", "-")
        known = {"name": person.name if person else None, "renews_on": renews.isoformat() if renews else None}
        trouble: AuraError | None = None
        try:
            plan = self.plans(asked.get("price"))
        except AuraError as error:
            plan = unnamed(None)
            trouble = None if isinstance(error, ConfigurationError) or effect.attempt >= ASKS_STRIPE else error
        facts = {"address": person.email if person and not trouble else None, "data": fitting(template, {**known, **plan})}
        row = {"id": str(uuid4()), "key": effect.key, "effect": effect.key, "template": template, "user_id": asked["user_id"], **facts}
        with writing(self.engine) as connection:
            if not queue.still_held(connection, effect):  # the person was erased meanwhile, or somebody else goes on with it
                return
            connection.execute(upsert(connection, mails).values(row).on_conflict_do_update(index_elements=["key"], set_=facts))
        if trouble:
            raise trouble
        if not facts["address"]:
            raise NotFoundError(NO_ADDRESS if person else "The person is not here any more")


def fitting(template: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is known, what a template takes; what is known and cannot be shown is left out as if it were not known."""
    kept: dict[str, Any] = {}
    for name, variable in TEMPLATES[template].variables.items():
        try:
            if data.get(name) is not None:
                kept[name] = variable.checked(data[name])
        except ValueError:
            continue
    return kept


def _failed(effect: Effect, prepared: Prepared, failure: Failure) -> Outcome:
    error, verdict = failure.error.message, failure.verdict
    last = effect.attempt >= queue.ATTEMPTS and not failure.halts
    unsent = verdict is Verdict.UNSENT and prepared.is_new
    if verdict is Verdict.REFUSED or last:
        state = "failed" if verdict is Verdict.REFUSED or unsent else "expired"
        note = partial(requests.note_refused, effect=effect, prepared=prepared, error=error, state=state)
        return Outcome(effect, error, final=True, note=note)
    hindered = partial(requests.note_hindered, effect=effect, error=error, last=False)
    note = partial(requests.note_unsent, effect=effect, prepared=prepared, error=error) if unsent else hindered
    wait = SOON if failure.wait is None and effect.attempt == 1 else failure.wait
    return Outcome(effect, error, wait=wait, halts=failure.error if failure.halts else None, note=note)


def _under_way(mailing: Mailing, effects: Sequence[str]) -> bool:
    with reading(mailing.engine) as connection:
        return queue.under_way(connection, mailing.kind, effects)


def _next_try(done: Iterable[Carried]) -> float:
    """Seconds until the first of what failed is tried again; infinite where nothing waits."""
    return min((one.wait or queue.FIRST_WAIT for one in done if one.state == "pending"), default=inf)


def carry(
    mailing: Mailing, effects: Sequence[str], on_carried: Callable[[Carried], None] = lambda one: None, *, tries_for: float = 0.0
) -> list[Carried]:
    """Carry these outbox rows out now; what became of each, at last.

    Where Resend asks for a slower pace it waits, and for who is at one of them already, such as a listener; for `tries_for` seconds it
    also waits for further tries of what failed. Raises what keeps all from being sent for longer: a quota, a key that is refused.
    """
    carrier, stop, done, idle = Carrier(mailing.engine, mailing, effects), threading.Event(), dict[str, Carried](), 0.0
    patience = PATIENCE if effects else 0.0
    while True:
        carried = carrier.once(stop, on_carried)
        done |= {one.key: one for one in carried}
        halted = carried[-1] if carried and carried[-1].halts else None
        if halted and halted.halts:
            wait = halted.wait or 0.0
            idle = idle + wait if len(carried) == 1 else wait
            if idle > PATIENCE:
                raise halted.halts
        elif (wait := _next_try(done.values())) <= tries_for:
            tries_for -= wait
        elif patience > 0 and _under_way(mailing, effects):
            wait = 1.0
            patience -= wait
        else:
            return list(done.values())
        stop.wait(ceil(wait) + 0.1)  # the outbox counts in whole seconds
