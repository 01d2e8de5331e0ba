"""`Runtime`: what every command is handed; the one place, beside `app.py`, that puts the parts together.

Everything heavy is made when it is first asked for and closed when the command ends.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aura_cli.console import Console
from aura_cli.settings import TRY_IT, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from sqlalchemy import Column, Engine

    from aura_cli.cron.listing import Listed
    from aura_cli.cron.notices import Notices
    from aura_cli.db.binding import Identity
    from aura_cli.integrations.catalogue import Catalogue
    from aura_cli.integrations.wire import Wire
    from aura_cli.mail.sending import Mailing
    from aura_cli.reporting import Reporter
    from aura_cli.transport import Service
    from aura_cli.users.erasing import Elsewhere
    from aura_cli.users.holdings import Room
    from aura_cli.users.who import Person
    from aura_cli.vault.keyring import KeyRing
    from aura_cli.webhooks.postbox import Postbox


@dataclass(frozen=True)
class Options:
    """The global options of one command line."""

    as_json: bool = False
    quiet: bool = False
    yes: bool = False
    dry_run: bool = False
    debug: bool = False
    environment: str | None = None
    env_file: str | None = None

    @property
    def to_write(self) -> str:
        """What a command that only planned is to be called with, to do it."""
        return "--apply without -n" if self.dry_run else "--apply"


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Runtime:
    """One command's surroundings. Use as a context manager: leaving it closes what was opened."""

    options: Options
    console: Console
    clock: Callable[[], datetime] = utc_now
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def settings(self) -> Settings:
        file = Path(self.options.env_file) if self.options.env_file else None
        settings = Settings.load(environment=self.options.environment, env_file=file)
        self.console.secrets = tuple(settings.secret_values())
        for name in settings.ignored:
            self.console.warn(f"{name} is ignored: it does not come from where its credential comes from")
        return settings

    def pasted(self, command: str) -> str:
        """A command of ours with the options that say whose settings count here, to be pasted as it is.

        What is another's, or names an environment by itself, is as it was.
        """
        from shlex import quote

        program, _, words = command.partition(" ")
        if program != "aura" or "--env" in words.split():
            return command
        named = {"--env": self.options.environment, "--env-file": self.options.env_file}
        return " ".join((program, *(word for name, value in named.items() if value for word in (name, quote(value))), words))

    @cached_property
    def _location(self) -> tuple[str, bool]:
        """Where the database is, and whether that is the embedded one, which is announced on stderr."""
        from aura_cli.db.location import EMBEDDED_NOTE, database_url

        url, embedded = database_url(self.settings)
        if embedded:
            self.console.say(EMBEDDED_NOTE.format(home=self.settings.home))
        return url, embedded

    @property
    def database_url(self) -> str:
        """Where the database is; the embedded one is announced on stderr."""
        return self._location[0]

    @cached_property
    def bare_engine(self) -> Engine:
        """The database whatever state its schema is in: for `aura db` alone."""
        from aura_cli.db.engine import connect

        engine = connect(self.database_url)
        self._open.callback(engine.dispose)
        return engine

    @cached_property
    def engine(self) -> Engine:
        """The database, its schema known to be this program's. Raises ConfigurationError if it is not."""
        from aura_cli.db.migrate import require_current

        require_current(self.bare_engine, TRY_IT if self._location[1] else "")
        if self.settings.is_sandbox:
            from aura_cli.db.binding import require_sandbox

            require_sandbox(self.bare_engine)
        return self.bare_engine

    @cached_property
    def stripe(self) -> Service:
        """Stripe with the configured key. Raises ConfigurationError without one."""
        from aura_cli.subscriptions.stripe import service

        return self._open.enter_context(service(self.settings))

    def stripe_at(self, max_rps: float | None) -> Service:
        """Stripe at another request rate than the usual one; None: the usual."""
        if max_rps is not None:
            from aura_cli.subscriptions.stripe import service

            self.__dict__["stripe"] = self._open.enter_context(service(self.settings, max_rps))
        return self.stripe

    @cached_property
    def privy(self) -> Service:
        """Privy with the configured app. Raises ConfigurationError without one."""
        from aura_cli.users.privy import service

        return self._open.enter_context(service(self.settings))

    @cached_property
    def vault(self) -> KeyRing:
        """The keys that seal and open tokens. Raises ConfigurationError where the retired ones are malformed."""
        from aura_cli.vault.keyring import KeyRing

        return KeyRing.of(self.settings)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Every provider, those of AURA_PROVIDERS_DIR among them. Raises ConfigurationError for a file that is wrong."""
        from aura_cli.integrations.catalogue import load

        folder = self.settings.get("AURA_PROVIDERS_DIR")
        return load(Path(folder) if folder else None)

    @cached_property
    def mailing(self) -> Mailing:
        """Who delivers mail. Raises ConfigurationError for a sender that is none."""
        from aura_cli.mail.plans import described
        from aura_cli.mail.sending import Mailing, unnamed

        plans = (lambda price: described(self.stripe, price)) if self.settings.stripe_mode else unnamed
        return Mailing.of(self.engine, self.settings, plans)

    @property
    def notices(self) -> Notices | None:
        """Who delivers the operators' alerts; None where nobody is to be told."""
        from aura_cli.cron.notices import Notices

        return Notices.of(self.settings)

    def postboxes(self) -> list[Postbox]:
        """What the listener takes beside Stripe's events, as far as it is configured. Raises ConfigurationError where it cannot be."""
        from aura_cli.mail.receiving import PATH, Reception
        from aura_cli.webhooks.postbox import Postbox

        reception = Reception.of(self.engine, self.settings)
        return [Postbox(PATH, reception.take)] if reception else []

    @cached_property
    def wire(self) -> Wire:
        """The way to every provider."""
        from aura_cli.integrations.wire import Wire

        return self._open.enter_context(Wire())

    @contextmanager
    def scheduled_jobs(self) -> Iterator[list[str]]:
        """Every job whose settings are there, at its time, for the length of the block, in threads; their names. See `aura cron`."""
        from aura_cli.cron.beside import beside
        from aura_cli.cron.scheduler import scheduled

        def surroundings() -> Runtime:
            console = replace(self.console, as_json=False, quiet=True, yes=True)
            return Runtime(replace(self.options, as_json=False, quiet=True, yes=True), console, self.clock)

        with scheduled(beside(self.settings, surroundings, self.clock)) as scheduler:
            yield [job.name for job in scheduler.jobs]

    def identity(self) -> Identity:
        """Who would write: environment, Stripe account and mode, Privy app, key."""
        from aura_cli.db.binding import Identity

        return Identity.of(self.settings, self._stripe_account)

    def check_binding(self, keys: Collection[str] = ()) -> Identity:
        """Raise ConfigurationError where the database is bound to something else than what is configured; `keys` as `check` has them."""
        from aura_cli.db.binding import check

        engine = self.engine  # is looked at before Stripe is asked: a key that does not belong to it goes nowhere
        identity = self.identity()
        check(engine, identity, store=False, keys=keys)
        return identity

    def bind(self) -> Identity:
        """The guard before a write that stays within `aura_ops`: a binding that was open is remembered. Returns who writes.

        Nobody is asked, because nothing of the web app's changes. Raises ConfigurationError for another environment.
        """
        from aura_cli.db.binding import check

        identity = self.check_binding()
        check(self.engine, identity, store=True)
        return identity

    def authorise(self, rows: int | None = None, kinds: Mapping[str, int] | None = None, *, keys: Collection[str] = ()) -> Identity:
        """The guard before a write: the binding, then, in production, the target line and the person's consent. Returns who writes.

        `rows` is how many are about to change, or `kinds` how many of what kind, where that is known. Raises ConfigurationError
        for another environment, ConflictError when nobody confirms. Only then is a binding that was open remembered.
        """
        from aura_cli.db.binding import check

        identity = self.check_binding(keys)
        self.confirm_target(identity, rows, kinds)
        check(self.engine, identity, store=True, keys=keys)
        return identity

    def confirm_target(self, identity: Identity | None = None, rows: int | None = None, kinds: Mapping[str, int] | None = None) -> None:
        """In production: say where a write would go, and return once the person agreed. Raises ConflictError else."""
        from aura_cli.db.location import is_production, target_line

        if is_production(self.settings, self.database_url):
            rows = sum(kinds.values()) if kinds is not None else rows
            self.console.warn(target_line(self.settings, self.database_url, identity, rows))
            if kinds:
                self.console.warn("  " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()))
            self.console.confirm("Write to production?")

    def _stripe_account(self) -> str:
        """The account behind the key. Stripe, `GET /v1/account`."""
        from aura_cli.subscriptions.stripe import account

        return account(self.stripe)

    @cached_property
    def reporter(self) -> Reporter:
        """Who tells Sentry, where it is configured. Raises ConfigurationError for a rate that is none."""
        from aura_cli.reporting import Reporter, rate

        dsn, share = self.settings.get("NEXT_PUBLIC_SENTRY_DSN"), rate(self.settings.get("AURA_TRACES_SAMPLE_RATE"))
        reporter = Reporter(dsn, self._environment, self.console.redact, share)
        self._open.callback(reporter.close)
        return reporter

    @property
    def _environment(self) -> str:
        """The environment's name for those outside: where it has none, what it is taken for."""
        from contextlib import suppress

        from aura_cli.db.location import database_url, is_production
        from aura_cli.errors import AuraError

        if self.settings.environment is None and self.settings.secret("DATABASE_URL"):
            with suppress(AuraError):
                return "production" if is_production(self.settings, database_url(self.settings)[0]) else "development"
        return self.settings.environment or "production"

    def report(self, error: Exception, where: str) -> None:
        """Tell Sentry of an unforeseen error, where it is configured; `where` is the command."""
        from contextlib import suppress

        from aura_cli.errors import AuraError

        with suppress(AuraError):  # settings that cannot be read have been told of already
            if self.settings.get("NEXT_PUBLIC_SENTRY_DSN"):
                self.reporter.error(error, where)

    def jobs(self) -> list[Listed]:
        """Every job of cron's, with how its last run went."""
        from aura_cli.cron.listing import listed
        from aura_cli.db.engine import reading

        with reading(self.engine) as connection:
            return list(listed(connection, self.clock()))

    @property
    def sealed_columns(self) -> tuple[Column[str], ...]:
        """The columns of ours, in whichever room, that hold sealed values: what a change of the key has to re-seal."""
        from aura_cli.integrations.tables import connect_links, revocations

        return connect_links.c.sealed, revocations.c.sealed

    @property
    def persons(self) -> tuple[Room, ...]:
        """What every room keeps about one person; those first that find it by what others keep."""
        from aura_cli.chat import persons as chat
        from aura_cli.integrations import persons as integrations
        from aura_cli.mail import persons as mail
        from aura_cli.subscriptions import persons as subscriptions
        from aura_cli.users import persons as users
        from aura_cli.webhooks import persons as webhooks

        return chat, mail, integrations, webhooks, subscriptions, users

    @property
    def elsewhere(self) -> Elsewhere:
        """What other rooms do when somebody is erased."""
        from aura_cli.integrations.persons import require_loose, revoke_all
        from aura_cli.integrations.revoke import Ender
        from aura_cli.subscriptions import customers, persons
        from aura_cli.users.erasing import Elsewhere

        def revoke(person: Person) -> tuple[int, int]:
            return revoke_all(Ender(self.engine, self.vault, self.catalogue, self.wire, self.settings, self.clock), person)

        return Elsewhere(customers.of, persons.living, persons.end, revoke, require_loose)

    def kinds(self) -> dict[str, Any]:
        """Every kind of drift that any room can repair, by name: what `aura apply` may find in a plan."""
        from aura_cli.subscriptions.kinds import KINDS
        from aura_cli.users.merging import KINDS as OF_PEOPLE

        _ = self.persons  # loads the rooms' tables, which a merge of people looks through
        return {**KINDS, **OF_PEOPLE}
