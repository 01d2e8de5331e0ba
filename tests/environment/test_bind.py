"""`aura env bind`: the one way out of a binding."""

from aura_cli.db.migrate import upgrade
from tests.parts.migrated import engine_of
from tests.parts.program import Aura

OURS = {"AURA_ENV": "staging", "NEXT_PUBLIC_PRIVY_APP_ID": "app-new"}


def test_a_wrong_binding_is_moved(aura: Aura, database_url: str) -> None:
    """It shows what would change, asks, changes it and notes it; other environments are refused afterwards, ours is not."""
    with engine_of(database_url) as engine:
        upgrade(engine)
    env = {"DATABASE_URL": database_url, **OURS}
    first = aura("env", "bind", "--yes", "--json", env={**env, "AURA_ENV": "development", "INTEGRATION_ENCRYPTION_KEY": "k" * 20}).json
    assert set(first["changed"]) == {"environment", "privy_app", "key_fingerprint"}
    shown = aura("env", "bind", "-n", "--json", env=env).json
    assert (shown["changed"], shown["dry_run"]) == (["environment"], True)
    refused = aura("env", "bind", env=env)
    assert refused.exit == 6
    assert "environment: development → staging" in refused.err
    moved = aura("env", "bind", "--yes", "--json", env=env).json
    assert moved["after"]["environment"] == "staging"
    assert moved["after"]["key_fingerprint"] == first["after"]["key_fingerprint"]
    assert "nothing was changed" in aura("env", "bind", env=env).out


def test_nothing_to_bind_to(aura: Aura, database_url: str) -> None:
    """Without a setting that names an environment there is nothing that it could mean."""
    with engine_of(database_url) as engine:
        upgrade(engine)
    done = aura("env", "bind", "--yes", env={"DATABASE_URL": database_url})
    assert done.exit == 4
    assert "Nothing is configured" in done.err
