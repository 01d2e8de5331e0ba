"""list, show, verify, access-token and disconnect: what a person sees of connections, and what they end."""

import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import audit_logs, integrations
from aura_cli.integrations.tables import connections, revocations
from aura_cli.outbox.tables import outbox
from tests.parts.providers import Town


def count(town: Town) -> int:
    """How many rows there are."""
    with reading(town.engine) as connection:
        return len(connection.execute(select(integrations.c.id)).all())


def test_list(town: Town) -> None:
    """Every connection with its health, filtered by person, provider, health and by what needs a person soon."""
    users = town.people(3)
    soon = timedelta(days=3)
    [first] = town.connect("linear", users[:1], metadata={"email": "ada@example.com"}, scopes=["read"])
    [second] = town.connect("github", users[1:2], expires=soon, refresh_token=None)
    [third] = town.connect("asana", users[2:], expires=timedelta(hours=1))
    town.change(third, provider="railway")
    found = {one["id"]: one for one in town("list", "--json").json}
    assert {id_: one["health"] for id_, one in found.items()} == {first: "expired", second: "ok", third: "unknown"}
    assert (found[first]["label"], found[first]["scopes"], found[first]["email"]) == ("ada@example.com", ["read"], "person0@example.com")
    assert found[first]["expires_at"].endswith("Z")
    assert [one["id"] for one in town("list", "person1@example.com", "--json").json] == [second]
    assert [one["id"] for one in town("list", "--health", "expired", "--json").json] == [first]
    assert second in {one["id"] for one in town("list", "--expiring", "7d", "--json").json}
    assert town("list", "--health", "lovely").exit == 2
    assert town("list", "--expiring", "soon").exit == 2
    table = town("list")
    assert (table.exit, len(table.out.splitlines())) == (0, 3)


def test_show(town: Town) -> None:
    """One connection in full; of somebody who has none exit 5."""
    [user] = town.people(1)
    town.connect("linear", [user])
    shown = town("show", user, "linear")
    assert shown.exit == 0
    assert "expired" in shown.out
    assert "sandbox-" not in shown.out + shown.err
    assert town("show", user, "slack").exit == 5
    assert town("show", user, "slak").exit == 5


def test_verify(town: Town) -> None:
    """Refreshed where it is due, asked whose it is, the label kept; a revoked one is marked, and exit 3."""
    users = town.people(2)
    good, bad = town.connect("linear", users)
    list(town.state.consents_of("linear"))[1].alive = False
    town.change(bad, token_expiry=datetime.now(UTC) + timedelta(hours=5))
    done = town("verify", "--all", "--json")
    assert done.exit == 3, done.err
    results = {one["id"]: one["result"] for one in done.json}
    assert results == {good: "good", bad: "needs_consent"}
    assert (town.known(good).verified_at is not None, town.known(good).label is not None) == (True, True)
    assert town.known(bad).health == "needs_consent"
    [kept] = [one for one in town("list", "--json").json if one["id"] == good]
    assert (kept["health"], bool(kept["label"])) == ("ok", True)
    assert town("verify").exit == 2
    assert town("verify", users[0], "linear").exit == 0
    assert town("verify", users[0], "slack").exit == 5
    assert town("refresh", "--provider", "liner").exit == 5


def test_verify_marks_nobody_for_a_token_that_only_ran_out(town: Town) -> None:
    """While its provider is not well a token runs out: what can be renewed is told as expired, and renewed later."""
    [row] = town.connect("linear", town.people(1))
    town.state.tokens[town.secret(row, "access_token")].expires_at = 0.0
    town.order("not_found", request="refresh")
    done = town("verify", "--all", "--json")
    assert (done.exit, [one["result"] for one in done.json]) == (9, ["expired"]), done.err
    assert town.known(row).health == "ok"
    assert town.refresh()["refreshed"] == 1


def test_access_token(town: Town) -> None:
    """A fresh token on standard output and nothing else there; not without --reveal; noted in the operator log; asked for in production."""
    [user] = town.people(1)
    [row] = town.connect("linear", [user])
    assert town("access-token", "linear", "--user", user).exit == 2
    before = town.row(row)
    planned = town("access-token", "linear", "--user", user, "--reveal", "-n")
    assert (planned.exit, planned.out, town.row(row), town.asked()) == (0, "", before, 0), planned.err
    done = town("access-token", "linear", "--user", user, "--reveal")
    assert done.exit == 0, done.err
    assert done.out == town.secret(row, "access_token") + "\n"
    assert done.out.strip() not in done.err
    with reading(town.engine) as connection:
        deeds = list(connection.execute(select(operator_log.c.what).order_by(operator_log.c.id)).scalars())
    assert deeds == ["integrations.refresh", "integrations.access_token"]
    refused = town("access-token", "linear", "--user", user, "--reveal", env={"AURA_ENV": "production"})
    assert refused.exit in (4, 6)
    assert refused.out == ""
    town.state.end(next(iter(town.state.consents_of("linear"))), "revoked")
    town.lapse(row)
    gone = town("access-token", "linear", "--user", user, "--reveal")
    assert (gone.exit, gone.out) == (3, "")


