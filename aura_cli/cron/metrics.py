"""A run's figures for Prometheus' node exporter (its textfile collector): one file a job, replaced whole.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from aura_cli.errors import ConfigurationError

_READABLE = 0o644  # the node exporter is another user
_SUCCESS = "aura_job_last_success_timestamp_seconds"


def text(
    job: str, ended: datetime, seconds: float, exit_code: int, counts: Mapping[str, int], last_success: datetime | None
) -> Iterator[str]:
    """The lines of a file. Times are epoch seconds."""
    about = f'{{name="{job}"}}'
    yield from _gauge("aura_job_last_run_timestamp_seconds", "When the job last ended.", {about: ended.timestamp()})
    if last_success:
        yield from _gauge(_SUCCESS, "When it last did its work.", {about: last_success.timestamp()})
    yield from _gauge("aura_job_duration_seconds", "How long that took.", {about: round(seconds, 3)})
    yield from _gauge("aura_job_exit_code", "How it ended: 0 is well, 3 needs attention.", {about: exit_code})
    numbers = {f'{{name="{job}",what="{_escaped(what)}"}}': number for what, number in counts.items()}
    yield from _gauge("aura_job_handled", "What it handled, by kind.", numbers) if numbers else ()


def last_success(path: Path, job: str) -> datetime | None:
    """When the job last did its work, by the file as it is: for a run that cannot ask the database."""
    with suppress(OSError, ValueError):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(f'{_SUCCESS}{{name="{job}"}} '):
                return datetime.fromtimestamp(float(line.rpartition(" ")[2]), UTC)
    return None


def write(path: Path, lines: Iterator[str]) -> None:
    """Replace the file, so that whoever reads it sees the old or the new one. Raises ConfigurationError where that cannot be."""
    draft = path.with_name(f".{path.name}.{token_hex(4)}")  # not *.prom: nobody reads it
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _READABLE), "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(_READABLE)  # whatever the umask took away
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise ConfigurationError(f"--metrics-file {path} cannot be written: {error.strerror}") from error


def _gauge(name: str, about: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} gauge"
    for labels, value in values.items():
        yield f"{name}{labels} {value}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
