"""`aura email templates` and `render`, run as a person runs them."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aura_cli.mail.rendering import TEMPLATES, render
from tests.parts.program import Aura

INVITE = {
    "inviter": "Mina <b>",
    "team": "Okafor & Söhne 👩🏽‍🚀",
    "role": "viewer",
    "link": "https://app.example.com/team/accept?token=4be1&x=1",
}
APP = {"NEXT_PUBLIC_APP_URL": "https://app.example.com", "DATABASE_URL": "sqlite:///x.db"}


def test_templates_are_listed(aura: Aura) -> None:
    """All five with what they are for and what they take; optional variables stand in brackets."""
    found = aura("email", "templates", "--json")
    assert found.exit == 0, found.err
    assert [one["name"] for one in found.json] == list(TEMPLATES)
    assert found.json[1]["variables"] == "inviter, team, role, link, [expires_on]"
    assert aura("email", "templates", "--format", "csv", "--columns", "name").out.split() == ["name", *TEMPLATES]


def test_a_templates_variables_are_listed(aura: Aura) -> None:
    """With kind, choices, and whether one can be left out."""
    found = aura("email", "templates", "team-invite", "--json")
    by_name = {one["variable"]: one for one in found.json}
    assert (by_name["link"]["kind"], by_name["link"]["required"], by_name["expires_on"]["required"]) == ("url", True, False)
    assert by_name["role"]["choices"] == ["owner", "admin", "member", "viewer"]
    assert "inviter\ttext\tyes" in aura("email", "templates", "team-invite").out


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_preview_needs_nothing(aura: Aura, template: str) -> None:
    """Without data, key or database: made-up variables, said so, and the text version."""
    found = aura("email", "render", template)
    made = render(template, TEMPLATES[template].sample, app_url="https://aura.example.com")
    assert (found.exit, found.out) == (0, f"Subject: {made.subject}\n\n{made.text}")
    assert found.err == "With made-up data; --data FILE takes yours.\n"


def test_the_two_versions_alone(aura: Aura) -> None:
    """Each byte for byte, for a pipe; the buttons lead to the configured web app."""
    made = render("welcome", {}, app_url=APP["NEXT_PUBLIC_APP_URL"])
    assert aura("email", "render", "welcome", "--html", "--data", "-", input="{}", env=APP).out == made.html
    assert aura("email", "render", "welcome", "--text", "--data", "-", input="{}", env=APP).out == made.text
    assert "https://app.example.com" in made.text


def test_data_from_a_file(aura: Aura) -> None:
    """Its texts are escaped; with --json there are subject, HTML and text."""
    (aura.work / "invite.json").write_text(json.dumps(INVITE))
    found = aura("email", "render", "team-invite", "--data", "invite.json", "--json")
    assert found.exit == 0, found.err
    assert found.json == {
        **vars(render("team-invite", INVITE, app_url="https://aura.example.com")),
        "template": "team-invite",
        "file": None,
    }
    assert "Mina &lt;b&gt;" in found.json["html"]
    assert found.json["subject"] == "Mina <b> invites you to Okafor & Söhne 👩🏽‍🚀 on AURA"
    assert found.err == ""


def test_open_writes_a_file_of_ones_own(aura: Aura) -> None:
    """It is in the data directory, for its owner's eyes; a browser is started with it, or it is said why not."""
    browser = aura.directory / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {aura.directory}/opened\n')
    browser.chmod(0o755)
    screen = {"BROWSER": str(browser), "DISPLAY": ":99"}
    found = aura("email", "render", "welcome", "--open", env=screen)
    file = Path(found.out.strip())
    assert file == aura.directory / "data" / "previews" / "welcome.html"
    assert file.read_text() == render("welcome", TEMPLATES["welcome"].sample, app_url="https://aura.example.com").html
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    if "No browser" not in found.err:  # in a container none is started
        assert (aura.directory / "opened").read_text() == f"{file.as_uri()}\n"
    remote = aura("email", "render", "welcome", "--open", env={**screen, "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"})
    assert (remote.exit, "No browser was opened: this is an SSH session" in remote.err) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "given", "code", "said"),
    [
        (["newsletter"], None, 5, "There is no template 'newsletter'"),
        (["team-invite", "--data", "-"], "{}", 2, "inviter is missing; team is missing; role is missing; link is missing"),
        (["welcome", "--data", "-"], '{"nmae": "Mina"}', 2, "nmae is unknown"),
        (["welcome", "--data", "-"], '{"name": 7}', 2, "name: 7 is no text"),
        (["welcome", "--data", "-"], '{"link": "javascript:alert(1)"}', 2, "link: 'javascript:alert(1)' is no address"),
        (["welcome", "--data", "-"], '["Mina"]', 2, "is no JSON object"),
        (["welcome", "--data", "-"], '{"name": ', 2, "is no JSON object"),
        (["welcome", "--data", "-"], "", 2, "is no JSON object"),
        (["welcome", "--data", "missing.json"], None, 2, "missing.json cannot be read"),
        (["welcome", "--data", "."], None, 2, ". cannot be read"),
        (["welcome", "--html", "--text"], None, 2, "One of --text, --html and --open"),
    ],
)
def test_what_cannot_be_rendered(aura: Aura, arguments: list[str], given: str | None, code: int, said: str) -> None:
    """It says what is wrong, and prints nothing of a mail."""
    found = aura("email", "render", *arguments, input=given)
    assert (found.exit, found.out) == (code, "")
    assert said in found.err


@pytest.mark.parametrize("content", [b'{"name": "\xff"}', b"\xff\xfe{}", b'{"name": "\\ud800"}', b"{" * 2_000_000])
def test_data_that_is_no_text(aura: Aura, content: bytes) -> None:
    """Bytes that are no UTF-8, half characters and more than anybody would write are no JSON object, from a file and a pipe alike."""
    (aura.work / "data.json").write_bytes(content)
    command = [sys.executable, "-m", "aura_cli", "email", "render", "welcome", "--data"]
    for source in ("data.json", "-"):
        done = subprocess.run(
            [*command, source], input=content, capture_output=True, cwd=aura.work, env=aura.environment, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"is no JSON object" in done.stderr


def test_an_app_without_a_good_address(aura: Aura) -> None:
    """A malformed NEXT_PUBLIC_APP_URL is a matter of configuration."""
    found = aura("email", "render", "welcome", env={**APP, "NEXT_PUBLIC_APP_URL": "app.example.com"})
    assert (found.exit, "NEXT_PUBLIC_APP_URL" in found.err) == (4, True)
