"""`aura integrations refresh`: what is due is renewed, nothing that reached us is lost, and each failure is told to whom it concerns."""

import asyncio
import signal
import stat
import subprocess
import time
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import select

from aura_cli.audit.tables import operator_log
from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import audit_logs
from aura_cli.integrations.tables import connections, provider_states
from aura_cli.outbox.tables import outbox
from tests.parts.loopback import serving
from tests.parts.providers import Town, key_ring


def alerts(town: Town) -> list[dict[str, Any]]:
    """What the operators are told, oldest first."""
    with reading(town.engine) as connection:
        return list(connection.execute(select(outbox.c.payload).where(outbox.c.kind == "alert").order_by(outbox.c.id)).scalars())


def deeds(town: Town) -> list[str]:
    """What the operator log says, oldest first."""
    with reading(town.engine) as connection:
        return list(connection.execute(select(operator_log.c.what).order_by(operator_log.c.id)).scalars())


def test_refreshes_what_is_due(town: Town) -> None:
    """Of those that end soon every one is renewed, its rotated refresh token stored; those that do not end are left alone."""
    first, second, third = town.connect("linear", town.people(3))
    town.change(third, token_expiry=datetime.now(UTC) + timedelta(hours=5))
    before = {id_: town.secret(id_) for id_ in (first, second, third)}
    found = town.refresh()
    assert (found["due"], found["refreshed"], found["needs_consent"]) == (2, 2, 0)
    for id_ in (first, second):
        row = town.row(id_)
        assert town.secret(id_) != before[id_]
        assert row.token_expiry > datetime.now(UTC) + timedelta(hours=23)
        assert town.known(id_).health == "ok"
        assert town.known(id_).lease_owner is None
        assert town.known(id_).intent_at is None
    assert town.secret(third) == before[third]
    assert deeds(town) == ["integrations.refresh"] * 2
    assert (town.spool, alerts(town)) == ([], [])
    assert town.refresh()["due"] == 0


def test_an_answer_without_a_refresh_token_keeps_the_old_one(town: Town) -> None:
    """A provider that does not rotate: the refresh token that was stored stays, byte for byte."""
    [row] = town.connect("asana", town.people(1))
    before = town.row(row).refresh_token
    assert town.refresh()["refreshed"] == 1
    assert town.row(row).refresh_token == before


def test_what_the_file_says_is_refreshed_and_nothing_else(town: Town) -> None:
    """Slack's column refresh_token holds a user's token, a typed token renews nothing, an unknown provider is left alone."""
    users = town.people(3)
    [slack] = town.connect("slack", users[:1], metadata=None, refresh_token=town.vault.seal("sandbox-user-token"))
    [typed] = town.connect("asana", users[1:2])
    [foreign] = town.connect("asana", users[2:])
    town.change(foreign, provider="llm-openai")
    with writing(town.engine) as connection:
        known = {"integration_id": typed, "user_id": users[1], "provider": "asana", "method": "credentials"}
        connection.execute(connections.insert().values(known))
    found = town.refresh("--force", exit=3)  # two have run out, and nobody can renew them
    assert (found["due"], found["needs_consent"]) == (0, 2)
    assert town.asked() == 0
    assert town.secret(slack) == "sandbox-user-token"
    assert foreign not in {trouble["integration"] for trouble in found["troubles"]}


def test_consent_lost(town: Town) -> None:
    """invalid_grant: marked, told once to operator and customer, not tried again; connected anew in the web app it is well again."""
    [row] = town.connect("linear", town.people(1))
    town.order("invalid_grant")
    found = town.refresh(exit=3)
    assert (found["needs_consent"], found["failing"]) == (1, 0)
    assert town.known(row).health == "needs_consent"
    assert [alert["what"] for alert in alerts(town)] == ["broken"]
    with reading(town.engine) as connection:
        told = connection.execute(select(audit_logs)).one()
    assert (told.category, told.action, told.status) == ("integration", "integration_consent_lost", "failure")
    assert town.refresh(exit=3)["needs_consent"] == 1
    assert town.asked() == 1
    assert len(alerts(town)) == 1
    consent = next(iter(town.state.consents_of("linear")))
    town.change(row, **{name: value for name, value in town.tokens(consent).items() if name != "metadata"})
    found = town.refresh()
    assert found["refreshed"] == 1
    assert town.known(row).health == "ok"


