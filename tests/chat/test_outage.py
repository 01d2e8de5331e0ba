"""The database goes away in the middle of an answer."""

import time

from sqlalchemy import Engine, select

from aura_cli.chat.tables import chat_messages
from aura_cli.db.engine import reading
from aura_cli.db.migrate import upgrade
from tests.parts.migrated import engine_of
from tests.parts.openai import assistant
from tests.parts.postgres import stoppable_postgres
from tests.parts.program import Aura


def said(engine: Engine) -> list[tuple[str, str]]:
    with reading(engine) as connection:
        rows = connection.execute(select(chat_messages.c.state, chat_messages.c.content).order_by(chat_messages.c.id))
        return [(row.state, row.content) for row in rows]


def test_postgresql_stopped(aura: Aura) -> None:
    """The answer is shown to its end. Back in time, the database has it whole; else that is told, exit 8, and the question is there."""
    with (
        assistant() as model,
        stoppable_postgres() as cluster,
        cluster.server.database() as name,
        engine_of(cluster.server.url(name)) as engine,
    ):
        upgrade(engine)
        env = {"DATABASE_URL": cluster.server.url(name), **model.env}
        for back in (True, False):
            model.says("word " * 300, rate=60)
            running = aura.start("chat", "ask", f"talk {back}", env=env)
            while not any(entry.chunks > 20 for entry in model.state.journal if entry.status == 200 and not entry.ended):
                assert running.poll() is None
                time.sleep(0.05)
            cluster.stop()
            if back:
                cluster.start()
            shown, told = running.communicate(timeout=60)
            assert shown == "word " * 300 + "\n"
            assert running.returncode == (0 if back else 8), told
            if not back:
                assert "could not be stored" in told
        cluster.start()
        assert said(engine)[:2] == [("complete", "talk True"), ("complete", "word " * 300)]
        assert [(state, content[:10].strip()) for state, content in said(engine)[2:]] == [("complete", "talk False"), ("interrupted", "")]
