"""What is kept of one person's money: it stays when they are erased, on a user without a name, because accounts have to add up."""

from collections.abc import Iterator, Mapping

from sqlalchemy import ColumnElement, Connection, select

from aura_cli.db.shared import subscriptions, token_balances, token_top_ups
from aura_cli.db.types import among, utc_now
from aura_cli.subscriptions.customers import of
from aura_cli.subscriptions.tables import customer_links, grants, staged_customers, subscription_states
from aura_cli.users.holdings import Holding, Row, erased, of_user, taken
from aura_cli.users.tables import other_customers
from aura_cli.users.who import Person


def _seen(connection: Connection, person: Person) -> ColumnElement[bool]:
    return among(subscription_states.c.customer, of(connection, person))


def _staged(connection: Connection, person: Person) -> ColumnElement[bool]:
    return among(staged_customers.c.id, of(connection, person))


HOLDINGS = (
    of_user(subscriptions, becomes={}),
    of_user(token_balances, becomes={}),
    of_user(token_top_ups, becomes={}),
    of_user(grants, becomes={"reason": None}),  # what an operator wrote there
    Holding(subscription_states, _seen, becomes={}),
    Holding(staged_customers, _staged),
    of_user(customer_links),
    of_user(other_customers),
)


def takeout(connection: Connection, person: Person) -> Iterator[tuple[str, Row]]:
    """Subscriptions with all that was seen of them, the balance with what it is made of, customers at Stripe."""
    return taken(connection, person, HOLDINGS)


def erase(connection: Connection, person: Person) -> Mapping[str, int]:
    """Forget whose customers they are; money rows stay."""
    return erased(connection, person, HOLDINGS)


def living(connection: Connection, person: Person) -> list[str]:
    """Subscriptions of their customers that had not ended when they were last seen, in the web app's rows or not."""
    s = subscription_states.c
    runs = s.status.not_in(("canceled", "incomplete_expired"))
    return list(connection.execute(select(s.subscription).where(_seen(connection, person), s.current, runs)).scalars())


def end(connection: Connection, person: Person) -> None:
    """Their customers were deleted at Stripe, which ended their subscriptions: no event that would say so is matched any more."""
    theirs = subscriptions.c.user_id == person.id
    ended = {"status": "canceled", "updated_at": utc_now()}
    connection.execute(subscriptions.update().where(theirs, subscriptions.c.status != "canceled").values(ended))
