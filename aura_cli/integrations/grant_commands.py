"""Verbs of `aura integrations` about what a connection is worth: access-token, disconnect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import typer

from aura_cli.console import brief
from aura_cli.errors import AttentionNeeded, UsageError
from aura_cli.integrations.health_commands import keeper, person, renewed
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aura_cli.integrations.revoke import Disconnected
    from aura_cli.integrations.state import Seen

PROVIDER = typer.Argument(metavar="PROVIDER", help="Its id: aura integrations providers lists them.")
USER = typer.Option(..., "--user", metavar="WHO", help="Whose: a user id (uuid), DID, e-mail address, cus_… or sub_…")
FRESH = timedelta(minutes=5)  # what a script can rely on


@dataclass(frozen=True)
class Revealed:
    """An access token, and until when it is good; None: it does not expire."""

    provider: str
    user: str
    access_token: str
    expires_at: datetime | None


@dataclass(frozen=True)
class Foreseen:
    """What `-n` shows: what would become of a connection, in words."""

    provider: str
    user: str
    outcome: str
    dry_run: bool = True


def access_token(
    ctx: typer.Context,
    provider: str = PROVIDER,
    user: str = USER,
    reveal: bool = typer.Option(False, "--reveal", help="Print it: it is a secret, and this is noted in the operator log."),
) -> None:
    """Print a fresh access token on standard output, for a script.

    Example: aura integrations access-token github --user ada@example.com --reveal | gh auth login --with-token
    """
    from aura_cli.audit.log import record
    from aura_cli.db.engine import writing
    from aura_cli.integrations.health import Desk
    from aura_cli.integrations.provider import ACCESS

    runtime: Runtime = ctx.obj
    if not reveal:
        raise UsageError("An access token is a secret, and would be printed", "Add --reveal where nobody looks on")
    user_id = person(runtime, user)
    if runtime.options.dry_run:
        one = Desk(runtime.engine, runtime.vault, runtime.catalogue).one(user_id, provider)
        due = "be refreshed, and its token " if one.is_due(runtime.clock(), FRESH) else ""
        _foresee(runtime, Foreseen(one.read.provider, user_id, f"would {due}be printed"), user)
        return
    runtime.authorise(1)
    one = renewed(runtime, user_id, provider, FRESH)
    token = one.read.secrets.get(ACCESS)
    _require_good(one, token, runtime.clock(), f"aura integrations connect {provider} --user {user}")
    with writing(runtime.engine) as connection:
        details = {"provider": one.read.provider}
        record(connection, runtime.settings.operator, "integrations.access_token", one.read.id, user_id=user_id, details=details)
    found = Revealed(one.read.provider, user_id, token or "", one.read.expiry)
    if runtime.options.as_json:
        runtime.console.result(found, lambda: ())
    else:
        runtime.console.emit(found.access_token)


def _require_good(one: Seen, token: str | None, now: datetime, again: str) -> None:
    """Raise AttentionNeeded for a token that is none, or worth nothing any more; `again` is the command that makes another."""
    from aura_cli.integrations.state import Health

    health = one.health(now)
    if not token or health in (Health.UNREADABLE, Health.NEEDS_CONSENT):
        said = f": {one.known.error}" if one.known.error else ""
        raise AttentionNeeded(f"There is no good access token: this connection is {health}{said}", again)
    if one.read.expiry and one.read.expiry <= now:
        raise AttentionNeeded(f"The access token expired at {brief(one.read.expiry)}, and could not be renewed", one.known.error or again)


def disconnect(ctx: typer.Context, provider: str = PROVIDER, user: str = USER) -> None:
    """Revoke somebody's connection at the provider, and delete it here.

    What cannot be revoked now is tried again by aura integrations refresh; this ends with 3 then.
    Example: aura integrations disconnect slack --user ada@example.com
    """
    from aura_cli.integrations.health import Desk
    from aura_cli.integrations.revoke import Ender, revocation

    runtime: Runtime = ctx.obj
    user_id = person(runtime, user)
    one = Desk(runtime.engine, runtime.vault, runtime.catalogue).one(user_id, provider)
    _tell_of_others(runtime, one, provider)
    if runtime.options.dry_run:
        way = "revoked and deleted" if revocation(one) else "deleted; the provider offers no way to revoke it"
        _foresee(runtime, Foreseen(one.read.provider, user_id, f"would be {way}"), user)
        return
    runtime.vault.require_sealing()
    runtime.authorise(one.copies)
    if keeper(runtime).restore()["stored"]:  # of what an earlier refresh left behind: the newest tokens are those to revoke
        one = Desk(runtime.engine, runtime.vault, runtime.catalogue).one(user_id, provider)
    settings, clock = runtime.settings, runtime.clock
    done = Ender(runtime.engine, runtime.vault, runtime.catalogue, runtime.wire, settings, clock).end(one)
    runtime.console.result(done, lambda: _told(done))
    if done.revoked == "no":
        raise typer.Exit(AttentionNeeded.exit_code)


def _foresee(runtime: Runtime, found: Foreseen, user: str) -> None:
    """Tell it without a word on standard output, which a script takes for the token; `--json` has its object there."""
    runtime.check_binding()
    if runtime.options.as_json:
        runtime.console.result(found, lambda: ())
    else:
        runtime.console.say(f"{found.provider} of {user} {found.outcome}. Nothing was sent or written")


def _tell_of_others(runtime: Runtime, one: Seen, provider: str) -> None:
    """Say which other entries of the catalogue live on the same row, and ask before they end with it."""
    from aura_cli.db.engine import reading
    from aura_cli.integrations.store import sharers

    with reading(runtime.engine) as connection:
        others = [name for name in sharers(connection, one.read.id) if name != provider.lower()]
    if others:
        runtime.console.warn(f"{', '.join(others)} of this user lives on the same consent, and ends with it")
        if not runtime.options.dry_run:
            runtime.console.confirm("Disconnect them all?")


def _told(done: Disconnected) -> Iterator[str]:
    revoked = {"yes": "revoked at the provider", "not offered": "the provider offers no way to revoke it"}
    yield f"Disconnected: {done.provider}{f' ({done.label})' if done.label else ''}, {revoked.get(done.revoked, 'not revoked yet')}"
    if done.error:
        yield f"{done.error}; aura integrations refresh tries again"
    if done.rows > 1:
        yield f"{done.rows} rows were deleted"
