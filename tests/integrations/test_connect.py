"""Connecting from a terminal: every way, and whatever can go wrong on it; the row is right, or it is not there."""

import json
import os
import re
import socket
import stat
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aura_cli.db.engine import writing
from aura_cli.db.shared import integrations
from tests.integrations.connecting import ADA, World, consent, visit
from tests.parts.service import free_port
from tests.parts.terminal import Keys, on_a_terminal

SECRET = re.compile(r"sandbox-(code|access|refresh|device)-\w+")


def credentials(world: World, provider: str) -> dict[str, str]:
    """What the stand-in takes."""
    found: dict[str, str] = world.sandbox(f"providers/{provider}")["credentials"]
    return found


def typed(world: World, *args: str, dialogue: Sequence[tuple[str, Keys]] = (), env: dict[str, str] | None = None) -> tuple[int, str]:
    """`aura integrations …` on a pseudo-terminal."""
    command = [sys.executable, "-m", "aura_cli", "integrations", *args]
    return on_a_terminal(command, {**world.aura.environment, **world.env, **(env or {})}, world.aura.work, dialogue=dialogue)


def test_loopback(world: World) -> None:
    """Junk at the port changes nothing; the consent does: sealed, with account, scopes and expiry, told to the customer; no token shown."""
    waiting = world.waiting("github", "--as", "work")
    port = re.findall(r"127\.0\.0\.1%3A(\d+)%2Fcallback", waiting.url)[0]
    here = f"http://127.0.0.1:{port}"
    for path, status in (("/", 404), ("/callback?code=c&state=x", 400), ("/callback", 400), ("/callback?error=access_denied", 400)):
        assert visit(f"{here}{path}").status == status
    back = consent(waiting.url)
    assert visit(back, headers={"Host": "evil.test"}).status == 400
    page = visit(back)
    assert (page.status, "GitHub is connected" in page.text) == (200, True)
    done = waiting.end()
    assert done.exit == 0, done.err
    (row,) = world.rows()
    assert row["access_token"].count(":") == 2
    assert str(world.opened(row["access_token"])).startswith("sandbox-access-github")
    assert (row["label"], row["method"], row["name"]) == ("ada@github.example.com", "consent", "work")
    assert done.json["scopes"] == row["scopes"]
    assert row["token_expiry"] is not None
    assert world.told() == ["GitHub was connected (ada@github.example.com)"]
    assert not SECRET.search(done.out + done.err + page.text)


def test_denied(world: World) -> None:
    """Exit 3, nothing stored, and the browser says so."""
    waiting = world.waiting("github")
    assert "was not connected" in visit(consent(waiting.url, "deny")).text
    done = waiting.end()
    assert (done.exit, json.loads(done.err.splitlines()[-1])["error"]["kind"]) == (3, "denied")
    assert (world.rows(), world.told()) == ([], [])


@pytest.mark.parametrize(
    ("mishap", "status"), [("invalid_client", 7), ("invalid_grant", 7), ("html", 7), ("error_with_200", 7), ("nothing", 7), ("cut", 8)]
)
def test_the_exchange_fails(world: World, mishap: str, status: int) -> None:
    """The browser gets its page only then: that it could not be connected. Nothing is stored, and no code is shown."""
    world.sandbox("mishaps", {"kind": mishap, "provider": "github"})
    waiting = world.waiting("github")
    page = visit(consent(waiting.url))
    assert "GitHub could not be connected" in page.text
    done = waiting.end()
    assert done.exit == status, done.err
    assert not SECRET.search(done.err + page.text)
    assert not world.rows()


def test_nobody_comes(world: World) -> None:
    """After the time that was given it ends, and says that it may be tried again."""
    done = world.connect("github", "--timeout", "1")
    assert (done.exit, "Nobody consented" in done.err) == (8, True)