@pytest.mark.parametrize("kind", ["invalid_client", "not_found", "html", "unavailable"])
def test_nobody_is_marked_for_what_the_app_or_the_provider_does(town: Town, kind: str) -> None:
    """After ten alike the provider is stopped, with one alert; no connection is marked; once it is well again that is told, too."""
    rows = town.connect("linear", town.people(14))
    if kind == "unavailable":
        town.faults.server_error = 1.0
    else:
        town.order(kind, times=10_000)
    found = town.refresh("--at-once", "1", exit=3)
    assert (found["at_fault"], found["stopped"], found["stopped_providers"]) == (10, 4, ["linear"])
    assert {town.known(row).health for row in rows} == {"ok"}
    assert [(alert["what"], alert["provider"]) for alert in alerts(town)] == [("broken", "linear")]
    asked = len(town.state.journal)
    assert town.refresh(exit=3)["stopped"] == 14
    assert len(town.state.journal) == asked
    town.state.mishaps.clear()
    town.faults.server_error = 0.0
    found = town.refresh("--force")
    assert (found["refreshed"], found["recovered_providers"]) == (14, ["linear"])
    assert [alert["what"] for alert in alerts(town)] == ["broken", "recovered"]


def test_a_stopped_provider_is_tried_by_one(town: Town) -> None:
    """When its time is over a single connection tries whether it is well; a changed file ends the stop at once."""
    town.connect("linear", town.people(12))
    town.order("not_found", times=10_000)
    town.refresh("--at-once", "1", exit=3)
    with writing(town.engine) as connection:
        connection.execute(provider_states.update().values(stopped_until=datetime.now(UTC) - timedelta(seconds=1)))
    found = town.refresh(exit=3)
    assert (found["due"], found["at_fault"], found["stopped"]) == (1, 1, 11)
    town.state.mishaps.clear()
    file = town.home / "providers" / "linear.toml"
    file.write_text(file.read_text() + 'traps = [{ note = "Changed" }]\n')
    assert town.refresh()["refreshed"] == 12


def test_cool_down(town: Town) -> None:
    """A cut connection is nobody's fault: left alone for a while, longer each time, alerted of once, ended by --force."""
    [row] = town.connect("asana", town.people(1))
    town.order("cut", times=3, request="refresh")
    assert town.refresh(exit=9)["failing"] == 1
    first = town.known(row)
    assert (first.health, first.failures, first.failure) == ("failing", 1, "transient")
    assert timedelta(seconds=50) < first.next_try_at - datetime.now(UTC) < timedelta(seconds=61)
    found = town.refresh()
    assert (found["due"], found["cooling"]) == (0, 1)
    assert alerts(town) == []
    town.refresh("--force", exit=9)
    town.refresh("--force", exit=9)
    third = town.known(row)
    assert third.next_try_at - datetime.now(UTC) > timedelta(seconds=200)
    assert [alert["what"] for alert in alerts(town)] == ["broken"]
    assert town.refresh("--force")["refreshed"] == 1
    assert town.known(row).failures == 0
    assert [alert["what"] for alert in alerts(town)] == ["broken", "recovered"]


def test_a_rotation_whose_answer_never_came(town: Town) -> None:
    """The provider rotates and cuts the connection: the next try is refused, and the list says what was lost."""
    [row] = town.connect("linear", town.people(1))
    town.order("cut", request="refresh")
    town.refresh(exit=9)
    assert town.known(row).intent_at is not None
    found = town.refresh("--force", exit=3)
    assert found["needs_consent"] == 1
    assert "never arrived" in town.known(row).error
    listed = town("list", "--health", "needs_consent", "--json").json
    assert [one["id"] for one in listed] == [row]


