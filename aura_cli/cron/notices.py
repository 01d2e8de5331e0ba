"""What rooms ask operators to be told (a connection or a provider that broke, or is well again), carried to AURA_ALERT_TO."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import ClassVar, Self

from sqlalchemy import Engine

from aura_cli.cron.alerts import Alert, recipients, send
from aura_cli.db.engine import writing
from aura_cli.integrations.strikes import ALERT
from aura_cli.outbox.carrying import Outcome
from aura_cli.outbox.queue import Effect
from aura_cli.outbox.tables import outbox
from aura_cli.settings import Settings

OLDEST = timedelta(days=1)  # what was asked for before nobody has to be woken up for
MOST = 100


@dataclass(eq=False)
class Notices:
    """Delivers such alerts, all that are there in one message. One recipient who has it is enough: the others are not told twice."""

    settings: Settings = field(repr=False)
    kind: ClassVar[str] = ALERT
    most: ClassVar[int] = MOST
    to: ClassVar[str] = "AURA_ALERT_TO"

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """As configured; None where nobody is to be told: then they wait, and are old when somebody is."""
        return cls(settings) if recipients(settings) else None

    def opened(self) -> AbstractContextManager[object]:
        return nullcontext()

    def deliver(self, effects: Sequence[Effect], stop: threading.Event) -> Iterator[Outcome]:
        del stop
        fresh = [one for one in effects if _at(one.key) > datetime.now(UTC) - OLDEST]
        troubles = send(self.settings, _alert(self.settings, fresh)) if fresh else []
        failed = troubles[0] if fresh and len(troubles) == len(recipients(self.settings)) else None
        for effect in effects:
            yield Outcome(effect, failed if effect in fresh else None)


def prune(engine: Engine, before: datetime) -> int:
    """Forget what was asked for before, told or not. How many there were."""
    o = outbox.c
    with writing(engine) as connection:
        return connection.execute(outbox.delete().where(o.kind == ALERT, o.created_at < before)).rowcount


def _alert(settings: Settings, effects: Sequence[Effect]) -> Alert:
    lines = [_line(one) for one in effects]
    broken = sum(one.payload.get("what") == "broken" for one in effects)
    counts = (f"{number:,} {what}" for number, what in ((broken, "broken"), (len(effects) - broken, "well again")) if number)
    subject = f"aura ({settings.environment or 'production'}): connections: {', '.join(counts)}"
    digest = sha256("\n".join(one.key for one in effects).encode()).hexdigest()
    return Alert(subject, [*lines, "See: aura integrations list --health needs_consent"], f"aura-alert/{digest}")


def _line(effect: Effect) -> str:
    told = effect.payload
    whose = f" of {told['user_id']}" if told.get("user_id") else ", for everybody"
    error = f" ({told['error']})" if told.get("error") else ""
    what = "well again" if told.get("what") == "recovered" else told.get("what")
    return f"{told.get('provider')}{whose}: {what}{error}"


def _at(key: str) -> datetime:
    """When it was asked for: the last word of its key."""
    try:
        return datetime.fromisoformat(key.rpartition(" ")[2])
    except ValueError:
        return datetime.now(UTC)
