"""Plans that nobody will apply any more leave."""

from datetime import datetime

from sqlalchemy import Engine

from aura_cli.db.engine import writing
from aura_cli.drift.tables import plans


def prune(engine: Engine, before: datetime) -> int:
    """Forget plans that were made before, with their rows; what they did stands in the operator log. How many they were."""
    with writing(engine) as connection:
        return connection.execute(plans.delete().where(plans.c.created_at < before)).rowcount
