"""What was counted at the end of a day, for what a later one is compared with."""

from sqlalchemy import BigInteger, Column, Table, Text

from aura_cli.db.shared import METADATA, OPS

daily_figures = Table(
    "daily_figures",
    METADATA,
    Column("day", Text, primary_key=True),  # YYYY-MM-DD, UTC
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    schema=OPS,
)
