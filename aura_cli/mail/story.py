"""Mails to somebody and what became of each, why they get none, and who was invited into their workspace, or invited them."""

from collections.abc import Iterator

from sqlalchemy import Connection, func, or_, select

from aura_cli.audit.story import MOST, Moment, Whom
from aura_cli.db.shared import team_invites
from aura_cli.db.types import among
from aura_cli.mail.tables import mails, suppressions

UNSENT = ("not_configured", "suppressed", "bounced", "complained", "failed", "expired")  # the states in which nobody has read it


def story(connection: Connection, whom: Whom, mail: str | None = None) -> Iterator[Moment]:
    """Mails to somebody, and this `mail` (our id), whomever it went to."""
    m, s, t = mails.c, suppressions.c, team_invites.c
    theirs = or_(among(m.user_id, whom.users), among(func.lower(m.address), whom.addresses), m.id == mail if mail else m.id.is_(None))
    sent = select(m.id, m.template, m.state, m.error, m.state_at).where(theirs)
    for identifier, template, state, error, at in connection.execute(sent.order_by(m.created_at.desc()).limit(MOST)):
        yield Moment(
            at, "mail", f"{template} {state}".replace("_", " "), f"{identifier}{f': {error}' if error else ''}", identifier, state in UNSENT
        )
    silent = select(s.address, s.reason, s.since).where(among(s.address, whom.addresses))
    for address, reason, since in connection.execute(silent):
        yield Moment(since, "mail", "gets no mail", f"{address}: {reason}", address, broken=True)
    invited = select(t.id, t.email, t.status, t.role, t.created_at, t.accepted_at)
    involved = or_(among(func.lower(t.email), whom.addresses), among(t.workspace_owner_id, whom.users))
    for identifier, email, status, role, at, accepted in connection.execute(
        invited.where(involved).order_by(t.created_at.desc()).limit(MOST)
    ):
        yield Moment(at, "app", "invitation made", f"{email} as {role}, {status} by now", str(identifier))
        if accepted:
            yield Moment(accepted, "app", "invitation accepted", email, str(identifier))
