"""`aura env check` on this machine: what is missing, malformed, or of another environment; and never a value."""

from pathlib import Path

import pytest

from aura_cli.environment.check import State, check
from aura_cli.environment.variables import VARIABLES, wrong_with
from aura_cli.settings import Settings
from tests.environment.complete import COMPLETE, dotenv_of
from tests.parts.program import Aura

CLIENTS = {"GITHUB_CLIENT_ID": "GITHUB_CLIENT_SECRET"}
REQUIRED = ["DATABASE_URL", "INTEGRATION_ENCRYPTION_KEY", "NEXT_PUBLIC_APP_URL", "NEXT_PUBLIC_PRIVY_APP_ID"]
REQUIRED += ["PRIVY_APP_SECRET", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"]


def found(tmp_path: Path, **changes: str) -> dict[str, tuple[str, str]]:
    """What is not in order with the complete environment after these changes (empty: not set), by name."""
    settings = Settings.load({**COMPLETE, "AURA_HOME": str(tmp_path), **changes}, tmp_path)
    return {one.name: (one.state, one.detail) for one in check(settings, CLIENTS) if one.state not in (State.OK, State.ABSENT)}


def test_a_complete_environment_is_in_order(tmp_path: Path) -> None:
    """Nothing to say; what is optional and not set is absent, and no trouble."""
    assert found(tmp_path) == {}


def test_every_variable_of_the_web_app_is_known() -> None:
    """The eleven that it wants, the five that it takes besides."""
    needs = [str(one.need) for one in VARIABLES.values()]
    assert (needs.count("required"), needs.count("degrades"), needs.count("optional")) == (7, 4, 6)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_one_is_missing(tmp_path: Path, name: str) -> None:
    """Each of them is named, with what happens without it."""
    (missing,) = [(who, state) for who, (state, _) in found(tmp_path, **{name: ""}).items()]
    assert missing == (name, State.MISSING)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "RESEND_API_KEY", "UPSTASH_REDIS_REST_TOKEN"])
def test_one_that_is_done_without(tmp_path: Path, name: str) -> None:
    """The web app does less: no reason for an exit code."""
    assert found(tmp_path, **{name: ""})[name][0] == State.DEGRADED


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("STRIPE_SECRET_KEY", "pk_test_environment0000000", "publishable key"),
        ("STRIPE_SECRET_KEY", "whsec_test_environment0000", "signing secret"),
        ("STRIPE_WEBHOOK_SECRET", "we_1Environment", "endpoint's id"),
        ("STRIPE_PRICE_ID", "prod_Environment", "product"),
        ("NEXT_PUBLIC_PRIVY_APP_ID", "did:privy:x", "25"),
        ("UPSTASH_REDIS_REST_URL", "rediss://default:x@test.upstash.example.test:6379", "REST"),
        ("UPSTASH_REDIS_REST_URL", "http://test.upstash.example.test", "http://"),
        ("NEXT_PUBLIC_APP_URL", "staging.example.test", "https://"),
        ("NEXT_PUBLIC_APP_URL", "https://staging.example.test/", "slash"),
        ("NEXT_PUBLIC_APP_URL", "https://staging.example.test:port", "no address"),
        ("INTEGRATION_ENCRYPTION_KEY", "default-key-change-in-production", "fallback"),
        ("INTEGRATION_ENCRYPTION_KEY", "too-brief", "shorter"),
        ("DATABASE_URL", "mysql://aura:Test-password-1@db.example.test/aura", "postgresql://"),
        ("DATABASE_URL", "postgresql://aura:Test-password-1@db.example.test", "names no database"),
        ("FROM_EMAIL", "AURA", "no sender"),
        ("NEXT_PUBLIC_SENTRY_DSN", "https://example.test/1", "KEY@HOST"),
        ("NEXT_PUBLIC_GA_MEASUREMENT_ID", "UA-1234-1", "2023"),
        ("RESEND_API_KEY", "your-resend-key-here", "placeholder"),
        ("OPENAI_API_KEY", "'sk-test-environment-0000000000'", "quotes"),
        ("PRIVY_APP_SECRET", "privy-app-secret-of-a-test-00000\n", "white space"),
        ("AURA_BILLING_OWNER", "nobody", "AURA_BILLING_OWNER"),
        ("AURA_RETIRED_ENCRYPTION_KEYS", '{"old": 7}', "JSON object"),
        ("AURA_STRIPE_WEBHOOK_SECRETS", "whsec_test_environment0001", "JSON object"),
        ("AURA_TRACES_SAMPLE_RATE", "200", "AURA_TRACES_SAMPLE_RATE"),
        ("STRIPE_API_BASE", "http://stripe.example.test", "http://"),
        ("AURA_ALERT_TO", "ops.example.com", "mail address"),
        ("AURA_ALERT_TO", "ops@example.com ada@example.com", "mail address"),
        ("AURA_ALERT_TO", "ops@example.com, http://chat.example.test/canary", "https://"),
        ("AURA_ALERT_TO", "ops@example.com,https:///canary", "name a host"),
        ("AURA_ALERT_TO", "https://chat.example.test:port/canary", "no address"),
        ("AURA_ALERT_TO", "http://localhost:port/canary", "no address"),
        ("AURA_ALERT_TO", "ftp://127.0.0.1/canary", "https://"),
        ("AURA_ALERT_TO", ",", "nobody"),
    ],
)
def test_a_value_that_cannot_be(tmp_path: Path, name: str, value: str, why: str) -> None:
    """It is named, with what is wrong about it, and nothing else is; its value is not."""
    wrong = found(tmp_path, **{name: value})
    assert [(who, state) for who, (state, _) in wrong.items()] == [(name, State.MALFORMED)]
    assert why in wrong[name][1]
    if name not in ("AURA_BILLING_OWNER", "AURA_TRACES_SAMPLE_RATE") and value != ",":
        assert value.strip() not in wrong[name][1]


