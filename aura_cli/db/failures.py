"""Database errors in the words of a person, with the exit code that fits."""

from sqlalchemy.exc import DBAPIError

from aura_cli.errors import AuraError, ConfigurationError, ConflictError, UnreachableError

_BY_STATE: tuple[tuple[tuple[str, ...], type[AuraError], str, str], ...] = (
    # PostgreSQL's Appendix A, "Error Codes": the first that begins with one of these
    (("28",), ConfigurationError, "The database refused the login", "Check user and password in DATABASE_URL"),
    (("3D000",), ConfigurationError, "The database named in DATABASE_URL does not exist", ""),
    (("42501", "25006"), ConfigurationError, "The database role may not do this", "aura needs a role that may write"),
    (("42P01", "42703", "3F000"), ConfigurationError, "The database schema is not what aura expects", "Run: aura db check"),
    (("53100", "53200"), UnreachableError, "The database has run out of disk or memory", "Make room; nothing is half-written"),
    (("57014",), ConflictError, "The database gave the statement up", "It took too long, or was cancelled; run it again"),
    (("55P03", "40"), ConflictError, "Another transaction was in the way", "Run it again"),
    (("08", "57", "53"), UnreachableError, "The database could not be reached or broke off", "Trying again is safe"),
)
_BY_TEXT: tuple[tuple[tuple[str, ...], type[AuraError], str, str], ...] = (
    (("password authentication failed", "no password supplied"), ConfigurationError, *_BY_STATE[0][2:]),
    (
        ("invalid dsn", "invalid connection option", "invalid uri query parameter"),
        ConfigurationError,
        "DATABASE_URL is malformed",
        "Remove the parameter",
    ),
    (
        ('value: "', "does not support ssl", "certificate"),
        ConfigurationError,
        "The database connection is not set up right",
        "Check the parameters in DATABASE_URL",
    ),
    (("role ", "database "), ConfigurationError, "The database refused the login", "Check user and database name in DATABASE_URL"),
    (
        ("readonly database", "read-only", "unable to open database"),
        ConfigurationError,
        "The database file cannot be written or opened",
        "",
    ),
    (("disk is full", "disk i/o error", "no space left"), UnreachableError, *_BY_STATE[4][2:]),
    (("database is locked", "database is busy"), ConflictError, "The database file is locked by another process", "Run it again"),
    (("no such table", "no such column"), ConfigurationError, *_BY_STATE[3][2:]),
    (("not a database", "malformed"), ConfigurationError, "The database file is damaged or no SQLite database", ""),
)


def forget_details(error: BaseException | None) -> None:
    """Take people's data out of an error and all that led to it: what PostgreSQL adds to its message's first line.

    Its DETAIL of a broken constraint holds the row, the CONTEXT of a COPY the line.
    """
    while error is not None:
        if _is_a_drivers(error) or isinstance(error, DBAPIError):
            error.args = tuple(part.strip().partition("\n")[0] if isinstance(part, str) else part for part in error.args)
            forget_details(getattr(error, "orig", None))
        if error.__cause__ is not error.__context__:
            forget_details(error.__cause__)
        error = error.__context__


def _is_a_drivers(error: BaseException | None) -> bool:
    return type(error).__module__.partition(".")[0] in ("psycopg", "sqlite3")


def translate(error: BaseException) -> AuraError | None:
    """The person's error for an error of the driver, or None where it is a bug of ours (bad SQL, a broken constraint)."""
    original = error.orig if isinstance(error, DBAPIError) else error  # COPY runs beside SQLAlchemy
    if not _is_a_drivers(original):
        return None
    state = getattr(original, "sqlstate", None) or ""
    text = str(original).strip().splitlines()[0] if str(original).strip() else type(original).__name__
    for prefixes, kind, message, hint in _BY_STATE:
        if state and state.startswith(prefixes):
            return kind(f"{message}: {text}", hint)
    lowered = text.lower()
    refused = "fatal:" in lowered or not state
    for words, kind, message, hint in _BY_TEXT:
        if any(word in lowered for word in words) and (words[0] != "role " or ("fatal:" in lowered and "does not exist" in lowered)):
            return kind(f"{message}: {text}", hint)
    if refused and (getattr(error, "connection_invalidated", False) or type(original).__name__ == "OperationalError"):
        return UnreachableError(f"The database could not be reached: {text}", "Trying again is safe")
    return None
