"""Does mail reach the person: their address, what was sent to it, invitations that the web app made and nobody sent?"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Text, cast, func, literal, or_, select

from aura_cli.db.shared import team_invites, users
from aura_cli.db.types import among
from aura_cli.insight.case import Break, Case, command
from aura_cli.mail.invites import TEMPLATE
from aura_cli.mail.story import UNSENT
from aura_cli.mail.suppression import COMPLAINED, among_these
from aura_cli.mail.tables import mails

LINK = "mail"
_JUST_NOW = timedelta(minutes=15)


def breaks(case: Case) -> Iterator[Break]:
    """Addresses that get nothing, invitations that were never sent, and of each kind of mail the last one, where it did not go out."""
    silent = among_these(case.connection, case.subject.addresses)
    for address, reason in silent.items():
        repair = "email log {}" if reason == COMPLAINED else "email suppress --remove {}"  # who complained has to ask for mail again
        yield Break(LINK, f"{address} gets no mail: {reason}", command(repair, address))
    yield from _invitations(case)
    yield from _unsent(case, silent)


def _invitations(case: Case) -> Iterator[Break]:
    """Those that still let somebody in: to send an expired one would open it again, and nobody asked for that."""
    t, m = team_invites.c, mails.c
    its = m.key.like(literal(f"{TEMPLATE}:") + cast(t.id, Text) + ":%")
    sent = select(m.id).where(its, m.state.not_in(UNSENT)).exists()
    involved = or_(among(func.lower(t.email), case.subject.addresses), among(t.workspace_owner_id, case.users))
    found = select(t.email, t.workspace_owner_id, users.c.email.label("owner"), t.created_at).join(
        users, users.c.id == t.workspace_owner_id
    )
    waiting = found.where(involved, t.status == "pending", t.expires_at > case.now, ~sent, t.created_at < case.now - _JUST_NOW)
    rows = case.connection.execute(waiting.order_by(t.created_at).limit(5)).all()
    silent = among_these(case.connection, [row.email for row in rows])
    for email, workspace, owner, at in rows:
        if email.lower() not in silent:
            fix = command("email invite --workspace {} --email {} --resend", workspace, email)
            yield Break(LINK, f"{email} was invited by {owner or workspace} on {at:%Y-%m-%d}, and the invitation was never sent", fix)


def _unsent(case: Case, silent: Mapping[str, str]) -> Iterator[Break]:
    """Invitations have been looked at: what counts of them is whether they are open."""
    m, asked = mails.c, case.subject.mail
    theirs = or_(among(m.user_id, case.users), among(func.lower(m.address), case.subject.addresses))
    wanted = or_(m.id == asked, theirs & (m.template != TEMPLATE)) if asked else theirs & (m.template != TEMPLATE)
    newest: dict[tuple[str, str | None], Any] = {}
    for row in case.connection.execute(
        select(m.id, m.template, m.address, m.state, m.error, m.created_at).where(wanted).order_by(m.created_at)
    ):
        newest[(row.id, None) if row.id == asked else (row.template, row.address)] = row
    for row in sorted(newest.values(), key=lambda row: (row.id != asked, row.created_at)):
        waits = row.state == "queued" and row.created_at < case.now - _JUST_NOW
        unsent = row.state in UNSENT and row.state != "complained"
        if (waits or unsent) and (row.address or "").lower() not in silent:
            why = f": {row.error}" if row.error else ""
            yield Break(
                LINK, f"The mail {row.template} to {row.address or 'nobody known'} is {row.state.replace('_', ' ')}{why}", _retry(row)
            )


def _retry(row: Any) -> str:
    return command("email retry {}" + " --anew" * (row.state == "expired"), row.id)