@pytest.mark.parametrize(
    "value",
    [
        "ops@example.com",
        "ops@example.com, https://chat.example.test/hook?key=canary ,",
        "http://localhost:4010/hook",
        "http://127.0.0.1/hook,http://[::1]:4010",
    ],
)
def test_who_can_be_alerted(tmp_path: Path, value: str) -> None:
    """Mail addresses and chats' URLs, in the clear on this machine alone."""
    assert found(tmp_path, AURA_ALERT_TO=value) == {}


@pytest.mark.parametrize(
    ("changes", "name", "why"),
    [
        ({"STRIPE_SECRET_KEY": "sk_live_environment0000000"}, "STRIPE_SECRET_KEY", "real cards"),
        ({"AURA_ENV": "production"}, "STRIPE_SECRET_KEY", "test key"),
        ({"AURA_ENV": ""}, "AURA_ENV", "production"),
        ({"GITHUB_CLIENT_ID": "an-id"}, "GITHUB_CLIENT_SECRET", "GITHUB_CLIENT_ID is"),
        ({"GITHUB_CLIENT_SECRET": "a-secret-of-a-test"}, "GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET is"),
        ({"VERCEL_API_BASE": "https://vercel.example.test"}, "VERCEL_API_BASE", "VERCEL_TOKEN"),
    ],
)
def test_what_does_not_fit_together(tmp_path: Path, changes: dict[str, str], name: str, why: str) -> None:
    """A key of another mode, half a client, an address that is for nobody: each named where it has to be mended."""
    wrong = found(tmp_path, **changes)
    assert [(who, state) for who, (state, _) in wrong.items()] == [(name, State.INCONSISTENT)]
    assert why in wrong[name][1]


def test_a_production_that_leads_to_this_machine(tmp_path: Path) -> None:
    """A left-over of somebody's tests."""
    changes = {"AURA_ENV": "production", "STRIPE_SECRET_KEY": "sk_live_environment0000000", "STRIPE_API_BASE": "http://127.0.0.1:4010"}
    changes |= {"AURA_FORWARD_URL": "http://127.0.0.1:3000/api/webhooks/stripe"}  # the web app may well run beside us
    wrong = found(tmp_path, **changes, NEXT_PUBLIC_APP_URL="http://localhost:3000", DATABASE_URL=f"sqlite:///{tmp_path}/aura.db")
    assert {name: state for name, (state, _) in wrong.items()} == dict.fromkeys(
        ("DATABASE_URL", "NEXT_PUBLIC_APP_URL", "STRIPE_API_BASE"), State.INCONSISTENT
    )


def test_the_sandbox_s_values_look_as_they_have_to(tmp_path: Path) -> None:
    """Otherwise its own check would find fault with it."""
    from aura_cli.sandbox.credentials import Addresses, environment

    for name, text in environment(Addresses("http://127.0.0.1:1", "http://127.0.0.1:2"), tmp_path, f"sqlite:///{tmp_path}/a.db").items():
        assert wrong_with(name, text) is None, name


