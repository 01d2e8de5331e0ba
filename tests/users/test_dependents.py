"""Which tables hold something of a user, in databases that others made: every shape of foreign key, and what follows from it."""

from sqlalchemy import Connection, Engine, select, text

from aura_cli.db.engine import is_sqlite, writing
from aura_cli.db.shared import users
from aura_cli.users import merging, persons
from aura_cli.users.dependents import Catalogue
from aura_cli.users.who import Person

ADA, BOB = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


def make(connection: Connection, *statements: str) -> None:
    """Ada and Bob, and tables of somebody else's; `ID` is what ids are in this database."""
    connection.execute(users.insert(), [{"id": ADA, "privy_user_id": "did:privy:a"}, {"id": BOB, "privy_user_id": "did:privy:b"}])
    for statement in statements:
        connection.execute(text(statement.replace("ID", "text" if is_sqlite(connection) else "uuid").format(a=ADA, b=BOB)))


def person(connection: Connection, user: str) -> Person:
    columns = [users.c[name] for name in Person.__dataclass_fields__]
    return Person(*connection.execute(select(*columns).where(users.c.id == user)).one())


def belongings(connection: Connection, user: str = ADA) -> list[tuple[str, str]]:
    """Tables and columns, in the order in which their rows would go."""
    row = dict(connection.execute(select(users).where(users.c.id == user)).one()._mapping)
    return [(rows.link.name, rows.link.column) for rows in Catalogue(connection).belongings(row)]


def test_rows_below_rows_first(engine: Engine) -> None:
    """Rows that name others go before them; a table that names itself is gone through once."""
    with writing(engine) as connection:
        make(
            connection,
            "CREATE TABLE folders (id ID PRIMARY KEY, owner ID REFERENCES users (id), parent ID REFERENCES folders (id))",
            "CREATE TABLE notes (id ID PRIMARY KEY, folder ID REFERENCES folders (id), author ID REFERENCES users (id))",
            "CREATE TABLE marks (note ID REFERENCES notes (id) ON DELETE CASCADE, at text)",
            "INSERT INTO folders VALUES ('{a}', '{a}', NULL), ('{b}', '{a}', '{a}')",
            "INSERT INTO notes VALUES ('{a}', '{b}', '{b}')",
            "INSERT INTO marks VALUES ('{a}', 'now')",
        )
        found = belongings(connection)
        assert found.index(("marks", "note")) < found.index(("notes", "folder")) < found.index(("folders", "owner"))
        counts = persons.erase(connection, person(connection, ADA))
        assert {name: counts[name] for name in ("marks", "notes", "folders")} == {"marks": 1, "notes": 1, "folders": 2}
        assert connection.execute(select(users.c.id)).scalars().all() == [BOB]


def test_keys_of_every_shape(engine: Engine) -> None:
    """Two columns of one table, a key that names no column, one that names the DID; one of several columns is not followed."""
    with writing(engine) as connection:
        make(
            connection,
            "CREATE TABLE tasks (id ID PRIMARY KEY, owner ID REFERENCES users, helper ID REFERENCES users (id) ON DELETE SET NULL)",
            "CREATE TABLE logins (did text REFERENCES users (privy_user_id), at text)",
            "INSERT INTO tasks VALUES ('{a}', '{a}', '{a}'), ('{b}', '{b}', '{a}')",
            "INSERT INTO logins VALUES ('did:privy:a', 'now')",
        )
        assert sorted(belongings(connection)) == [("logins", "did"), ("tasks", "helper"), ("tasks", "owner")]
        merging.carry_out(connection, ADA, BOB)
        assert connection.execute(text("SELECT did FROM logins")).scalars().all() == ["did:privy:b"]
        both = connection.execute(text("SELECT owner, helper FROM tasks")).all()
        assert {str(one) for row in both for one in row} == {BOB}


def test_where_there_can_be_one(engine: Engine) -> None:
    """Of rows that both have under a unique key, INTO's stay, with what hangs on FROM's gone; a key with a condition drops nothing."""
    with writing(engine) as connection:
        make(
            connection,
            "CREATE TABLE stars (user_id ID REFERENCES users (id), thing text, PRIMARY KEY (user_id, thing))",
            "CREATE TABLE plans_of (id ID PRIMARY KEY, user_id ID UNIQUE REFERENCES users (id))",
            "CREATE TABLE steps_of (plan ID REFERENCES plans_of (id))",
            "CREATE TABLE drafts (user_id ID REFERENCES users (id), state text)",
            "CREATE UNIQUE INDEX one_open ON drafts (user_id) WHERE state = 'open'",
            "INSERT INTO stars VALUES ('{a}', 'x'), ('{a}', 'y'), ('{b}', 'x')",
            "INSERT INTO plans_of VALUES ('{a}', '{a}'), ('{b}', '{b}')",
            "INSERT INTO steps_of VALUES ('{a}'), ('{b}')",
            "INSERT INTO drafts VALUES ('{a}', 'done'), ('{b}', 'open')",
        )
        foreseen = merging.foresee(connection, person(connection, ADA), person(connection, BOB))
        assert {step.table: (step.rows, step.dropped) for step in foreseen.steps} == {"stars": (2, 1), "plans_of": (1, 1), "drafts": (1, 0)}
        merging.carry_out(connection, ADA, BOB)
        counts = [
            connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in ("stars", "plans_of", "steps_of", "drafts")
        ]
        assert counts == [2, 1, 1, 2]


def test_other_schemas(engine: Engine) -> None:
    """On PostgreSQL tables of other schemas lead to a user, too, and are told apart by their schema; ours are no part of it."""
    with writing(engine) as connection:
        if is_sqlite(connection):
            return
        make(
            connection,
            "CREATE SCHEMA neon_auth",
            "CREATE TABLE neon_auth.users (id ID PRIMARY KEY)",
            "CREATE TABLE neon_auth.own (user_id ID REFERENCES neon_auth.users (id))",
            "CREATE TABLE neon_auth.profiles (user_id ID REFERENCES public.users (id), nick text)",
            "INSERT INTO neon_auth.profiles VALUES ('{a}', 'Ada')",
        )
        assert belongings(connection) == [("neon_auth.profiles", "user_id")]
        taken = dict(persons.takeout(connection, person(connection, ADA)))
        assert taken["neon_auth.profiles"]["nick"] == "Ada"
        merging.carry_out(connection, ADA, BOB)
        assert belongings(connection, BOB) == [("neon_auth.profiles", "user_id")]
        assert persons.erase(connection, person(connection, BOB))["neon_auth.profiles"] == 1
