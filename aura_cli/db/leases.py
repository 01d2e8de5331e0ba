"""Leases: one holder at a time for a piece of work, on the database's clock, with nothing kept on a connection.

A holder that died on this machine is found out by its process and replaced at once; one that died elsewhere when its lease ends.
"""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic

from sqlalchemy import ColumnElement, Connection, Engine, literal_column, select
from sqlalchemy.exc import DBAPIError

from aura_cli.db.engine import upsert, writing
from aura_cli.db.tables import leases
from aura_cli.db.types import moved_by, utc_now
from aura_cli.errors import ConflictError

LEASE_SECONDS = 90
RENEW_SECONDS = 20
UNKNOWN = "unknown"


@dataclass
class Lease:
    """A lease that is held. Call `assert_held` inside each transaction that must not happen without it."""

    name: str
    owner: str
    renewed: float

    def assert_held(self, connection: Connection) -> None:
        """Renew where it is time. Raises ConflictError where somebody else took the lease over."""
        due = monotonic() - self.renewed > RENEW_SECONDS
        mine = (leases.c.name == self.name) & (leases.c.owner == self.owner)
        if due:
            held = connection.execute(leases.update().where(mine).values(expires_at=_expiry())).rowcount == 1
            self.renewed = monotonic()
        else:
            held = connection.execute(select(leases.c.name).where(mine).with_for_update(read=True)).first() is not None
        if not held:
            raise ConflictError(
                f"The lease {self.name!r} was taken over by somebody else", "Nothing of this step was written; run it again"
            )


@contextmanager
def lease(engine: Engine, name: str) -> Iterator[Lease]:
    """Hold the lease `name` for the block. Raises ConflictError (exit 6), naming the holder, where it is taken."""
    owner = identity()
    with writing(engine) as connection:
        _forget_the_dead(connection, name)
        if not _take(connection, name, owner):
            holder = connection.execute(select(leases.c.owner, leases.c.expires_at).where(leases.c.name == name)).one()
            host, process = holder.owner.split(":")[:2]
            raise ConflictError(
                f"{name!r} is being done by process {process} on {host} (lease until {holder.expires_at:%H:%M:%S} UTC)",
                "Wait for it, or try again then",
            )
    held = Lease(name, owner, monotonic())
    try:
        yield held
    finally:
        with suppress(DBAPIError), writing(engine) as connection:  # it ends by itself: no reason to hide what happened before
            connection.execute(leases.delete().where(leases.c.name == name, leases.c.owner == owner))


def identity() -> str:
    """A name for one who holds something: its machine, its process, and a random part."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}:{_machine()}:{secrets.token_hex(4)}"


def is_dead(holder: str) -> bool:
    """Was the process behind an `identity` on this machine, and is it gone? False where it cannot be told."""
    host, process, started, machine = holder.split(":")[:4]
    return (host, machine) == (socket.gethostname(), _machine()) and _started(int(process)) not in (started, UNKNOWN)


def _take(connection: Connection, name: str, owner: str) -> bool:
    expiry = _expiry()
    statement = upsert(connection, leases).values(name=name, owner=owner, expires_at=expiry)
    taken = statement.on_conflict_do_update(
        index_elements=[leases.c.name], set_={"owner": owner, "expires_at": expiry}, where=leases.c.expires_at < utc_now()
    )
    return connection.execute(taken.returning(leases.c.name)).first() is not None


def _forget_the_dead(connection: Connection, name: str) -> None:
    holder = connection.execute(select(leases.c.owner).where(leases.c.name == name)).scalar()
    if holder is None:
        return
    if is_dead(holder):
        connection.execute(leases.delete().where(leases.c.name == name, leases.c.owner == holder))


def _started(process: int) -> str:
    """When a process of this machine started, in clock ticks since boot (proc(5), field 22); empty where it runs no more."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return "" if _is_gone(process) else UNKNOWN
    return "" if state in "ZX" else fields[18]


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    """What tells containers of one name apart, whose process numbers mean different processes; empty where there is no /proc."""
    try:
        return f"{Path('/proc/self/ns/pid').stat().st_ino}-{Path('/proc/sys/kernel/random/boot_id').read_text()[:8]}"
    except OSError:
        return ""


def _expiry() -> ColumnElement[datetime]:
    return moved_by(utc_now(), literal_column(str(LEASE_SECONDS)))
