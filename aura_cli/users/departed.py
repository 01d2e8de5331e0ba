"""Who was here and is no more: merged into somebody, or erased. What they were known by elsewhere stays, as an alias or as a hash."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

from sqlalchemy import ColumnElement, Connection, exists, func, select

from aura_cli.db.engine import is_sqlite, upsert
from aura_cli.db.shared import users
from aura_cli.db.types import among
from aura_cli.users.tables import erased_ids, other_customers, user_aliases

ERASED = "erased:"  # how the DID of a row begins that has no person any more, and stays for its payments
_DEPARTURES = 0x61757261_64657061  # an advisory lock's number, which no other one has
PRIVY, STRIPE = "privy", "stripe"  # kinds of what an erased person was known by


def was_erased(did: str) -> bool:
    """Has the row of `users` with this DID no person any more?"""
    return did.startswith(ERASED)


def is_somebody() -> ColumnElement[bool]:
    """Over `users`: has the row a person?"""
    return ~users.c.privy_user_id.startswith(ERASED)


def fingerprint(identifier: str) -> str:
    """What is kept of a DID or customer id that must be known again and not be read: SHA-256, in hex."""
    return sha256(identifier.encode()).hexdigest()


def remember_erased(connection: Connection, erasure: str, known_by: Mapping[str, Iterable[str]]) -> None:
    """Keep hashes of what an erased person was known by: ids by kind."""
    rows = [{"hash": fingerprint(one), "kind": kind, "erasure": erasure} for kind, ids in known_by.items() for one in ids]
    if rows:
        connection.execute(upsert(connection, erased_ids).values(rows).on_conflict_do_nothing(index_elements=["hash"]))


def hold_departures(connection: Connection, *, leaving: bool) -> None:
    """Until the transaction ends nobody leaves while somebody asks who has left, nor the other way round; SQLite has one writer anyway.

    Before any row of `users` is locked: else two who wait for one another would.
    """
    if not is_sqlite(connection):
        lock = func.pg_advisory_xact_lock if leaving else func.pg_advisory_xact_lock_shared
        connection.execute(select(lock(_DEPARTURES)))


def keep_customers(connection: Connection, user: str, customers: Iterable[str]) -> None:
    """Keep whose these customers at Stripe are, whatever the user's row and Stripe's events say from now on."""
    rows = [{"customer": customer, "user_id": user} for customer in customers]
    if rows:
        connection.execute(upsert(connection, other_customers).values(rows).on_conflict_do_nothing(index_elements=["customer"]))


def erased_among(connection: Connection, kind: str, ids: Iterable[str]) -> set[str]:
    """Those of `ids` that an erased person was known by. Where nobody was ever erased it costs one look."""
    if connection.execute(select(1).select_from(erased_ids).where(erased_ids.c.kind == kind).limit(1)).first() is None:
        return set()
    hashes = {fingerprint(one): one for one in ids}
    found = select(erased_ids.c.hash).where(erased_ids.c.kind == kind, among(erased_ids.c.hash, hashes))
    return {hashes[one] for one in connection.execute(found).scalars()}


def erased_logins(connection: Connection, dids: Iterable[str]) -> set[str]:
    """Those of `dids` that an erased person had, and that nobody here has since."""
    gone = erased_among(connection, PRIVY, dids)
    return gone & departed_among(connection, gone)


def departed_among(connection: Connection, dids: Iterable[str]) -> set[str]:
    """Those of `dids` that no row is to be made for: erased or merged away. Whom the web app let in again has a row, and counts as here."""
    wanted = list(dids)
    gone = erased_among(connection, PRIVY, wanted)
    if connection.execute(select(exists(select(1).select_from(user_aliases)))).scalar():
        gone |= set(connection.execute(select(user_aliases.c.privy_id).where(among(user_aliases.c.privy_id, wanted))).scalars())
    if gone:
        gone -= set(connection.execute(select(users.c.privy_user_id).where(among(users.c.privy_user_id, gone))).scalars())
    return gone
