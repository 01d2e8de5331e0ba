"""Every run of a job."""

from sqlalchemy import Column, Index, Integer, Table, Text

from aura_cli.db.shared import METADATA, OPS
from aura_cli.db.types import Json, Serial, UtcTime, utc_now

job_runs = Table(
    "job_runs",
    METADATA,
    Column("id", Serial, primary_key=True),
    Column("job", Text, nullable=False),
    Column("owner", Text, nullable=False),  # host, process and a random part
    Column("started_at", UtcTime(), server_default=utc_now(), nullable=False),
    Column("finished_at", UtcTime()),  # NULL: it runs, or was killed
    Column("exit_code", Integer),
    Column("counts", Json),
    Column("error", Text),
    Column("told", Text),  # how the job fared (empty: well), where somebody was told of it after this run
    Index("job_runs_job", "job", "id"),
    schema=OPS,
)
