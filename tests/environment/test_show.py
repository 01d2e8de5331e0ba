"""`aura env show`: every setting with where it comes from; of a secret only its kind."""

import csv
import io

import pytest

from aura_cli.environment.showing import masked
from tests.environment.complete import COMPLETE
from tests.parts.program import Aura


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("STRIPE_SECRET_KEY", "rk_live_Canary0000000000", "rk_live_****"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_Canary0000000000", "whsec_****"),
        ("OPENROUTER_API_KEY", "sk-or-Canary0000000000", "sk-or-****"),
        ("INTEGRATION_ENCRYPTION_KEY", "Canary0000000000", "****"),
        ("GITHUB_CLIENT_SECRET", "Canary0000000000", "****"),
        ("DATABASE_URL", "postgresql://aura:Canary@db.example.test:5433/aura?sslmode=require&password=Canary", "postgresql://****@db.example.test:5433/aura"),
        ("DATABASE_URL", "postgres://db.example.test/aura?user=Canary", "postgres://****@db.example.test/aura"),
        ("DATABASE_URL", "postgresql://aura:Canary@[::1/aura", "****"),
        ("DATABASE_URL", "postgresql://aura:2024/Canary@db.example.test/aura", "****"),
        ("DATABASE_URL", "postgresql://aura:2024?Canary@db.example.test/aura", "****"),
        ("DATABASE_URL", "postgresql://aura:2024#Canary@db.example.test/aura", "****"),
        ("DATABASE_URL", "postgresql://aura:20@24/Canary@db.example.test/aura", "****"),
        ("DATABASE_URL", "Canary", "****"),
        ("DATABASE_URL", "sqlite:////var/lib/aura.db", "sqlite:////var/lib/aura.db"),
        ("UPSTASH_REDIS_REST_URL", "rediss://default:Canary@redis.example.test:6379", "rediss://****@redis.example.test:6379"),
        ("NEXT_PUBLIC_SENTRY_DSN", "https://public@sentry.example.test/1", "https://public@sentry.example.test/1"),
        ("FROM_EMAIL", "sk_live_Canary0000000000", "sk_live_****"),
        ("NEXT_PUBLIC_APP_URL", "https://aura.example.test", "https://aura.example.test"),
    ],
)  # fmt: skip
def test_what_a_value_is_shown_as(name: str, value: str, shown: str) -> None:
    """Its kind, or where it leads; never a part of the secret."""
    assert masked(name, value) == shown


def test_where_each_comes_from(aura: Aura) -> None:
    """The environment beats the file; with --all what is not set is listed, too; in every form no secret."""
    file = aura.work / ".env.local"
    file.write_text("STRIPE_SECRET_KEY=sk_test_file0000000000\nRESEND_API_KEY=re_file000000000\nGITHUB_CLIENT_ID=an-id\n")
    file.chmod(0o600)
    env = {"STRIPE_SECRET_KEY": COMPLETE["STRIPE_SECRET_KEY"], "AURA_OPERATOR": "ada"}
    shown = {one["name"]: one for one in aura("env", "show", "--json", env=env).json}
    assert {name: (one["value"], one["source"]) for name, one in shown.items() if name != "AURA_HOME"} == {
        "STRIPE_SECRET_KEY": ("sk_test_****", "the environment"),
        "RESEND_API_KEY": ("re_****", str(file)),
        "GITHUB_CLIENT_ID": ("an-id", str(file)),
        "AURA_OPERATOR": ("ada", None),
    }
    everything = aura("env", "show", "--all", "--format", "csv", "--columns", "name,value,source,purpose", env=env)
    rows = list(csv.DictReader(io.StringIO(everything.out)))
    assert {"DATABASE_URL", "VERCEL_TOKEN", "SLACK_CLIENT_SECRET", "AURA_HOME"} <= {row["name"] for row in rows if row["purpose"]}
    assert len({row["name"] for row in rows}) == len(rows) > 100
    plain = aura("env", "show", env=env)
    assert f"RESEND_API_KEY\tre_****\t{file}\n" in plain.out
    for said in (everything, plain):
        assert "re_file" not in said.out
        assert COMPLETE["STRIPE_SECRET_KEY"] not in said.out
