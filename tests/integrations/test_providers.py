"""`aura integrations providers`: the list, what to register and set for one, and a start for a file that overrides it."""

import tomllib
from pathlib import Path

import pytest

from aura_cli.integrations.overriding import HEAD, start_of_file
from aura_cli.integrations.overview import tables
from aura_cli.integrations.redirects import PORT
from tests.parts.program import Aura

ACME = """name = "Acme"
category = "crm"
provider = "acme"
kind = "oauth2_code"
setup = ["Ask sales for an app."]
traps = [{ note = "Sessions end at midnight.", source = "https://docs.acme.test/traps" }]

[client]
id = "ACME_CLIENT_ID"
secret = "ACME_CLIENT_SECRET"
register = "https://acme.test/apps"

[fields.region]
label = "Region"
default = "eu"
choices = { eu = { host = "eu.acme.test" }, us = { host = "us.acme.test" } }

[oauth]
authorize_url = "https://{host}/authorize"
token_url = "https://{host}/token"
scopes = ["read", "write"]
redirect = { rule = "registered" }
refresh = { mode = "always", rotating = true, idle_lifetime = 7776000 }

[verify]
url = "https://{host}/me"

[credentials.fields.api_key]
label = "API key"
secret = true
stored = "access_token"
hint = "Settings → API"
"""


@pytest.fixture
def own(aura: Aura, tmp_path: Path) -> dict[str, str]:
    """The environment in which there is a provider `acme` of one's own."""
    folder = tmp_path / "providers"
    folder.mkdir()
    (folder / "acme.toml").write_text(ACME, encoding="utf-8")
    return {"AURA_PROVIDERS_DIR": str(folder), "ACME_CLIENT_ID": "acme-app", "NEXT_PUBLIC_APP_URL": "https://app.example.com/"}


def test_the_list(aura: Aura) -> None:
    """All 64 in a pipe, by category and name; nothing but the index is needed, no database, no key."""
    rows = aura("integrations", "providers", "--json").json
    assert len(rows) == len(tables())
    assert [(row["category"], row["name"].lower()) for row in rows] == sorted((row["category"], row["name"].lower()) for row in rows)
    slack = next(row for row in rows if row["id"] == "slack")
    assert (slack["row"], slack["ready"], slack["missing"]) == ("slack", False, ["SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET"])
    done = aura("integrations", "providers", "--category", "crm", "--format", "csv", "--columns", "id,category")
    assert {line.split(",")[1] for line in done.out.splitlines()[1:]} == {"crm"}
    header = aura("integrations", "providers", "--format", "csv").out.splitlines()[0]
    assert header.startswith("id,name,category,ready,")  # what a narrow terminal has room for


def test_what_cannot_be_listed(aura: Aura) -> None:
    """Categories and options that are none are said to be, with those that are."""
    done = aura("integrations", "providers", "--category", "crmm")
    assert (done.exit, "project-management" in done.err) == (2, True)
    assert aura("integrations", "providers", "slack", "--category", "crm").exit == 2
    assert aura("integrations", "providers", "--toml").exit == 2
    missing = aura("integrations", "providers", "slakc")
    assert (missing.exit, "slack" in missing.err) == (5, True)


def test_one_provider(aura: Aura, own: dict[str, str]) -> None:
    """What to register where, which settings are set and which are not, what is asked for, what surprises and who says so."""
    shown = aura("integrations", "providers", "acme", env=own).out
    for told in (
        "https://acme.test/apps",
        f"http://127.0.0.1:{PORT}/callback",
        "https://app.example.com/connect/callback/acme",
        "ACME_CLIENT_ID: the app's id; set",
        "ACME_CLIENT_SECRET: the app's secret; NOT SET",
        "region: Region (one of eu, us; usually eu)",
        "api_key: API key (secret; Settings → API)",
        "the refresh token changes each time; they die when unused for 90 days",
        "1. Ask sales for an app.",
        "Sessions end at midnight. (https://docs.acme.test/traps)",
    ):
        assert told in shown
    assert shown.index("Before you connect") < shown.index("read write")  # whose steps speak of the scopes below
    found = aura("integrations", "providers", "acme", "--json", env=own).json
    assert found["ways"] == ["loopback", "paste", "link", "credentials"]
    assert [one["is_set"] for one in found["settings"]] == [True, False]


def test_a_file_of_ones_own_is_listed(aura: Aura, own: dict[str, str]) -> None:
    """AURA_PROVIDERS_DIR adds to the list; a stray one, out of a file without the key, does not count."""
    rows = aura("integrations", "providers", "--json", env=own).json
    assert next(row for row in rows if row["id"] == "acme")["missing"] == ["ACME_CLIENT_SECRET"]
    (aura.work / ".env").write_text(f"AURA_PROVIDERS_DIR={own['AURA_PROVIDERS_DIR']}\n")
    assert "acme" not in [row["id"] for row in aura("integrations", "providers", "--json").json]


def test_all_of_them_can_be_shown(aura: Aura) -> None:
    """Each of the 64 has a page, on which every way to connect has its redirect address or its fields."""
    from aura_cli.integrations.catalogue import load
    from aura_cli.integrations.guide import guide, lines
    from aura_cli.integrations.ways import Way, usual_way

    for one in load().providers.values():
        found = guide(one, (), lambda name: False, None)
        assert found.ways[0] == usual_way(one)
        assert list(lines(found))
        assert (Way.LINK in found.ways) == any(address.way is Way.LINK for address in found.redirects)
        assert any(asked.by_hand for asked in found.fields) or Way.CREDENTIALS not in found.ways


def test_the_start_of_a_file(aura: Aura, tmp_path: Path) -> None:
    """It is an overriding file as it stands, and says what the catalogue says once every # is taken away."""
    for name, table in tables().items():
        text = start_of_file(table)
        assert tomllib.loads(text) == {}
        assert tomllib.loads(text.removeprefix(HEAD.format(id=name)).replace("\n# ", "\n").removeprefix("# ")) == table, name
    folder = tmp_path / "over"
    folder.mkdir()
    (folder / "slack.toml").write_text(aura("integrations", "providers", "slack", "--toml").out, encoding="utf-8")
    env = {"AURA_PROVIDERS_DIR": str(folder)}
    assert aura("integrations", "providers", "slack", "--json", env=env).json == aura("integrations", "providers", "slack", "--json").json


def test_every_setting_that_a_file_names_is_one() -> None:
    """What `providers` tells people to set is read, wherever it stands."""
    from aura_cli.integrations.catalogue import load
    from aura_cli.integrations.guide import guide
    from aura_cli.settings import Settings

    needed = {one.name for provider in load().providers.values() for one in guide(provider, (), lambda name: False, None).settings}
    assert len(needed) > 60
    read = Settings.load(dict.fromkeys(needed, "x"), Path("/nonexistent")).values
    assert needed <= read.keys()
