"""Column types and SQL expressions that mean the same on PostgreSQL and SQLite.

Times are `timestamptz` on PostgreSQL and text `YYYY-MM-DDTHH:MM:SS.ffffffZ` (UTC) on SQLite, where text of one width
compares as time does. Ids are `uuid` and 36 characters of text. JSON is `jsonb` and text.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ARRAY, JSON, BigInteger, Boolean, DateTime, Dialect, Integer, String, Text, Uuid, bindparam, cast
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement, GenericFunction
from sqlalchemy.types import TypeDecorator, TypeEngine

TIME_TEXT = "%Y-%m-%dT%H:%M:%S.%fZ"


class UtcTime(TypeDecorator[datetime]):
    """An aware time, in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(27) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).strftime(TIME_TEXT)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return datetime.fromisoformat(value) if isinstance(value, str) else value.astimezone(UTC)


Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by INTEGER PRIMARY KEY alone
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # the pattern of an id, as the databases write it
Id = String(36).with_variant(Uuid(as_uuid=False), "postgresql")


class _Json(TypeDecorator[Any]):
    """`jsonb`, whose module (a tenth of a short command's time) only PostgreSQL needs, or JSON as text."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(JSON(none_as_null=True))
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB(none_as_null=True))


Json = _Json()
TextList = JSON(none_as_null=True).with_variant(ARRAY(Text), "postgresql")


class new_id(FunctionElement[str]):  # noqa: N801 (an SQL function)
    """A random UUID, made by the database."""

    type = Id
    inherit_cache = True


class utc_now(FunctionElement[datetime]):  # noqa: N801
    """The database's own clock; on PostgreSQL the moment of the statement, not of the transaction."""

    type = UtcTime()
    inherit_cache = True


class from_epoch(GenericFunction[datetime]):  # noqa: N801
    """A time from whole epoch seconds; NULL of NULL."""

    type = UtcTime()
    inherit_cache = True


class json_record(GenericFunction[Any]):  # noqa: N801
    """A JSON object out of names and values in turn."""

    type = Json
    inherit_cache = True


class json_field(GenericFunction[str]):  # noqa: N801
    """The text of a top-level member (second argument, a literal name) of a JSON value; NULL for null and absent."""

    type = Text()
    inherit_cache = True


class time_text(GenericFunction[str]):  # noqa: N801
    """A time as text of one width in UTC, which both databases turn back into the same time."""

    type = Text()
    inherit_cache = True


class json_truth(GenericFunction[bool]):  # noqa: N801
    """A truth value that JSON shows as true or false (SQLite stores 1 and 0)."""

    type = Boolean()
    inherit_cache = True


@compiles(new_id)
def _new_id(element: new_id, compiler: SQLCompiler, **kw: Any) -> str:
    return "gen_random_uuid()"


@compiles(new_id, "sqlite")
def _new_id_sqlite(element: new_id, compiler: SQLCompiler, **kw: Any) -> str:
    return SQLITE_NEW_ID


SQLITE_NEW_ID = (
    "(lower(hex(randomblob(4))||'-'||hex(randomblob(2))||'-4'||substr(hex(randomblob(2)),2)||'-'"
    "||substr('89AB',1+(abs(random())%4),1)||substr(hex(randomblob(2)),2)||'-'||hex(randomblob(6))))"
)
SQLITE_NOW = "(strftime('%Y-%m-%dT%H:%M:%f000Z','now'))"


@compiles(utc_now)
def _now(element: utc_now, compiler: SQLCompiler, **kw: Any) -> str:
    return "clock_timestamp()"


@compiles(utc_now, "sqlite")
def _now_sqlite(element: utc_now, compiler: SQLCompiler, **kw: Any) -> str:
    return SQLITE_NOW


@compiles(from_epoch)
def _from_epoch(element: from_epoch, compiler: SQLCompiler, **kw: Any) -> str:
    return f"to_timestamp({compiler.process(element.clauses, **kw)})"


@compiles(from_epoch, "sqlite")
def _from_epoch_sqlite(element: from_epoch, compiler: SQLCompiler, **kw: Any) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%S.000000Z', {compiler.process(element.clauses, **kw)}, 'unixepoch')"


@compiles(json_record)
def _json_record(element: json_record, compiler: SQLCompiler, **kw: Any) -> str:
    return f"jsonb_build_object({compiler.process(element.clauses, **kw)})"


@compiles(json_record, "sqlite")
def _json_record_sqlite(element: json_record, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_object({compiler.process(element.clauses, **kw)})"


@compiles(json_field)
def _json_field(element: json_field, compiler: SQLCompiler, **kw: Any) -> str:
    value, name = list(element.clauses)
    return f"({compiler.process(value, **kw)} ->> {compiler.process(name, **kw)})"


@compiles(time_text)
def _time_text(element: time_text, compiler: SQLCompiler, **kw: Any) -> str:
    return f"""to_char({compiler.process(element.clauses, **kw)} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


@compiles(time_text, "sqlite")
def _time_text_sqlite(element: time_text, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(json_truth, "sqlite")
def _json_truth_sqlite(element: json_truth, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json(CASE {compiler.process(element.clauses, **kw)} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END)"


@compiles(json_truth)
def _json_truth(element: json_truth, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


def text_of(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The form in which a value stands in a plan's JSON: times as UTC text, truth as true and false, the rest as it is."""
    if isinstance(column.type, UtcTime):
        return time_text(column)
    return json_truth(column) if isinstance(column.type, Boolean) else column


def value_of(text: ColumnElement[str], like: ColumnElement[Any]) -> ColumnElement[Any]:
    """`text_of` undone in SQL: text out of a plan's JSON as a value of the type of the column `like`."""
    return cast(text, like.type)


class moved_by(GenericFunction[datetime]):  # noqa: N801
    """A time (first argument) moved by a literal whole number of seconds (second argument)."""

    type = UtcTime()
    inherit_cache = True


@compiles(moved_by)
def _moved_by(element: moved_by, compiler: SQLCompiler, **kw: Any) -> str:
    time, seconds = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({time} + {seconds} * interval '1 second')"


@compiles(moved_by, "sqlite")
def _moved_by_sqlite(element: moved_by, compiler: SQLCompiler, **kw: Any) -> str:
    time, seconds = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"strftime('%Y-%m-%dT%H:%M:%f000Z', {time}, {seconds} || ' seconds')"


class _Texts(TypeDecorator[Any]):
    """Many values as one parameter: an array, or JSON where there are none."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else ARRAY(Text))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return json.dumps(value) if dialect.name == "sqlite" else [str(one) for one in value]


class _among(FunctionElement[bool]):  # noqa: N801
    type = Boolean()
    inherit_cache = True


def among(column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """`column IN (values)` with one parameter, however many values: a statement of one length is compiled and parsed once."""
    return _among(column, bindparam(None, list(values), type_=_Texts()))


@compiles(_among)
def _any_of(element: _among, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = list(element.clauses)
    kind = {String: "uuid", BigInteger: "bigint", Integer: "integer"}.get(type(column.type), "text")
    return f"({compiler.process(column, **kw)} = ANY(CAST({compiler.process(values, **kw)} AS {kind}[])))"


@compiles(_among, "sqlite")
def _any_of_sqlite(element: _among, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({column} IN (SELECT value FROM json_each({values})))"
