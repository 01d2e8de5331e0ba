"""Which tables hold something of a user, in databases that others made: every shape of foreign key, and what follows from it."""

import pytest
from sqlalchemy import Connection, Engine, select, text

from aura_cli.db.engine import is_sqlite, writing
from aura_cli.db.shared import team_members, users
from aura_cli.errors import ConflictError
from aura_cli.integrations import persons as integrations
from aura_cli.users import erasing, merging, persons
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
            "CREATE TABLE folders (id ID PRIMARY KEY, owner ID NOT NULL REFERENCES users (id), parent ID REFERENCES folders (id))",
            "CREATE TABLE notes (id ID PRIMARY KEY, folder ID NOT NULL REFERENCES folders (id), author ID REFERENCES users (id))",
            "CREATE TABLE marks (note ID REFERENCES notes (id) ON DELETE CASCADE, at text)",
            "INSERT INTO folders VALUES ('{a}', '{a}', NULL), ('{b}', '{a}', '{a}')",
            "INSERT INTO notes VALUES ('{a}', '{b}', '{b}')",
            "INSERT INTO marks VALUES ('{a}', 'now')",
        )
        found = belongings(connection)
        assert found.index(("marks", "note")) < found.index(("notes", "folder")) < found.index(("folders", "owner"))
        counts = erasing.erase_rows(connection, (persons,), person(connection, ADA))
        assert {name: counts[name] for name in ("marks", "notes", "folders")} == {"marks": 1, "notes": 1, "folders": 2}
        assert connection.execute(select(users.c.id)).scalars().all() == [BOB]


def test_keys_of_every_shape(engine: Engine) -> None:
    """Two columns of one table, a key that names no column, one that names the DID."""
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
    """Of rows that both have under a unique key, INTO's stay, with what hung on FROM's; a key with a condition drops nothing."""
    with writing(engine) as connection:
        make(
            connection,
            "CREATE TABLE stars (user_id ID REFERENCES users (id), thing text, PRIMARY KEY (user_id, thing))",
            "CREATE TABLE plans_of (id ID PRIMARY KEY, user_id ID UNIQUE REFERENCES users (id))",
            "CREATE TABLE steps_of (plan ID REFERENCES plans_of (id) ON DELETE CASCADE)",
            "CREATE TABLE drafts (user_id ID REFERENCES users (id), state text)",
            "CREATE UNIQUE INDEX one_open ON drafts (user_id) WHERE state = 'open'",
            "INSERT INTO stars VALUES ('{a}', 'x'), ('{a}', 'y'), ('{b}', 'x')",
            "INSERT INTO plans_of VALUES ('{a}', '{a}'), ('{b}', '{b}')",
            "INSERT INTO steps_of VALUES ('{a}'), ('{b}')",
            "INSERT INTO drafts VALUES ('{a}', 'done'), ('{b}', 'open')",
        )
        foreseen = merging.foresee(connection, person(connection, ADA), person(connection, BOB))
        assert {step.table: (step.rows, step.dropped) for step in foreseen.steps} == {
            "stars": (2, 1),
            "plans_of": (1, 1),
            "steps_of": (1, 0),
            "drafts": (1, 0),
        }
        merging.carry_out(connection, ADA, BOB)
        counts = [
            connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in ("stars", "plans_of", "steps_of", "drafts")
        ]
        assert counts == [2, 1, 2, 2]
        assert {str(plan) for plan in connection.execute(text("SELECT plan FROM steps_of")).scalars()} == {BOB}


