"""The operator log stands or falls with the transaction that it tells of."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, literal, select

from aura_cli.audit.log import record, record_all
from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import users

USER = "00000000-0000-4000-8000-000000000001"


def test_one_deed(engine: Engine) -> None:
    """Who, what, about whom, when by the database's clock, and details as they were."""
    with writing(engine) as connection:
        record(connection, "somebody", "keys.rotate", "key-1", user_id=USER, details={"rows": 3, "hash": "ü"})
        record(connection, "somebody", "keys.rotate", "key-2")
    with reading(engine) as connection:
        first, second = connection.execute(select(operator_log).order_by(operator_log.c.id)).all()
    assert (first.operator, first.what, first.key, str(first.user_id)) == ("somebody", "keys.rotate", "key-1", USER)
    assert first.details == {"rows": 3, "hash": "ü"}
    assert abs(datetime.now(UTC) - first.at) < timedelta(minutes=1)
    assert (second.user_id, second.details) == (None, None)


def test_many_deeds(engine: Engine) -> None:
    """A statement's worth of deeds at once."""
    with writing(engine) as connection:
        connection.execute(users.insert(), [{"privy_user_id": f"did:privy:{n}"} for n in range(3)])
        deeds = select(literal("somebody"), literal("sync"), users.c.privy_user_id, users.c.id, literal(None, operator_log.c.details.type))
        record_all(connection, deeds)
        assert len(connection.execute(select(operator_log)).all()) == 3


def test_no_deed_without_its_change(engine: Engine) -> None:
    """What is rolled back was never done."""

    def fail() -> None:
        with writing(engine) as connection:
            record(connection, "somebody", "x", "y")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with reading(engine) as connection:
        assert not connection.execute(select(operator_log)).all()