def test_disconnect(town: Town) -> None:
    """Revoked at the provider, then deleted with what was known of it, older rows too; the customer sees it."""
    [user] = town.people(1)
    town.connect("linear", [user], created_at=datetime.now(UTC) - timedelta(days=3))
    [row] = town.connect("linear", [user])
    newest = list(town.state.consents_of("linear"))[1]
    planned = town("disconnect", "linear", "--user", user, "-n")
    assert (planned.exit, count(town)) == (0, 2)
    done = town("disconnect", "linear", "--user", user, "--json")
    assert done.exit == 0, done.err
    assert (done.json["revoked"], done.json["rows"], done.json["id"]) == ("yes", 2, row)
    assert not newest.alive
    assert (count(town), town.known(row)) == (0, None)
    with reading(town.engine) as connection:
        assert list(connection.execute(select(audit_logs.c.action)).scalars()) == ["integration_disconnected"]
    assert town("disconnect", "linear", "--user", user).exit == 5


def test_a_revocation_that_failed(town: Town) -> None:
    """Is kept, sealed, and tried again by a refresh until it succeeds."""
    [user] = town.people(1)
    town.connect("linear", [user])
    town.order("unavailable", request="revoke")
    done = town("disconnect", "linear", "--user", user, "--json")
    assert (done.exit, done.json["revoked"], count(town)) == (3, "no", 0)
    with reading(town.engine) as connection:
        kept = connection.execute(select(revocations)).one()
    assert "sandbox-" not in kept.sealed
    assert town.vault.open(kept.sealed)
    assert town.refresh()["due"] == 0
    with writing(town.engine) as connection:
        assert connection.execute(select(revocations.c.attempts)).scalar_one() == 1
        connection.execute(revocations.update().values(next_try_at=datetime.now(UTC) - timedelta(seconds=1)))
    assert town("refresh").exit == 0
    with reading(town.engine) as connection:
        assert connection.execute(select(revocations)).first() is None
    assert not next(iter(town.state.consents_of("linear"))).alive


def test_nothing_of_ours_is_left_of_a_connection(town: Town) -> None:
    """What was known of a connection goes with it."""
    [user] = town.people(1)
    town.connect("linear", [user])
    town.refresh()
    town("disconnect", "linear", "--user", user)
    with reading(town.engine) as connection:
        assert connection.execute(select(connections)).first() is None


def test_disconnect_while_it_is_refreshed(town: Town) -> None:
    """Nothing is revoked or deleted while new tokens are on their way, which would live on at the provider."""
    [user] = town.people(1)
    [row] = town.connect("linear", [user])
    town.order("slow", value=4.0, request="refresh")
    process = town.aura.start("integrations", "refresh", "--json", env=town.env)
    while town.asked() == 0 and process.poll() is None:
        time.sleep(0.01)
    assert town("disconnect", "linear", "--user", user).exit == 6
    assert process.communicate(timeout=60)
    assert (process.returncode, town.asked("revoke"), town.known(row).health) == (0, 0, "ok")
    assert town("disconnect", "linear", "--user", user, "--json").json["revoked"] == "yes"
    assert count(town) == 0


def test_connected_anew_in_the_web_app(town: Town) -> None:
    """What was wrong before is not said of the new connection; that it is well again is told once it was refreshed."""
    [user] = town.people(1)
    [row] = town.connect("linear", [user])
    town.order("invalid_grant")
    town.refresh(exit=3)
    columns = town.tokens(next(iter(town.state.consents_of("linear"))))
    town.change(row, **columns, token_expiry=datetime.now(UTC) + timedelta(hours=1))
    [shown] = town("list", "--json").json
    assert (shown["health"], shown["failure"], shown["error"]) == ("ok", None, None)
    town.lapse(row)
    assert town.refresh()["refreshed"] == 1
    with reading(town.engine) as connection:
        alerts = connection.execute(select(outbox.c.payload).where(outbox.c.kind == "alert").order_by(outbox.c.id)).scalars()
        assert [alert["what"] for alert in alerts] == ["broken", "recovered"]