def test_keys_of_several_columns(engine: Engine) -> None:
    """Rows that name both id and DID change hands in a merge, and so do those below a dropped row; an erasure counts them."""
    with writing(engine) as connection:
        make(
            connection,
            "CREATE UNIQUE INDEX both_names ON users (id, privy_user_id)",
            "CREATE TABLE devices (user_id ID NOT NULL REFERENCES users (id), did text NOT NULL, name text, "
            "FOREIGN KEY (user_id, did) REFERENCES users (id, privy_user_id) ON DELETE CASCADE)",
            "CREATE TABLE stars (user_id ID NOT NULL REFERENCES users, thing text NOT NULL, PRIMARY KEY (user_id, thing))",
            "CREATE TABLE reasons (user_id ID NOT NULL, thing text NOT NULL, why text, "
            "FOREIGN KEY (user_id, thing) REFERENCES stars ON DELETE CASCADE)",
            "INSERT INTO devices VALUES ('{a}', 'did:privy:a', 'phone'), ('{b}', 'did:privy:b', 'phone')",
            "INSERT INTO stars VALUES ('{a}', 'x'), ('{b}', 'x')",
            "INSERT INTO reasons VALUES ('{a}', 'x', 'hers')",
        )
        foreseen = merging.foresee(connection, person(connection, ADA), person(connection, BOB))
        assert {(step.table, step.column): step.rows for step in foreseen.steps} == {
            ("devices", "user_id, did"): 1,
            ("devices", "user_id"): 1,
            ("stars", "user_id"): 1,
            ("reasons", "user_id, thing"): 1,
        }
        merging.carry_out(connection, ADA, BOB)
        assert {str(user) for user in connection.execute(text("SELECT user_id FROM devices")).scalars()} == {BOB}
        assert connection.execute(text("SELECT count(*) FROM devices WHERE did = 'did:privy:b'")).scalar_one() == 2
        assert [str(row.user_id) for row in connection.execute(text("SELECT user_id FROM reasons"))] == [BOB]
        counts = erasing.erase_rows(connection, (persons,), person(connection, BOB))
        assert (counts["devices"], counts["reasons"], counts["stars"]) == (2, 1, 1)


def test_rows_below_that_cannot_follow(engine: Engine) -> None:
    """A row that moves takes what hangs on it by several columns along, or the merge stops by the table's name; nothing is lost unsaid."""
    with writing(engine) as connection:
        make(
            connection,
            "CREATE TABLE stars (user_id ID NOT NULL REFERENCES users, thing text NOT NULL, PRIMARY KEY (user_id, thing))",
            "CREATE TABLE reasons (user_id ID NOT NULL, thing text NOT NULL, "
            "FOREIGN KEY (user_id, thing) REFERENCES stars ON DELETE CASCADE)",
            "INSERT INTO stars VALUES ('{a}', 'x')",
            "INSERT INTO reasons VALUES ('{a}', 'x')",
        )
        with pytest.raises(ConflictError, match="stars"), connection.begin_nested():
            merging.carry_out(connection, ADA, BOB)
        assert connection.execute(text("SELECT count(*) FROM reasons")).scalar_one() == 1


def test_rows_of_others_stay(engine: Engine) -> None:
    """What only mentions her, where it may mention nobody, loses the mention; what hangs on it, and what hangs on hers by choice, stays."""
    with writing(engine) as connection:
        make(
            connection,
            "CREATE TABLE tickets (id ID PRIMARY KEY, owner ID NOT NULL REFERENCES users (id) ON DELETE CASCADE, "
            "assigned_to ID REFERENCES users (id), closed_by ID REFERENCES users (id) ON DELETE RESTRICT)",
            "CREATE TABLE files (ticket ID NOT NULL REFERENCES tickets (id), name text)",
            "CREATE TABLE bills (ticket ID REFERENCES tickets (id), cents integer)",
            "INSERT INTO tickets VALUES ('{a}', '{a}', NULL, NULL), ('{b}', '{b}', '{a}', '{a}')",
            "INSERT INTO files VALUES ('{a}', 'hers'), ('{b}', 'his')",
            "INSERT INTO bills VALUES ('{a}', 1), ('{b}', 2)",
        )
        shown = [row["name"] for name, row in persons.takeout(connection, person(connection, ADA)) if name == "files"]
        assert shown == ["hers"]
        counts = erasing.erase_rows(connection, (persons,), person(connection, ADA))
        assert {name: count for name, count in counts.items() if name.split()[0] in ("tickets", "files", "bills")} == {
            "files": 1,
            "bills (kept, of nobody)": 1,
            "tickets": 1,
            "tickets (kept, of nobody)": 2,
        }
        left = connection.execute(text("SELECT owner, assigned_to, closed_by FROM tickets")).all()
        assert [(str(row.owner), row.assigned_to, row.closed_by) for row in left] == [(BOB, None, None)]
        assert connection.execute(text("SELECT name FROM files")).scalars().all() == ["his"]
        assert [row.ticket is None for row in connection.execute(text("SELECT ticket FROM bills ORDER BY cents"))] == [True, False]


