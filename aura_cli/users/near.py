"""Whom a mistyped e-mail address may have meant."""

from difflib import get_close_matches

from sqlalchemy import Connection, func, or_, select

from aura_cli.db.shared import users

CANDIDATES = 5_000  # of a million addresses so many begin alike at most; looked at only where nobody was found
ALIKE = 0.85


def meant(connection: Connection, who: str) -> str:
    """`Did you mean …? ` for a mistyped e-mail address of somebody here; nothing for any other identifier."""
    found = near(connection, who) if "@" in who else []
    return f"Did you mean {' or '.join(found)}? " if found else ""


def near(connection: Connection, email: str) -> list[str]:
    """At most three addresses that differ from `email` by a slip or two: none in its first two letters, or none in what follows them."""
    wanted, address = email.lower(), func.lower(users.c.email)
    alike = or_(address.startswith(wanted[:2], autoescape=True), address.endswith(wanted[2:], autoescape=True))
    as_long = func.length(users.c.email).between(len(wanted) - 2, len(wanted) + 2)
    found = connection.scalars(select(users.c.email).where(alike, as_long).limit(CANDIDATES))
    known = {one.lower(): one for one in found}
    return [known[one] for one in get_close_matches(wanted, known, cutoff=ALIKE)]
