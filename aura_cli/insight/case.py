"""One person's case: all that is known of them, here and outside, for each link of the chain to be looked at."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from sqlalchemy import Connection, func, select

from aura_cli.db.shared import subscriptions, users
from aura_cli.db.types import among
from aura_cli.insight.remote import AtStripe, Remote
from aura_cli.insight.subject import Subject
from aura_cli.integrations.catalogue import Catalogue
from aura_cli.settings import Settings
from aura_cli.subscriptions import keeping
from aura_cli.subscriptions.keeping import Facts, Row
from aura_cli.subscriptions.tables import subscription_states
from aura_cli.users.who import Person
from aura_cli.vault.keyring import KeyRing


@dataclass(frozen=True)
class Break:
    """A link that is broken: which, how, and the one command that repairs it, of this person alone (none where a person has to)."""

    link: str
    what: str
    fix: str


def command(words: str, *names: str) -> str:
    """`aura` with `words`, a name in the place of each `{}`: they are of others' making, and a shell takes each as one word."""
    return f"aura {words}".format(*map(shlex.quote, names))


@dataclass(frozen=True)
class Case:
    """`now` is the database's clock; `connection` only reads."""

    connection: Connection
    settings: Settings
    subject: Subject
    remote: Remote
    vault: KeyRing
    catalogue: Catalogue
    now: datetime
    trusts_stripe: bool = field(default=True)  # False: what the configured key sees is another account's

    @property
    def users(self) -> tuple[str, ...]:
        return self.subject.whom.users

    @property
    def who(self) -> str:
        return self.subject.who

    @property
    def stripe(self) -> AtStripe | None:
        """What Stripe says, where it was asked with a key of this database's account."""
        return self.remote.stripe if self.trusts_stripe else None

    @cached_property
    def rows(self) -> dict[str, Row]:
        """The web app's rows, by subscription."""
        s = subscriptions.c
        known = select(s.stripe_subscription_id).where(among(s.user_id, self.users))
        ids = {*self.connection.execute(known).scalars(), *(one.id for one in self.facts)}
        return keeping.rows(self.connection, sorted(ids), hold=False)

    @cached_property
    def facts(self) -> Sequence[Facts]:
        """The subscriptions as Stripe has them now, or else as they were last seen."""
        if self.stripe:
            return self.stripe.subscriptions
        s = subscription_states.c
        seen = select(s.subscription).where(s.current, among(s.customer, self.subject.customers))
        known = self.connection.execute(seen).scalars()
        return [state.facts for state in keeping.states(self.connection, known).values()]

    @cached_property
    def entitled(self) -> tuple[str, ...]:
        """The users among them whom the web app lets in: by the newest row alone."""
        newest: dict[str, Row] = {}
        for row in self.rows.values():
            if row.user_id not in newest or row.created_at > newest[row.user_id].created_at:
                newest[row.user_id] = row
        return tuple(user for user, row in newest.items() if user in self.users and row.entitles(self.now))

    def people_with(self, address: str) -> list[Person]:
        """Everybody here with a mail address, in whichever case."""
        columns = [users.c[name] for name in Person.__dataclass_fields__]
        found = select(*columns).where(func.lower(users.c.email) == address).order_by(users.c.created_at, users.c.id).limit(10)
        return [Person(*row) for row in self.connection.execute(found)]