@pytest.mark.parametrize("name", ["AURA_STRIPE_WEBHOOK_SECRETS", "AURA_RETIRED_ENCRYPTION_KEYS", "PRIVY_VERIFICATION_KEY"])
def test_a_value_of_several_lines(name: str) -> None:
    """JSON and PEM are written so, and read so."""
    assert wrong_with(name, '{\n  "2025": "an-old-one-of-a-test",\n\t"2024": "an-older-one"\n}\n') is None


def test_the_command(aura: Aura) -> None:
    """What is wrong, and where from; exit 3. In order: exit 0. No value is shown, however it is asked."""
    file = aura.work / ".env.staging.local"
    file.write_text(dotenv_of(COMPLETE))
    file.chmod(0o600)
    good = aura("env", "check", "--env", "staging")
    assert (good.exit, good.err) == (0, "")
    assert good.out.startswith("Environment staging: 7 of 7 required variables are in order.\n")
    assert "6 optional variables are not set; --all names them." in good.out
    file.write_text(dotenv_of({**COMPLETE, "STRIPE_SECRET_KEY": "pk_test_environment0000000"}))
    for words in ([], ["--all"], ["--json"], ["--json", "--debug"]):
        bad = aura("env", "check", "--env", "staging", *words)
        assert bad.exit == 3
        assert "STRIPE_SECRET_KEY" in bad.out
        for value in [text for name, text in COMPLETE.items() if name != "AURA_ENV"]:
            assert value not in bad.out + bad.err
    quiet = aura("env", "check", "--env", "staging", "-q")
    assert (quiet.exit, quiet.out) == (3, "")
    listed = {one["name"]: one for one in aura("env", "check", "--env", "staging", "--json").json["findings"]}
    assert (listed["STRIPE_SECRET_KEY"]["state"], listed["STRIPE_SECRET_KEY"]["source"]) == ("malformed", str(file))
    assert listed["STRIPE_WEBHOOK_SECRET"]["state"] == "ok"


def test_where_it_looked(aura: Aura) -> None:
    """The files that count for the environment are named, and which of them are not there; in the sandbox none counts."""
    (aura.work / ".env.staging").write_text(dotenv_of(COMPLETE))
    (aura.work / ".env.staging").chmod(0o600)
    told = aura("env", "check", "--env", "staging").out
    assert f"\nLooked for in the process environment, {aura.work}/.env.staging.local (not there), {aura.work}/.env.staging.\n" in told


def test_a_name_that_is_misspelt(aura: Aura) -> None:
    """What is missing and what nobody reads are brought together; other programs' names are left alone."""
    file = aura.work / ".env.local"
    file.write_text(
        dotenv_of({**COMPLETE, "STRIPE_WEBHOOK_SECRET": ""}) + "STRIPE_WEBHOOK_SECRETS=x\nstripe_price_id=x\nSOMETHING_ELSE=x\n"
    )
    file.chmod(0o600)
    found = {one["name"]: (one["state"], one["detail"]) for one in aura("env", "check", "--json").json["findings"] if one["state"] != "ok"}
    assert found["STRIPE_WEBHOOK_SECRET"] == (
        "missing", "is not set, and .env.local has STRIPE_WEBHOOK_SECRETS, which nobody reads: every payment goes unnoticed",
    )  # fmt: skip
    assert found["STRIPE_PRICE_ID"] == ("absent", "is not set, and .env.local has stripe_price_id, which nobody reads")
    assert "SOMETHING_ELSE" not in str(found)


def test_a_client_of_another_program_is_nobody_s_trouble(aura: Aura) -> None:
    """Half a client of a provider that nobody has heard of, out of the environment."""
    done = aura("env", "check", "--json", env={**COMPLETE, "SOMETHING_CLIENT_ID": "x", "SLACK_CLIENT_ID": "x"})
    assert [one["name"] for one in done.json["findings"] if one["state"] == "inconsistent"] == ["SLACK_CLIENT_SECRET"]


def test_who_only_looks_makes_nothing(aura: Aura) -> None:
    """Neither a database of its own, nor a file without a setting."""
    aura("env", "check")
    assert aura("init", "--from", "-", input="FOO=1\n").exit == 0
    assert not list(Path(aura.environment["AURA_HOME"]).glob("aura.db*"))
    assert not (aura.work / ".env.local").exists()
