"""Secrets in tracked files of settings are found by their names, whatever counts here; placeholders are none."""

import pytest

from aura_cli.environment.declared import declared
from tests.environment.test_tracked import checked, git
from tests.parts.program import Aura

LIVE = "sk_live_environment0000000"


def test_what_is_hidden_or_of_another_environment(aura: Aura) -> None:
    """A stronger file hides it, or nobody reads it here: it is in the repository all the same. Of its value nothing is told."""
    git(aura.work, "init", "-q", ".")
    (aura.work / ".gitignore").write_text(".env*.local\n")
    (aura.work / ".env").write_text(f"# ours\nSTRIPE_SECRET_KEY={LIVE}\nDATABASE_URL=postgresql://aura:Test-password-2@db.example.test/a\n")
    (aura.work / "web").mkdir()
    (aura.work / "web" / ".env.production").write_text(
        "\nexport PRIVY_APP_SECRET='privy-app-secret-of-production-0'\r\nGITHUB_CLIENT_SECRET=x1\n"
    )
    (aura.work / ".env.local").write_text("STRIPE_SECRET_KEY=sk_test_environment0000000\nDATABASE_URL=sqlite:///a.db\n")
    for name in (".env", ".env.local", "web/.env.production"):
        (aura.work / name).chmod(0o600)
    git(aura.work, "add", ".")
    done = aura("env", "check", "--json")
    assert (done.exit, [(one["name"], one["file"], one["line"]) for one in done.json["exposed"]]) == (
        3,
        [
            ("STRIPE_SECRET_KEY", ".env", 2),
            ("DATABASE_URL", ".env", 3),
            ("PRIVY_APP_SECRET", "web/.env.production", 2),
            ("GITHUB_CLIENT_SECRET", "web/.env.production", 3),
        ],
    )
    told = aura("env", "check").out + done.out
    assert not [one for one in (LIVE, "Test-password-2", "privy-app-secret") if one in told]


def test_each_once(aura: Aura) -> None:
    """What counts here and stands in a tracked file of settings is found by name and by value, and told once."""
    git(aura.work, "init", "-q", ".")
    (aura.work / ".env.staging").write_text(f"STRIPE_SECRET_KEY=\n  '{LIVE}'\n")
    (aura.work / ".env.staging").chmod(0o600)
    git(aura.work, "add", ".")
    assert checked(aura)["exposed"] == [{"name": "STRIPE_SECRET_KEY", "file": ".env.staging", "line": 2}]


@pytest.mark.parametrize(
    "entry",
    [
        "STRIPE_SECRET_KEY=",
        "STRIPE_SECRET_KEY=''",
        "STRIPE_SECRET_KEY=sk_test_...",
        "STRIPE_SECRET_KEY=sk_live_xxxxxxxxxxxxxxxx",
        "STRIPE_SECRET_KEY=sk_test_your_key_here",
        "STRIPE_WEBHOOK_SECRET=whsec_…",
        "RESEND_API_KEY=your-key-here",
        "RESEND_API_KEY=${SHARED_KEY}",
        "PRIVY_APP_SECRET=your-privy-app-secret",
        "OPENAI_API_KEY=<key>",
        "DATABASE_URL=sqlite:///aura.db",
        "DATABASE_URL=postgresql://localhost/aura",
        "DATABASE_URL=postgresql://USER:PASSWORD@HOST:5432/aura",
        "DATABASE_URL=postgresql://aura:[YOUR-PASSWORD]@db.example.test/aura",
        "DATABASE_URL=postgresql://aura:${DB_PASSWORD}@db.example.test/aura",
        "AURA_RETIRED_ENCRYPTION_KEYS={}",
        "AURA_ALERT_TO=ops@example.com",
        "NEXT_PUBLIC_APP_URL=https://staging.example.test",
        f"# STRIPE_SECRET_KEY={LIVE}",
    ],
)
def test_what_is_none(entry: str) -> None:
    """Nothing, a placeholder, what another variable says, an address without a password, what is no secret."""
    assert not [*declared(".env", entry)]


@pytest.mark.parametrize(
    "entry",
    [
        "STRIPE_SECRET_KEY=sk_test_1234567890abcdef",
        "STRIPE_SECRET_KEY=sk_test_51Abcdefghijklmnop",
        "OPENAI_API_KEY=sk-placeholder-0123456789abcdef",
        "RESEND_API_KEY=re_123456789",
        "INTEGRATION_ENCRYPTION_KEY=generate-with-openssl-rand-hex-32",
        "INTEGRATION_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef",
        "DATABASE_URL=postgresql://postgres:postgres@localhost:5432/aura",
        "DATABASE_URL=postgresql://aura:$ecret99@localhost:5432/aura",
        "DATABASE_URL=postgresql://aura:secret@localhost:5432/aura",
        "PRIVY_APP_SECRET=privy-app-secret-of-a-dashboard",
    ],
)
def test_what_shows_how_a_value_looks(entry: str) -> None:
    """In a file of examples no alarm, in any other one."""
    for file in (".env.example", "web/.env.local.example", ".env.sample", ".env.template"):
        assert not [*declared(file, entry)]
    assert [line for _, line in declared("web/.env.local", f"A=1\n{entry}")] == [2]


@pytest.mark.parametrize(
    "entry",
    [
        f"STRIPE_SECRET_KEY={LIVE}",
        "STRIPE_SECRET_KEY=sk_test_7Tq2vR9wLm4Zc8Kd1Xs6",
        "DATABASE_URL=postgresql://aura:7Tq2vR9wLm4Zc8Kd1Xs6@db.example.test/aura",
        'AURA_STRIPE_WEBHOOK_SECRETS={"test": "whsec_7Tq2vR9wLm4Zc8Kd1Xs6"}',
        "AURA_ALERT_TO=https://chat.example.test/7Tq2vR9wLm4Zc8Kd1Xs6",
    ],
)
def test_what_looks_real_among_examples(entry: str) -> None:
    """A key for real money, and what only a machine makes."""
    assert len([*declared(".env.example", entry)]) == 1
