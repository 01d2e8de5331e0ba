"""One holder at a time, told apart from a dead one, on the database's clock, without a session."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, func, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.leases import LEASE_SECONDS, RENEW_SECONDS, lease
from aura_cli.db.migrate import upgrade
from aura_cli.db.tables import leases
from aura_cli.db.types import utc_now
from aura_cli.errors import ConflictError
from tests.parts.migrated import engine_of
from tests.parts.program import REPOSITORY

HOLD = """
import sys, time
from aura_cli.db.leases import lease
from tests.parts.migrated import engine_of
with engine_of(sys.argv[1]) as engine, lease(engine, "work"):
    print("held", flush=True)
    time.sleep(60)
"""


def change(engine: Engine, **values: object) -> None:
    with writing(engine) as connection:
        connection.execute(leases.update().values(values))


def held(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(leases)).scalar_one()


@pytest.fixture
def holder(engine: Engine, database_url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease `work`."""
    command = [sys.executable, "-c", HOLD, database_url]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_one_at_a_time(engine: Engine) -> None:
    """A second holder is refused with the first one's process and time; other names, and the same one later, are free."""
    with lease(engine, "work"):
        with lease(engine, "other"):
            assert held(engine) == 2
        with (
            pytest.raises(ConflictError, match=rf"'work' is being done by process {os.getpid()} on .* \(lease until ..:..:.. UTC\)"),
            lease(engine, "work"),
        ):
            pass
    with lease(engine, "work"):
        pass
    assert held(engine) == 0


def test_given_back_after_an_error(engine: Engine) -> None:
    """An error inside the block comes out as it is, and the lease is free again."""
    with pytest.raises(ZeroDivisionError), lease(engine, "work"):
        raise ZeroDivisionError
    assert held(engine) == 0


def test_a_dead_process_is_replaced_at_once(engine: Engine, holder: subprocess.Popen[str]) -> None:
    """A holder that runs is respected; once it was killed nobody waits for its lease to end, reaped or not."""
    with pytest.raises(ConflictError, match=str(holder.pid)), lease(engine, "work"):
        pass
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the process table
    with lease(engine, "work"):
        assert held(engine) == 1


def test_elsewhere_only_time_tells(engine: Engine) -> None:
    """A holder on another machine, or in another container of the same name, keeps its lease until it ends by the database's clock."""
    with lease(engine, "work"):
        with reading(engine) as connection:
            host, _, started, machine, _ = connection.execute(select(leases.c.owner)).scalar_one().split(":")
        for owner in (f"elsewhere:1:2:{machine}:x", f"{host}:{2**22 + 1}:{started}:another-machine:x"):
            change(engine, owner=owner)
            with pytest.raises(ConflictError), lease(engine, "work"):
                pass
        with writing(engine) as connection:
            connection.execute(leases.update().values(expires_at=utc_now()))
        with lease(engine, "work"):
            assert held(engine) == 1


def test_a_reused_process_number_is_no_holder(engine: Engine) -> None:
    """A process that has the holder's number and another start is somebody else."""
    with lease(engine, "work"):
        with reading(engine) as connection:
            owner = connection.execute(select(leases.c.owner)).scalar_one().split(":")
        change(engine, owner=":".join([owner[0], owner[1], "1", *owner[3:]]))
        with lease(engine, "work"):
            pass


def test_takeover_is_noticed(engine: Engine) -> None:
    """Whoever lost the lease finds out inside its next transaction, whether it only looks or renews."""
    with lease(engine, "work") as mine:
        with writing(engine) as connection:
            mine.assert_held(connection)
        change(engine, owner="elsewhere:1:2:3:4")
        for renewed in (mine.renewed, mine.renewed - RENEW_SECONDS - 1):
            mine.renewed = renewed
            with pytest.raises(ConflictError, match="taken over"), writing(engine) as connection:
                mine.assert_held(connection)
    assert held(engine) == 1  # the other's stays


def test_renewal_moves_the_end(engine: Engine) -> None:
    """A holder that works on has its lease moved to a full length from now."""
    with lease(engine, "work") as mine:
        change(engine, expires_at=utc_now())
        mine.renewed -= RENEW_SECONDS + 1
        with writing(engine) as connection:
            mine.assert_held(connection)
            left = connection.execute(select(leases.c.expires_at)).scalar_one() - connection.execute(select(utc_now())).scalar_one()
        assert LEASE_SECONDS - 10 < left.total_seconds() <= LEASE_SECONDS


def test_through_a_pooler(pooled_database: str) -> None:
    """Nothing of a lease lives on a connection."""
    with engine_of(pooled_database) as one, engine_of(pooled_database) as other:
        upgrade(one)
        with lease(one, "work") as mine:
            with pytest.raises(ConflictError), lease(other, "work"):
                pass
            with writing(other) as connection:
                mine.assert_held(connection)
        with lease(other, "work"):
            pass
