"""Invitations into a workspace: the web app's own rows, and the mail that carries the link.

The web app makes the rows and sends no mail; whoever has the token is in (web app, `POST /api/team/invites/accept`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Connection, Row, func, select

from aura_cli.audit.log import record
from aura_cli.db.shared import team_invites, team_members, users
from aura_cli.db.types import UUID, among, utc_now
from aura_cli.errors import ConfigurationError, ConflictError, NotFoundError, ServiceError, UnreachableError
from aura_cli.mail.addresses import digest
from aura_cli.mail.asking import Wanted
from aura_cli.mail.rendering import TEMPLATES, checked
from aura_cli.mail.tables import mails
from aura_cli.settings import Settings, leads_here
from aura_cli.users.who import Person

LIFETIME = timedelta(days=7)  # as the web app has it
TEMPLATE = "team-invite"
SETTING = "AURA_INVITE_URL"
SHAPE = "{NEXT_PUBLIC_APP_URL}/team/accept?token={token}"
_PATIENCE = 10.0  # seconds for the link's page
_PLACE = "{token}"
_INVITES = re.compile(rf"{TEMPLATE}:({UUID}):")  # the template sent by hand has another key


@dataclass(frozen=True)
class Invitation:
    """One row of the web app's. Its token is its holder's way in: it stands in the mail and nowhere else that people look."""

    id: str
    workspace: str
    email: str
    role: str
    status: str
    expires_at: datetime


@dataclass(frozen=True)
class Invited:
    """What was done: the invitation, and its mail's id and state; no mail where it was revoked or only looked at."""

    invitation: Invitation | None
    workspace: str
    email: str
    role: str
    mail: str | None
    state: str | None


def link_shape(settings: Settings) -> str:
    """The address of an invitation with `{token}` in it. Raises ConfigurationError where there is none."""
    shape = settings.get(SETTING)
    if shape is None:
        base = settings.get("NEXT_PUBLIC_APP_URL")
        if base is None:
            raise ConfigurationError(f"NEXT_PUBLIC_APP_URL is not set: an invitation leads there, {SHAPE}", f"Set it, or {SETTING}")
        shape = f"{base.rstrip('/')}/team/accept?token={_PLACE}"
    if shape.count(_PLACE) != 1:
        raise ConfigurationError(f"{SETTING} must hold {_PLACE} once", f"Its default is {SHAPE}")
    parts = urlsplit(shape)
    if parts.scheme not in ("http", "https") or not parts.hostname or _PLACE in parts.netloc:
        raise ConfigurationError(f"{SETTING} is no web address: {shape}", f"Its default is {SHAPE}")
    local = leads_here(shape)
    if settings.is_sandbox and not local:
        raise ConfigurationError(f"{SETTING} is not on this machine, and this is the sandbox", "Take a server on 127.0.0.1")
    if parts.scheme == "http" and not local:
        raise ConfigurationError(f"{SETTING} is {shape}: who reads the token is in, so it travels by https", "Only this machine needs none")
    return shape


def require_answer(link: str) -> None:
    """Return if somebody who follows the link finds something there. Raises UnreachableError, or ServiceError for an error's page.

    The token is never said: whoever has it is in.
    """
    place = link.partition("?")[0]
    try:
        answer = httpx.get(link, timeout=_PATIENCE, trust_env=not leads_here(link))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = f"The invitation's link leads nowhere: {place} could not be reached ({type(error).__name__})"
        raise UnreachableError(said, f"Does the web app run? The link's shape is {SETTING}; --unchecked sends it all the same") from None
    if answer.status_code >= 400:
        said = f"The invitation's link leads nowhere: {place} answers {answer.status_code}"
        raise ServiceError(said, f"The link's shape is {SETTING}; --unchecked sends it all the same", status=answer.status_code)


def open_one(connection: Connection, owner: Person, email: str) -> Row[Any] | None:
    """The pending invitation of an address into a workspace, the newest if there are several; it may have expired."""
    t = team_invites.c
    mine = (t.workspace_owner_id == owner.id) & (func.lower(t.email) == email.lower()) & (t.status == "pending")
    return connection.execute(select(team_invites).where(mine).order_by(t.created_at.desc()).limit(1).with_for_update()).first()