def test_a_refresh_counts_only_if_the_expiry_moved(town: Town) -> None:
    """The same token with the same end is stored and counts as a failure."""
    [row] = town.connect("asana", town.people(1), expires=timedelta(minutes=10))
    town.order("expires_in", value=60)
    found = town.refresh(exit=9)
    assert (found["refreshed"], found["failing"]) == (0, 1)
    assert town.known(row).health == "failing"
    assert "no later" in town.known(row).error


def test_two_programs_and_the_web_app_at_once(town: Town) -> None:
    """Two refreshers at one row make one call; a row that the web app changes meanwhile keeps what the web app wrote."""
    [row] = town.connect("linear", town.people(1))
    town.order("slow", value=1.5)
    started = [town.aura.start("integrations", "refresh", "--json", env=town.env) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert town.asked() == 1
    assert town.known(row).health == "ok"
    town.lapse(row)
    town.order("slow", value=2.0)
    process = town.aura.start("integrations", "refresh", "--json", env=town.env)
    until(lambda: town.asked() == 2, process)
    consent = next(iter(town.state.consents_of("linear")))
    mine = town.state.issue(consent, refresh=True, lifetime=None)
    town.change(row, refresh_token=town.vault.seal(mine), token_expiry=datetime.now(UTC) + timedelta(hours=1))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert '"lost_race": 1' in out
    assert town.secret(row) == mine
    assert town.spool == []


def test_a_rotation_of_the_key_meanwhile(town: Town) -> None:
    """A row re-sealed under another key while its refresh is on the way still takes the answer: the secret is the same."""
    [row] = town.connect("linear", town.people(1))
    before = town.secret(row)
    town.order("slow", value=2.0)
    env = {**town.env, "AURA_RETIRED_ENCRYPTION_KEYS": '{"old": "another-key-of-old-times"}'}
    process = town.aura.start("integrations", "refresh", "--json", env=env)
    until(lambda: town.asked() == 1, process)
    town.change(row, refresh_token=key_ring("another-key-of-old-times").seal(before))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert '"refreshed": 1' in out
    assert town.secret(row) != before


def test_unreadable_rows(town: Town) -> None:
    """A row under an unknown key and a damaged one are listed, and left as they are, byte for byte."""
    first, second, third = town.connect("linear", town.people(3))
    town.change(first, refresh_token=key_ring("a-key-that-nobody-has").seal("secret"))
    sealed = town.row(second).access_token
    town.change(second, access_token=sealed[:-4] + ("0000" if sealed[-4:] != "0000" else "1111"))
    before = [town.row(id_) for id_ in (first, second)]
    found = town.refresh(exit=3)
    assert (found["refreshed"], found["unreadable"]) == (1, 2)
    assert [town.row(id_) for id_ in (first, second)] == before
    assert {one["id"] for one in town("list", "--health", "unreadable", "--json").json} == {first, second}
    assert town.known(third).health == "ok"


def test_duplicated_rows(town: Town) -> None:
    """Of two rows of one user and provider the newest is refreshed; both are told of."""
    users = town.people(1)
    [old] = town.connect("linear", users, created_at=datetime.now(UTC) - timedelta(days=3))
    [new] = town.connect("linear", users)
    before = town.row(old)
    found = town.refresh()
    assert (found["refreshed"], found["duplicates"]) == (1, 1)
    assert town.row(old) == before
    assert [(one["id"], one["rows"]) for one in town("list", "--json").json] == [(new, 2)]


def test_the_database_gone_after_the_exchange(town: Town) -> None:
    """The answer is kept on the disk, sealed and for its owner alone; the next run stores it, without asking the provider."""
    [row] = town.connect("linear", town.people(1))
    town.order("slow", value=1.5)
    process = town.aura.start("integrations", "refresh", "--json", env=town.env)
    until(lambda: town.asked() == 1, process)
    with _hidden(town):
        _, err = process.communicate(timeout=60)
        assert process.returncode == 8, err
        assert "kept in" in err
    [path] = town.spool
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "sandbox" not in path.read_text()
    assert town.refresh("-n")["due"] == 1
    found = town.refresh()
    assert (found["stored"], town.asked(), town.spool) == (1, 1, [])
    assert town.row(row).token_expiry > datetime.now(UTC) + timedelta(hours=20)
    town.lapse(row)
    assert town.refresh()["refreshed"] == 1


def test_a_spooled_answer_that_the_row_has_moved_on_from(town: Town) -> None:
    """Is dropped; one that no key opens stays where it is, and one of another database's connection, too."""
    [row] = town.connect("linear", town.people(1))
    town.order("slow", value=1.5)
    process = town.aura.start("integrations", "refresh", "--json", env=town.env)
    until(lambda: town.asked() == 1, process)
    with _hidden(town):
        process.communicate(timeout=60)
    [path] = town.spool
    other = path.with_name("00000000-0000-4000-8000-000000000000-abc")
    other.write_text(key_ring("a-key-that-nobody-has").seal("{}"))
    town.change(row, refresh_token=town.vault.seal("connected-anew"), token_expiry=datetime.now(UTC) + timedelta(hours=2))
    done = town("refresh", "--json")
    assert (done.exit, done.json["outdated"]) == (0, 1), done.err
    assert "left there" in done.err
    assert town.spool == [other]
    assert town.secret(row) == "connected-anew"


def test_stopped_at_a_safe_point(town: Town) -> None:
    """SIGTERM: what is on its way is waited for and stored, no more is sent, no turn stays taken."""
    rows = town.connect("linear", town.people(20))
    town.order("slow", times=20, value=1.0)
    process = town.aura.start("integrations", "refresh", "--at-once", "4", "--json", env=town.env)
    until(lambda: town.asked() >= 4, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert 4 <= town.asked() <= 8
    moved = [row for row in rows if town.row(row).token_expiry > datetime.now(UTC)]
    assert len(moved) == town.asked()
    assert all(town.known(row) is None or town.known(row).lease_owner is None for row in rows)
    assert town.spool == []
    town.state.mishaps.clear()
    assert town.refresh()["refreshed"] == 20 - len(moved)


def test_as_many_at_once_as_were_asked_for(town: Town) -> None:
    """A provider sees as many requests at a time as --at-once says."""
    under_way, most = 0, 0

    async def token(request: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.3)
        under_way -= 1
        return web.json_response({"access_token": token_hex(16), "refresh_token": token_hex(16), "expires_in": 86_400})

    app = web.Application()
    app.router.add_post("/token", token)
    with serving(app) as base:
        town.redirect("linear", base)
        rows = town.connect("linear", town.people(20))
        town.lapse(*rows)
        assert town.refresh("--at-once", "4")["refreshed"] == 20
    assert most == 4


def test_limit_rotating_and_keep_alive(town: Town) -> None:
    """--limit takes what ends first, --rotating only tokens that are replaced; a refresh token that dies of idleness is used in time."""
    users = town.people(4)
    town.connect("linear", users[:2])
    town.connect("asana", users[2:3])
    found = town.refresh("--limit", "1")
    assert (found["refreshed"], found["left"]) == (1, 2)
    found = town.refresh("--force", "--rotating")
    assert found["refreshed"] == 2
    file = town.home / "providers" / "asana.toml"
    file.write_text(file.read_text() + "oauth.refresh.idle_lifetime = 86400\n")
    [idle] = town.connect("asana", users[3:], expires=timedelta(minutes=40), connected_at=datetime.now(UTC) - timedelta(hours=13))
    found = town.refresh()
    assert found["refreshed"] == 2
    assert town.known(idle).refreshed_at is not None


def until(condition: Any, process: "subprocess.Popen[str]") -> None:
    """Wait for a moment in the life of a process, or its end."""
    ends = time.monotonic() + 30
    while not condition() and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.01)


class _hidden:  # noqa: N801 (a context manager)
    """The database cannot be written to."""

    def __init__(self, town: Town) -> None:
        self.engine = town.engine

    def __enter__(self) -> None:
        self._rename("integrations", "integrations_hidden")

    def __exit__(self, *_: object) -> None:
        self._rename("integrations_hidden", "integrations")

    def _rename(self, before: str, after: str) -> None:
        place = "" if self.engine.dialect.name == "sqlite" else "public."
        with writing(self.engine) as connection:
            connection.exec_driver_sql(f"ALTER TABLE {place}{before} RENAME TO {after}")
