"""What is said of something that nobody knows: where it was looked for, and what may help."""

from sqlalchemy import Connection

from aura_cli.errors import AuraError, NotFoundError
from aura_cli.insight.remote import STRIPE, Remote
from aura_cli.insight.subject import Subject
from aura_cli.users.near import meant

PEOPLE = "aura users list --search TEXT looks for parts of addresses, names and ids"
MISSED = "Of another environment? --env NAME says which. Events that were missed: aura webhooks backfill"


def nobody(connection: Connection, about: Subject, said: Remote, heard: str | AuraError | None) -> NotFoundError:
    """The error about `about`; `heard` is what Stripe said when it was asked for that very object, if it was."""
    silent = [*said.away, *(text.partition(" ")[0] for text in said.skipped)]
    if not about.is_of_stripe:
        unasked = f", and {', '.join(silent)} could not be asked" if silent else ""
        return NotFoundError(f"Nobody here is known by {about.asked}{unasked}", meant(connection, about.asked) + PEOPLE)
    here = f"No webhook event and no booking here is about {about.asked}"
    if STRIPE in silent or (isinstance(heard, AuraError) and not isinstance(heard, NotFoundError)):
        return NotFoundError(f"{here}, and {STRIPE} could not be asked", MISSED)
    if isinstance(heard, str):
        return NotFoundError(f"{here}, and {STRIPE} knows it of {heard}, whom it knows no more", MISSED)
    named_nobody = heard is None and not about.customers
    return NotFoundError(f"{here}, and {STRIPE} {'names no customer of it' if named_nobody else 'does not know it'}", MISSED)