def make(connection: Connection, owner: Person, email: str, role: str, now: datetime, operator: str) -> tuple[Invitation, str]:
    """A new invitation, and its token. Raises ConflictError where there is one, or nothing to invite to."""
    connection.execute(select(users.c.id).where(users.c.id == owner.id).with_for_update())  # two at once make one
    t = team_members.c
    member = (
        select(t.role)
        .join(users, users.c.id == t.user_id)
        .where(t.workspace_owner_id == owner.id, func.lower(users.c.email) == email.lower())
    )
    if found := connection.execute(member).scalar():
        raise ConflictError(f"{email} is in this workspace already, as {found}", "The web app changes roles")
    if owner.email and owner.email.lower() == email.lower():
        raise ConflictError(f"{email} is who the workspace belongs to", "Invite somebody else")
    if (pending := open_one(connection, owner, email)) and pending.expires_at > now:
        raise ConflictError(
            f"{email} has an invitation already, as {pending.role}, until {pending.expires_at:%Y-%m-%d %H:%M} UTC",
            "Send it once more with --resend, or take it back with --revoke",
        )
    if pending:
        connection.execute(team_invites.update().where(team_invites.c.id == pending.id).values(status="expired"))
    token = token_hex(32)
    expires_at = now + LIFETIME
    values = {"workspace_owner_id": owner.id, "email": email, "role": role, "token": token, "expires_at": expires_at}
    identifier = connection.execute(team_invites.insert().values(values).returning(team_invites.c.id)).scalar_one()
    _note(connection, operator, "email.invite", str(identifier), owner, email, role)
    return Invitation(str(identifier), owner.id, email, role, "pending", expires_at), token


def token_of(connection: Connection, owner: Person, email: str) -> str:
    """A pending invitation's token. Raises NotFoundError."""
    token: str = _pending(connection, owner, email).token
    return token


def renew(connection: Connection, owner: Person, email: str, now: datetime, operator: str) -> tuple[Invitation, str]:
    """A pending invitation, good for seven more days, and its token. Raises NotFoundError."""
    row = _pending(connection, owner, email)
    expires_at = now + LIFETIME
    connection.execute(team_invites.update().where(team_invites.c.id == row.id).values(expires_at=expires_at))
    _note(connection, operator, "email.invite.resend", str(row.id), owner, email, row.role)
    return Invitation(str(row.id), owner.id, row.email, row.role, "pending", expires_at), row.token


def revoke(connection: Connection, owner: Person, email: str, operator: str) -> Invitation:
    """Take a pending invitation back: its link does not work any more. Raises NotFoundError."""
    row = _pending(connection, owner, email)
    connection.execute(team_invites.update().where(team_invites.c.id == row.id).values(status="revoked"))
    _note(connection, operator, "email.invite.revoke", str(row.id), owner, email, row.role)
    revoked = Invitation(str(row.id), owner.id, row.email, row.role, "revoked", row.expires_at)
    supersede(connection, revoked, "The invitation was revoked")
    return revoked


def supersede(connection: Connection, invitation: Invitation, why: str, but: str = "") -> None:
    """End an invitation's mails that wait and were never tried, except the one with the key `but`; `why` stands in their rows."""
    m = mails.c
    mine = m.key.startswith(f"{TEMPLATE}:{invitation.id}:") & (m.key != but)
    waiting = m.state.in_(("queued", "not_configured")) & m.first_try_at.is_(None)
    connection.execute(mails.update().where(mine, waiting).values(state="failed", error=why, state_at=utc_now()))


def closed(connection: Connection, keys: Iterable[str]) -> dict[str, str]:
    """Of mails' keys those whose invitations are open no more, and what became of these: accepted, expired, revoked or gone."""
    ids = {key: ours[1] for key in keys if (ours := _INVITES.match(key))}
    if not ids:
        return {}
    t = team_invites.c
    wanted = select(t.id, t.status, t.expires_at <= utc_now()).where(among(t.id, list(set(ids.values()))))
    found = {str(id_): "expired" if over and status == "pending" else status for id_, status, over in connection.execute(wanted)}
    return {key: said for key, id_ in ids.items() if (said := found.get(id_, "gone")) != "pending"}


def withdraw(connection: Connection, invitation: Invitation) -> None:
    """Unmake an invitation that nobody was told of."""
    connection.execute(team_invites.delete().where(team_invites.c.id == invitation.id, team_invites.c.status == "pending"))


def mail(invitation: Invitation, owner: Person, link: str, team: str | None) -> Wanted:
    """The mail of an invitation; each time that it is good for longer it is another. Raises UsageError for names that cannot be shown."""
    inviter = owner.name or owner.email or "Somebody"
    data: Mapping[str, object] = {
        "inviter": inviter,
        "team": team or f"{inviter}'s workspace",
        "role": invitation.role,
        "link": link,
        "expires_on": invitation.expires_at.date().isoformat(),
    }
    about = f"{invitation.id}:{invitation.expires_at:%Y%m%dT%H%M%S.%f}"
    return Wanted(TEMPLATE, invitation.email, checked(TEMPLATES[TEMPLATE], data), None, about)


def now_of(connection: Connection) -> datetime:
    """The database's clock, by which the web app's rows count."""
    return connection.execute(select(utc_now())).scalar_one()


def _pending(connection: Connection, owner: Person, email: str) -> Row[Any]:
    if row := open_one(connection, owner, email):
        return row
    raise NotFoundError(
        f"{email} has no open invitation into this workspace", "Make one: aura email invite --workspace WHO --email ADDRESS"
    )


def _note(connection: Connection, operator: str, what: str, identifier: str, owner: Person, email: str, role: str) -> None:
    record(connection, operator, what, identifier, user_id=owner.id, details={"address": digest(email), "role": role})