def test_a_port_in_use(world: World) -> None:
    """The error names who has it; nothing was started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = world.connect("github", "--port", str(taken.getsockname()[1]))
    assert (done.exit, f"(process {os.getpid()})" in done.err, "--paste" in done.err) == (6, True, True)


def test_the_browser_is_opened(world: World, tmp_path: Path) -> None:
    """With the very address that was printed before; and what it is given of the environment holds none of our settings."""
    script, seen = tmp_path / "browser", tmp_path / "seen"
    script.write_text(f'#!/bin/sh\n{{ echo "$1"; env; }} > {seen}.part; mv {seen}.part {seen}\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    waiting = world.waiting("github", "--browser", env={"BROWSER": str(script)})
    until = time.monotonic() + 20
    while not seen.exists() and time.monotonic() < until:
        time.sleep(0.05)
    said = seen.read_text()
    assert said.splitlines()[0] == waiting.url
    assert "INTEGRATION_ENCRYPTION_KEY" not in said
    assert "CLIENT_SECRET" not in said
    visit(consent(waiting.url))
    assert "A browser was opened" in waiting.end().err


@pytest.mark.parametrize(
    ("more", "env", "told"),
    [
        (("--browser",), {"BROWSER": "false"}, "none could be started"),
        (("--no-browser",), {"DISPLAY": ":0"}, "you said so"),
        ((), {"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.8 22", "DISPLAY": ":0"}, "this is an SSH session"),
        ((), {"container": "podman", "DISPLAY": ":0"}, "this is a container"),
    ],
)
def test_no_browser_can_be_opened(world: World, more: tuple[str, ...], env: dict[str, str], told: str) -> None:
    """Why not, and how to go on: the ssh line with the port; the consent still counts."""
    waiting = world.waiting("github", *more, env=env)
    visit(consent(waiting.url))
    done = waiting.end()
    assert done.exit == 0
    assert f"No browser was opened: {told}" in done.err
    consents = urlsplit(waiting.url).port  # a stand-in's page has to be reached, too
    assert re.search(rf"ssh -N -L (\d+):127\.0\.0\.1:\1 -L {consents}:127\.0\.0\.1:{consents} \S+", done.err)
    assert ("192.0.2.8" in done.err) == ("SSH_CONNECTION" in env)


def test_ctrl_c(world: World) -> None:
    """While it waits: 130, nothing stored, the port free again."""
    port = free_port()
    code, shown = typed(world, "connect", "github", "--user", ADA, "--port", str(port), dialogue=[("Waiting;", "\x03")])
    assert (code, "nothing is half-written" in shown) == (130, True)
    assert not world.rows()
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_paste(world: World) -> None:
    """The address of a tab that could not load, on standard input; another address, or another consent's, stores nothing."""
    port = str(free_port())
    waiting = world.waiting("github", "--paste", "--port", port)
    other = consent(waiting.url)
    assert waiting.end(other.replace("callback", "elsewhere")).exit == 2
    waiting = world.waiting("github", "--paste", "--port", port)
    assert waiting.end(other).exit == 2
    assert not world.rows()
    waiting = world.waiting("github", "--paste", "--port", port)
    done = waiting.end(consent(waiting.url) + "\n")
    assert done.exit == 0, done.err
    assert not SECRET.search(done.out + done.err)
    assert world.rows()[0]["label"] == "ada@github.example.com"


def test_paste_on_a_terminal(world: World) -> None:
    """It is typed hidden, and asked for again where it was the wrong one."""

    def right(shown: str) -> str:
        return consent(re.findall(r"^(http\S+)", shown, re.MULTILINE)[0].strip()) + "\n"

    dialogue: list[tuple[str, Keys]] = [("(hidden): ", "http://127.0.0.1/wrong\n"), ("(hidden): ", right)]
    code, shown = typed(world, "connect", "github", "--user", ADA, "--paste", "--port", str(free_port()), dialogue=dialogue)
    assert code == 0, shown
    assert "not the address" in shown
    assert not SECRET.search(shown)
    assert len(world.rows()) == 1


def test_device(world: World) -> None:
    """The code is typed on another device; no sooner is there a row."""
    waiting = world.waiting("github", "--device")
    assert not world.rows()
    code = waiting.hear(r"code (\S+)\.")
    world.sandbox("device", {"user_code": code, "decision": "allow"})
    done = waiting.end()
    assert done.exit == 0, done.err
    assert world.rows()[0]["label"] == "ada@github.example.com"


@pytest.mark.parametrize(("decision", "status", "told"), [("deny", 3, "Not allowed at GitHub"), ("", 8, "Nobody typed the code")])
def test_device_refused(world: World, decision: str, status: int, told: str) -> None:
    """Denied, or never typed."""
    waiting = world.waiting("github", "--device", "--timeout", "60" if decision else "4")
    code = waiting.hear(r"code (\S+)\.")
    if decision:
        world.sandbox("device", {"user_code": code, "decision": decision})
    done = waiting.end()
    assert (done.exit, told in done.err) == (status, True), done.err
    assert not world.rows()


def test_credentials(world: World) -> None:
    """As JSON on standard input: verified, sealed where the web app looks for them; the rest in the clear."""
    given = credentials(world, "datadog")
    done = world.connect("datadog", "--credentials", "-", "--json", input=json.dumps(given))
    assert done.exit == 0, done.err
    (row,) = world.rows()
    assert (world.opened(row["access_token"]), world.opened(row["refresh_token"])) == (given["api_key"], given["app_key"])
    assert (row["metadata"]["site"], row["method"], row["token_expiry"]) == (given["site"], "credentials", None)
    assert given["api_key"] not in done.out + done.err


