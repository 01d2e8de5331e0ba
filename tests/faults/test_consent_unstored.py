"""The database is gone when a provider has answered: what it gave is kept, sealed, and stored by the same command."""

from aura_cli.db.migrate import upgrade
from tests.integrations.connecting import consent, visit, world_of
from tests.parts.migrated import engine_of
from tests.parts.postgres import stoppable_postgres
from tests.parts.program import Aura


def test_the_database_goes_between_consent_and_row(aura: Aura) -> None:
    """The page and the terminal say so; nothing in the file can be read; run again, nobody has to consent, and no file is left."""
    with stoppable_postgres() as cluster, cluster.server.database() as name:
        url = cluster.server.url(name)
        with engine_of(url) as engine:
            upgrade(engine)
            with world_of(aura, engine, url) as world:
                waiting = world.waiting("github")
                cluster.stop()
                page = visit(consent(waiting.url))
                done = waiting.end(timeout=60)
                assert (done.exit, "lies sealed in" in done.err, "could not be connected" in page.text) == (8, True, True), done.err
                (file,) = (world.home / "unstored").iterdir()
                assert file.stat().st_mode & 0o077 == 0
                assert "sandbox-access" not in file.read_text() + done.err + page.text
                cluster.start()
                engine.dispose()
                again = world.connect("github", "--json")
                assert again.exit == 0, again.err
                assert again.json["label"] == "ada@github.example.com"
                assert str(world.opened(world.rows()[0]["access_token"])).startswith("sandbox-access-github")
                assert not list((world.home / "unstored").iterdir())
