"""Plan files: a plan as JSON lines, to be looked at, kept, carried to a colleague, and applied later or never.

The first line says what the plan is for (binding, scan, time) and carries a hash over all; then one line a change, with
ids where a person would want e-mail addresses. A file is only readable by its owner.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from errno import EISDIR
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select

from aura_cli.console import rfc3339
from aura_cli.db.binding import Identity
from aura_cli.db.engine import load, reading
from aura_cli.drift.kinds import Deed, Kind
from aura_cli.drift.tables import plan_rows, plans
from aura_cli.errors import ConfigurationError, ConflictError, UsageError

FORMAT = "aura-plan-1"
OLDEST = timedelta(hours=24)
_COLUMNS = ("number", "kind", "key", "subscription", "user_id", "before", "after")


def save(engine: Engine, plan_id: str, identity: Identity, path: Path) -> None:
    """Write a plan to `path` (0600), whole or not at all. Raises UsageError where the file cannot be written."""
    with reading(engine) as connection:
        plan = connection.execute(select(plans).where(plans.c.id == plan_id)).one()
        header = {
            "format": FORMAT,
            "plan": plan.id,
            "command": plan.command,
            "scan": plan.scan_id,
            "complete": plan.complete,
            "rows_here": plan.rows_here,
            "created_at": rfc3339(plan.created_at),
            "binding": asdict(identity),
        }
        try:
            _write(path, header, lambda: _lines(connection, plan_id))
        except (OSError, ValueError) as error:
            raise _unwritable(path, error) from error


def require_writable(path: Path) -> None:
    """Raise UsageError where no plan could be saved as `path`: found out before a scan, not after it."""
    try:
        partial = _partial(path)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        partial.unlink()
        if path.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path} cannot be written: {getattr(error, 'strerror', error)}")


def _partial(path: Path) -> Path:
    """Where a plan is written until it is whole. Raises ValueError for a path without a name ("." or "/")."""
    return path.with_name(f"{path.name}.{os.getpid()}.partial")


def _write(path: Path, header: Mapping[str, Any], lines: Callable[[], Iterator[bytes]]) -> None:
    partial = _partial(path)
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_line({**header, "sha256": _digest(header, lines())}) + b"\n")
            file.writelines(lines())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _digest(header: Mapping[str, Any], content: Iterable[bytes]) -> str:
    digest = hashlib.sha256(_line(header))
    for part in content:
        digest.update(part)
    return digest.hexdigest()


def read(path: Path, identity: Identity, now: datetime, kinds: Mapping[str, Kind]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Header and changes of a plan file that may be applied here and now.

    Raises UsageError for a file that is no plan, was edited, or holds kinds that this program cannot repair;
    ConfigurationError for the plan of another environment; ConflictError for an incomplete or stale one.
    """
    try:
        first, _, body = path.read_bytes().partition(b"\n")
        header = json.loads(first)
        claimed = header.pop("sha256")
        if header["format"] != FORMAT:
            raise UsageError(f"{path} is a plan of another format: {header['format']}")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is no plan file") from error
    if _digest(header, [body]) != claimed or _line({**header, "sha256": claimed}) != first:
        raise UsageError(f"{path} was edited: its hash does not fit", "Make a new plan with --save-plan")
    created = datetime.fromisoformat(header["created_at"])
    rows = [json.loads(line) for line in body.splitlines()]
    if unknown := {row["kind"] for row in rows} - kinds.keys():
        raise UsageError(f"{path} holds changes that this program does not know: {', '.join(sorted(unknown))}")
    if header["binding"] != asdict(identity):
        raise ConfigurationError(f"{path} was made for another environment", "Apply it where it was made")
    if not header["complete"]:
        raise ConflictError(f"{path} comes from a scan that did not complete", "Scan again")
    if now - created > OLDEST or created - now > timedelta(minutes=5):
        raise ConflictError(f"{path} was made at {header['created_at']}: too old to apply", "Make a new plan with --save-plan")
    return header, rows


def take_in(connection: Connection, header: Mapping[str, Any], rows: list[dict[str, Any]], kinds: Mapping[str, Kind]) -> str:
    """Make the plan known to the database, unless it is already, and return its id; rows applied before stay applied."""
    if not connection.execute(select(plans.c.id).where(plans.c.id == header["plan"])).first():
        values = {
            "id": header["plan"],
            "command": header["command"],
            "scan_id": header["scan"],
            "complete": True,
            "rows_here": header["rows_here"],
        }
        connection.execute(plans.insert().values(**values, created_at=datetime.fromisoformat(header["created_at"])))
        load(connection, plan_rows, ("plan_id", "state", *_COLUMNS), [_stored(header["plan"], row, kinds) for row in rows])
    return str(header["plan"])


def _stored(plan_id: str, row: Mapping[str, Any], kinds: Mapping[str, Kind]) -> list[Any]:
    state = "reported" if kinds[row["kind"]].deed is Deed.REPORT else "pending"
    as_text: Callable[[Any], Any] = lambda value: json.dumps(value) if isinstance(value, dict) else value  # noqa: E731
    return [plan_id, state, *(as_text(row[name]) for name in _COLUMNS)]


def _lines(connection: Connection, plan_id: str) -> Iterator[bytes]:
    columns = [plan_rows.c[name] for name in _COLUMNS]
    statement = select(*columns).where(plan_rows.c.plan_id == plan_id).order_by(plan_rows.c.number)
    for row in connection.execution_options(yield_per=2_000).execute(statement):
        yield _line(dict(row._mapping)) + b"\n"


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()