def test_a_table_that_forbids_it(engine: Engine) -> None:
    """Rows that hers must not go from under hold an erasure up, and are named."""
    with writing(engine) as connection:
        make(
            connection,
            "CREATE TABLE notes (id ID PRIMARY KEY, owner ID NOT NULL REFERENCES users (id))",
            "CREATE TABLE copies (note ID NOT NULL REFERENCES notes (id) ON DELETE RESTRICT)",
            "INSERT INTO notes VALUES ('{a}', '{a}'), ('{b}', '{b}')",
            "INSERT INTO copies VALUES ('{a}')",
        )
        with pytest.raises(ConflictError, match="copies"):
            erasing.erase_rows(connection, (persons,), person(connection, ADA))
        assert erasing.erase_rows(connection, (persons,), person(connection, BOB))["notes"] == 1


def test_below_tables_of_the_web_app(engine: Engine) -> None:
    """A table of others that hangs on her integrations and subscriptions is hers, too: taken out, and erased before them."""
    with writing(engine) as connection:
        make(
            connection,
            "CREATE TABLE repositories (integration ID NOT NULL REFERENCES integrations (id), name text)",
            "CREATE TABLE invoices_sent (subscription ID NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE, name text)",
            "INSERT INTO integrations (id, user_id, provider) VALUES ('{a}', '{a}', 'github'), ('{b}', '{b}', 'github')",
            "INSERT INTO repositories VALUES ('{a}', 'hers'), ('{b}', 'his')",
            "INSERT INTO subscriptions (id, user_id, stripe_subscription_id, status) VALUES ('{a}', '{a}', 'sub_a', 'canceled')",
            "INSERT INTO invoices_sent VALUES ('{a}', 'hers')",
        )
        ada = person(connection, ADA)
        shown = [(name, row["name"]) for name, row in persons.takeout(connection, ada) if "name" in row and name != "users"]
        assert sorted(shown) == [("invoices_sent", "hers"), ("repositories", "hers")]
        counts = erasing.erase_rows(connection, (integrations, persons), ada)
        assert (counts["repositories"], counts["invoices_sent"], counts["integrations"]) == (1, 1, 1)
        assert connection.execute(text("SELECT name FROM repositories")).scalars().all() == ["his"]


def test_keys_to_columns_of_others(engine: Engine) -> None:
    """A column of `users` that the web app added can be named, too."""
    with writing(engine) as connection:
        make(
            connection,
            "ALTER TABLE users ADD COLUMN handle text",
            "CREATE UNIQUE INDEX handles ON users (handle)",
            "CREATE TABLE posts (handle text NOT NULL REFERENCES users (handle))",
            "UPDATE users SET handle = privy_user_id",
            "INSERT INTO posts VALUES ('did:privy:a')",
        )
        merging.carry_out(connection, ADA, BOB)
        assert connection.execute(text("SELECT handle FROM posts")).scalars().all() == ["did:privy:b"]
        assert erasing.erase_rows(connection, (persons,), person(connection, BOB))["posts"] == 1


