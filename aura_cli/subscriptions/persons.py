"""What is kept of one person's money: it stays when they are erased, on a user without a name, because accounts have to add up."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, Text, and_, func, literal, or_, select

from aura_cli.db.shared import subscriptions, token_balances, token_top_ups
from aura_cli.db.types import among, utc_now
from aura_cli.subscriptions.customers import of
from aura_cli.subscriptions.stripe import ENDED
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
    runs = s.status.not_in(ENDED)
    return list(connection.execute(select(s.subscription).where(_seen(connection, person), s.current, runs)).scalars())


def end(connection: Connection, person: Person, deleted: Sequence[str]) -> None:
    """These customers were deleted at Stripe, which ended their subscriptions: no event that would say so is matched any more.

    A subscription that was never seen at Stripe is the customer's in the person's row, as far as anybody knows.
    """
    s, seen = subscriptions.c, subscription_states.c
    last = select(seen.customer).where(seen.current, seen.subscription == s.stripe_subscription_id).scalar_subquery()
    customer = func.coalesce(last, literal(person.stripe_customer_id, Text))
    runs = and_(s.user_id == person.id, s.status != "canceled", or_(customer.is_(None), among(customer, deleted)))
    connection.execute(subscriptions.update().where(runs).values(status="canceled", updated_at=utc_now()))