def test_one_credential_needs_no_json(world: World) -> None:
    """Where one secret is missing, standard input is that."""
    given = credentials(world, "telegram")
    assert world.connect("telegram", "--credentials", "-", input=given["bot_token"] + "\n").exit == 0


def test_credentials_that_are_refused(world: World) -> None:
    """By their form, by the provider, as an option, by nobody being there: nothing stored, nothing repeated."""
    given = credentials(world, "datadog")
    wrong = {**given, "api_key": "0" * 32}
    for changed, status in ((wrong, 4), ({**given, "api_key": "zq-secret"}, 2), ({**given, "site": "evil.test"}, 2), ({"api_key": 1.5}, 2)):
        done = world.connect("datadog", "--credentials", "-", input=json.dumps(changed))
        assert done.exit == status, done.err
        assert "zq-secret" not in done.err
    for words, text in (((), None), (("--credentials", "zq-secret"), None), (("--credentials", "-"), "{"), (("--credentials", "-"), "")):
        assert world.connect("datadog", *words, input=text).exit == 2
    assert world.connect("datadog", "--credentials", "-", "--set", f"api_key={given['api_key']}", input="{}").exit == 2
    assert not world.rows()
    done = world.connect("datadog", "--credentials", "-", "--no-verify", "--json", input=json.dumps(wrong))
    assert (done.exit, done.json["verified"], done.json["label"]) == (0, False, None)


def test_credentials_typed(world: World) -> None:
    """At prompts: secrets hidden, the rest visible with its default."""
    given = credentials(world, "datadog")
    dialogue = [("API key: ", given["api_key"] + "\n"), ("Application key: ", given["app_key"] + "\n"), ("[datadoghq.com]: ", "\n")]
    code, shown = typed(world, "connect", "datadog", "--user", ADA, dialogue=dialogue)
    assert code == 0, shown
    assert given["api_key"] not in shown
    assert world.rows()[0]["metadata"]["site"] == "datadoghq.com"


@pytest.mark.parametrize("subdomain", ["acme/evil", "acme.evil.test", "acme@evil", "https://acme.zendesk.com", "acme\n"])
def test_a_subdomain_that_leads_elsewhere(world: World, subdomain: str) -> None:
    """Refused before anything is sent anywhere."""
    done = world.connect("zendesk", "--set", f"subdomain={subdomain}", "--timeout", "1", "--port", str(free_port()))
    assert done.exit == (8 if subdomain == "acme\n" else 2), done.err


def test_connecting_again(world: World) -> None:
    """The row is written over, never doubled; a refresh token that the answer lacks is kept."""
    visit(consent((first := world.waiting("github")).url))
    assert first.end().exit == 0
    (before,) = world.rows()
    world.sandbox("mishaps", {"kind": "refresh_token", "value": None, "provider": "github"})
    visit(consent((second := world.waiting("github")).url))
    done = second.end()
    assert (done.exit, done.json["replaced"], done.json["id"]) == (0, True, before["id"])
    (row,) = world.rows()
    assert row["access_token"] != before["access_token"]
    assert world.opened(row["refresh_token"]) == world.opened(before["refresh_token"])


def test_another_account(world: World) -> None:
    """Asked about: exit 6 where nobody answers; with --yes nothing of the former is left."""
    visit(consent((first := world.waiting("github")).url))
    assert first.end().exit == 0
    (before,) = world.rows()
    second = world.waiting("github")
    assert "could not be connected" in visit(consent(second.url, account="bob")).text
    done = second.end()
    assert (done.exit, "ada@github.example.com" in done.err, "bob@github.example.com" in done.err) == (6, True, True)
    assert world.rows() == [before]
    world.sandbox("mishaps", {"kind": "refresh_token", "value": None, "provider": "github"})
    third = world.waiting("github", "--yes")
    visit(consent(third.url, account="bob"))
    assert third.end().exit == 0
    (row,) = world.rows()
    assert (row["id"], row["label"], row["refresh_token"]) == (before["id"], "bob@github.example.com", None)


def test_another_account_than_the_web_apps(world: World) -> None:
    """By e-mail address, where both say one: its refresh token would otherwise bring the former account back."""
    row = {"user_id": world.ada, "provider": "github", "metadata": {"email": "Ada@GitHub.example.com"}}
    with writing(world.engine) as connection:
        connection.execute(integrations.insert().values(row))
    for account, exit_code in (("bob", 6), ("ada", 0)):
        waiting = world.waiting("github")
        visit(consent(waiting.url, account=account))
        done = waiting.end()
        assert (done.exit, "is connected as Ada@GitHub.example.com" in done.err) == (exit_code, exit_code == 6), done.err