def test_what_is_not_there_is_named_by_nobody(engine: Engine) -> None:
    """Rows that name no handle are not those of everybody who has none."""
    with writing(engine) as connection:
        make(
            connection,
            "ALTER TABLE users ADD COLUMN handle text",
            "CREATE UNIQUE INDEX handles ON users (handle)",
            "CREATE TABLE posts (handle text REFERENCES users (handle) ON DELETE CASCADE, said text)",
            "INSERT INTO posts VALUES (NULL, 'by nobody')",
        )
        assert "posts" not in erasing.erase_rows(connection, (persons,), person(connection, ADA))
        assert connection.execute(text("SELECT count(*) FROM posts")).scalar_one() == 1


def test_a_row_kept_of_nobody_names_nobody(engine: Engine) -> None:
    """Of a key that may lose its tenant alone the whole row goes: emptied of that, it would name her still."""
    with writing(engine) as connection:
        make(
            connection,
            "ALTER TABLE users ADD COLUMN org text",
            "CREATE UNIQUE INDEX orgs ON users (org, id)",
            "UPDATE users SET org = 'one'",
            "CREATE TABLE memos (org text, author ID NOT NULL, FOREIGN KEY (org, author) REFERENCES users (org, id))",
            "CREATE TABLE tips (org text NOT NULL, author ID, FOREIGN KEY (org, author) REFERENCES users (org, id))",
            "INSERT INTO memos VALUES ('one', '{a}'), ('one', '{b}')",
            "INSERT INTO tips VALUES ('one', '{a}')",
        )
        counts = erasing.erase_rows(connection, (persons,), person(connection, ADA))
        assert (counts["memos"], counts["tips (kept, of nobody)"]) == (1, 1)
        assert [str(author) for author in connection.execute(text("SELECT author FROM memos")).scalars()] == [BOB]
        assert [tuple(row) for row in connection.execute(text("SELECT org, author FROM tips"))] == [("one", None)]


def test_connections_that_others_name(engine: Engine) -> None:
    """By a column that others added, and beside a key that leads nowhere, which SQLite lets stand: only what holds one back is named."""
    with writing(engine) as connection:
        make(
            connection,
            "ALTER TABLE integrations ADD COLUMN public_id text",
            "CREATE UNIQUE INDEX public_ids ON integrations (public_id)",
            "CREATE TABLE hooks (connection text REFERENCES integrations (public_id))",
            "INSERT INTO integrations (id, user_id, provider, public_id) VALUES ('{a}', '{a}', 'github', 'p1')",
            *(["CREATE TABLE strays (of ID REFERENCES elsewhere)"] if is_sqlite(connection) else []),
        )
        ada = person(connection, ADA)
        integrations.require_loose(connection, ada)
        connection.execute(text("INSERT INTO hooks VALUES ('p1')"))
        with pytest.raises(ConflictError, match="hooks"):
            integrations.require_loose(connection, ada)


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
            "CREATE TABLE neon_auth.profiles (user_id ID NOT NULL REFERENCES public.users (id), nick text)",
            "INSERT INTO neon_auth.profiles VALUES ('{a}', 'Ada')",
        )
        assert belongings(connection) == [("neon_auth.profiles", "user_id")]
        taken = dict(persons.takeout(connection, person(connection, ADA)))
        assert taken["neon_auth.profiles"]["nick"] == "Ada"
        merging.carry_out(connection, ADA, BOB)
        assert belongings(connection, BOB) == [("neon_auth.profiles", "user_id")]
        assert erasing.erase_rows(connection, (persons,), person(connection, BOB))["neon_auth.profiles"] == 1


def test_memberships(engine: Engine) -> None:
    """INTO's membership of their own workspace stays; those of one another go, because both are one now."""
    with writing(engine) as connection:
        make(connection)
        rows = [(BOB, BOB, "owner"), (ADA, BOB, "member"), (BOB, ADA, "admin")]
        values = [{"user_id": user, "workspace_owner_id": owner, "role": role} for user, owner, role in rows]
        connection.execute(team_members.insert(), values)
        merging.carry_out(connection, ADA, BOB)
        m = team_members.c
        assert [tuple(row) for row in connection.execute(select(m.user_id, m.workspace_owner_id, m.role))] == [(BOB, BOB, "owner")]
