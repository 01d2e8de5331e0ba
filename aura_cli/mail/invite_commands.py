"""`aura email invite`: somebody into a workspace, by mail."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from aura_cli.console import brief
from aura_cli.errors import AttentionNeeded, AuraError, UsageError
from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from aura_cli.mail.invites import Invitation, Invited
    from aura_cli.users.who import Person


class Role(StrEnum):
    """What somebody may do in a workspace; an owner is not invited."""

    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


def invite(
    ctx: typer.Context,
    workspace: str = typer.Option(..., "--workspace", metavar="WHO", help="Whose: the owner's id, DID, e-mail address, cus_… or sub_…"),
    email: str = typer.Option(..., "--email", metavar="ADDRESS", help="Who is invited."),
    role: Role | None = typer.Option(None, "--role", help="What they may do there (default: member)."),
    team: str | None = typer.Option(None, "--team", metavar="NAME", help="What the mail calls the workspace."),
    resend: bool = typer.Option(False, "--resend", help="Send the open invitation once more, good for seven days from now."),
    revoke: bool = typer.Option(False, "--revoke", help="Take the open invitation back: its link works no more."),
    unchecked: bool = typer.Option(False, "--unchecked", help="Send it though the link was not looked at."),
    require: bool = typer.Option(False, "--require", help="Exit 4 where RESEND_API_KEY is not set."),
) -> None:
    """Invite somebody into a workspace: make the web app's invitation, see that its link answers, send it by mail.

    The link is good for seven days; where it leads nowhere nothing stays. Example: aura email invite --workspace mina@example.com
    --email ravi@example.com
    """
    from aura_cli.db.engine import reading, writing
    from aura_cli.mail import invites
    from aura_cli.mail.addresses import checked
    from aura_cli.users.who import resolve

    runtime: Runtime = ctx.obj
    if resend and revoke:
        raise UsageError("--resend and --revoke contradict each other")
    if role and (resend or revoke):
        raise UsageError("--role goes with a new invitation", "Revoke the open one, and make another")
    address, operator = checked(email), runtime.settings.operator
    with reading(runtime.engine) as connection:
        owner, now = resolve(connection, workspace), invites.now_of(connection)
    if revoke:
        runtime.check_binding() if runtime.options.dry_run else runtime.authorise(1)
        with writing(runtime.engine) as connection:
            revoked = invites.revoke(connection, owner, address, operator)
            if runtime.options.dry_run:
                connection.get_transaction().rollback()  # type: ignore[union-attr]
        _tell(runtime, invites.Invited(revoked, owner.id, address, revoked.role, None, None))
        return
    if require:
        runtime.settings.require("RESEND_API_KEY", "mail is sent with it")
    _send(runtime, owner, address, role, team, now, renews=resend, unchecked=unchecked)


def _send(
    runtime: Runtime, owner: Person, address: str, role: Role | None, team: str | None, now: datetime, *, renews: bool, unchecked: bool
) -> None:
    from aura_cli.db.engine import writing
    from aura_cli.mail import asking, campaign, invites, suppression
    from aura_cli.mail.rendering import render
    from aura_cli.mail.send_commands import carried, tell

    settings, wanted_role = runtime.settings, role or Role.MEMBER
    shape, mailing = invites.link_shape(settings), runtime.mailing
    runtime.check_binding() if runtime.options.dry_run else runtime.authorise(1)
    with writing(runtime.engine) as connection:
        if reason := suppression.among_these(connection, [address]).get(address.lower()):
            raise AttentionNeeded(f"{address} gets no mail: {reason}", f"If it may again: aura email suppress --remove {address}")
        open_token = invites.token_of(connection, owner, address) if renews else None
    if open_token and not (unchecked or runtime.options.dry_run):
        invites.require_answer(shape.replace("{token}", open_token))
    with writing(runtime.engine) as connection:
        invitation, token = (
            invites.renew(connection, owner, address, now, settings.operator)
            if renews
            else invites.make(connection, owner, address, wanted_role, now, settings.operator)
        )
        wanted = invites.mail(invitation, owner, shape.replace("{token}", token), team)
        invites.supersede(connection, invitation, "A later mail brings the invitation", but=wanted.key)
        render(wanted.template, wanted.data, app_url=settings.get("NEXT_PUBLIC_APP_URL") or "")
        if runtime.options.dry_run:
            connection.get_transaction().rollback()  # type: ignore[union-attr]
    if runtime.options.dry_run:
        _tell(runtime, invites.Invited(None, owner.id, address, invitation.role, None, None))
        return
    if not (renews or unchecked):
        _check_link(runtime, invitation, wanted.data["link"])
    configured = settings.secret("RESEND_API_KEY") is not None
    with writing(runtime.engine) as connection:
        (asked,) = asking.ask(connection, [wanted], state="queued" if configured else "not_configured")
    halted = carried(mailing, campaign.effects(runtime.engine, [asked.id]))
    states = campaign.states(runtime.engine, [asked.id])
    _tell(runtime, invites.Invited(invitation, owner.id, address, invitation.role, asked.id, next(iter(states))))
    tell(runtime, asked.id, halted, shown=False)


def _check_link(runtime: Runtime, invitation: Invitation, link: str) -> None:
    """Leave nothing behind of a new invitation whose link leads nowhere."""
    from aura_cli.db.engine import writing
    from aura_cli.mail import invites

    try:
        invites.require_answer(link)
    except (AuraError, KeyboardInterrupt):
        with writing(runtime.engine) as connection:
            invites.withdraw(connection, invitation)
        raise


def _tell(runtime: Runtime, done: Invited) -> None:
    runtime.console.result(done, lambda: _told(done, dry_run=runtime.options.dry_run))
    if runtime.options.dry_run:
        runtime.console.say("Nothing was changed, nothing was sent.")


def _told(done: Invited, *, dry_run: bool) -> Iterator[str]:
    if done.invitation is None:
        yield f"{done.email} would be invited as {done.role}."
    elif done.invitation.status == "revoked":
        yield f"The invitation of {done.email} {'would be' if dry_run else 'is'} revoked."
    else:
        yield f"{done.email} is invited as {done.role}, until {brief(done.invitation.expires_at)}; the mail is {done.state}."