def test_a_row_of_the_web_apps(world: World) -> None:
    """What the web app connected is written over, its metadata kept; of duplicated rows the newest, and it is said."""
    with writing(world.engine) as connection:
        for when in ("2026-01-01", "2026-02-01"):
            row = {"user_id": world.ada, "provider": "github", "metadata": {"login": "ada", "when": when}}
            connection.execute(integrations.insert().values(**row, created_at=_day(when)))
    waiting = world.waiting("github")
    visit(consent(waiting.url))
    done = waiting.end()
    assert (done.exit, done.json["replaced"], "2 rows of GitHub" in done.err) == (0, True, True)
    older, newer = world.rows()
    assert older["access_token"] is None
    assert newer["access_token"]
    assert newer["metadata"]["when"] == "2026-02-01"


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_google_has_one_row(world: World) -> None:
    """Calendar and Docs: the second consent asks for what the first has, and the row holds both."""
    for provider in ("google-calendar", "google-docs"):
        waiting = world.waiting(provider)
        visit(consent(waiting.url))
        assert waiting.end().exit == 0
    (row,) = world.rows()
    assert row["provider"] == "google"
    assert {"calendar.events", "documents"} <= {scope.rpartition("/")[2] for scope in row["scopes"]}


def test_foreseen(world: World) -> None:
    """-n says how, with which redirect address and scopes, what is asked for and what is written over; nothing is started or stored."""
    found = world.connect("zendesk", "-n", "--json").json
    assert found["asks_for"] == ["subdomain"]
    assert re.fullmatch(r"http://(127\.0\.0\.1|localhost):8790/callback", found["redirect_uri"])
    assert found["writes_over"] is None
    assert "Nothing was started" in world.connect("datadog", "-n").out
    assert not world.sandbox("requests")
    assert not world.rows()


@pytest.mark.parametrize(
    ("words", "env", "status", "told"),
    [
        (("github",), {"GITHUB_CLIENT_ID": ""}, 4, "GITHUB_CLIENT_ID is not set"),
        (("github",), {"INTEGRATION_ENCRYPTION_KEY": ""}, 4, "INTEGRATION_ENCRYPTION_KEY"),
        (("github",), {"INTEGRATION_ENCRYPTION_KEY": "default-key-change-in-production"}, 4, "fallback"),
        (("gihtub",), {}, 5, "github"),
        (("telegram", "--device"), {}, 2, "cannot be connected with --device"),
        (("github", "--device", "--paste"), {}, 2, "different ways"),
        (("github", "--no-wait"), {}, 2, "--no-wait is for --link"),
        (("github", "--device", "--port", "1234"), {}, 2, "--port is for"),
        (("telegram", "--scopes", "a"), {}, 2, "--scopes is for a consent"),
        (("github", "--set", "colour=red"), {}, 2, "no such field"),
    ],
)
def test_what_cannot_begin(world: World, words: tuple[str, ...], env: dict[str, str], status: int, told: str) -> None:
    """Settings, providers and options that are missing or do not go together: said before anything is asked or sent."""
    done = world.connect(*words, "--timeout", "1", env=env)
    assert (done.exit, told in done.err) == (status, True), done.err
    assert not world.sandbox("requests")


def test_an_unknown_person(world: World) -> None:
    """Nobody: 5; no identifier: 2."""
    assert world("connect", "github", "--user", "bob@example.com").exit == 5
    assert world("connect", "github", "--user", "bob").exit == 2


@pytest.mark.parametrize("mishap", [None, "html", "invalid_grant", "cut"])
def test_nothing_secret_is_said(world: World, mishap: str | None) -> None:
    """Not even with --debug, whether it works or not: no code, token, client's secret, key or verifier."""
    if mishap:
        world.sandbox("mishaps", {"kind": mishap, "provider": "github"})
    waiting = world.waiting("github", "--debug")
    page = visit(consent(waiting.url))
    done = waiting.end()
    said = done.out + done.err + page.text
    assert (done.exit == 0) == (mishap is None)
    assert not SECRET.search(said)
    for name in ("GITHUB_CLIENT_SECRET", "INTEGRATION_ENCRYPTION_KEY"):
        assert world.env[name] not in said
    assert "verifier" not in done.err
    given = credentials(world, "datadog")
    told = world.connect(
        "datadog", "--credentials", "-", "--debug", input=json.dumps({**given, **({"site": "datadoghq.eu"} if mishap else {})})
    )
    assert given["api_key"] not in told.out + told.err
    assert given["app_key"] not in told.out + told.err
