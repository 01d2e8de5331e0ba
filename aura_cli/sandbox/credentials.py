"""The sandbox's own credentials, and the complete environment that makes a process work on the sandbox and on nothing else.

Every credential bears the word `sandbox`: that is how a key of somewhere else is told from them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aura_cli.integrations.catalogue import load
from aura_cli.integrations.provider import Provider
from aura_cli.sandbox.providers.addresses import fields_of
from aura_cli.sandbox.providers.samples import sample

STRIPE_SECRET_KEY = "sk_test_sandbox_StandInOnThisMachine0000"  # noqa: S105
STRIPE_WEBHOOK_SECRET = "whsec_sandbox_StandInOnThisMachine0000"  # noqa: S105
STRIPE_PRICE_ID = "price_1SandboxProMonthly000000"
PRIVY_APP_ID = "sandboxapp000000000000000"  # 25 characters, as Privy's are
PRIVY_APP_SECRET = "privy_app_secret_sandbox_StandInOnThisMachine0000"  # noqa: S105
OPENAI_API_KEY = "sk-sandbox-StandInOnThisMachine0000"
RESEND_API_KEY = "re_sandbox_StandInOnThisMachine0000"
RESEND_WEBHOOK_SECRET = "whsec_sandboxStandInOnThisMachine00000"  # noqa: S105 (after its prefix it is base64)
UPSTASH_REDIS_REST_TOKEN = "sandbox-StandInOnThisMachine0000"  # noqa: S105
GA_API_SECRET = "sandbox-StandInOnThisMachine0000"  # noqa: S105
GA_MEASUREMENT_ID = "G-SANDBOX000"
VERCEL_TOKEN = "sandbox-vercel-StandInOnThisMachine0000"  # noqa: S105
VERCEL_PROJECT_ID = "prj_SandboxStandInOnThisMachine00"
VERCEL_ORG_ID = "team_SandboxStandInOnThisMach"
INTEGRATION_ENCRYPTION_KEY = "sandbox-integration-encryption-key-0000"

PROVIDER_FILES = "providers"  # the folder in AURA_HOME with the files that lead to the stand-in

NOWHERE = "http://127.0.0.1:9"  # the discard port: refused at once wherever nobody runs that service


@dataclass(frozen=True)
class Addresses:
    """Where the stand-ins listen: base addresses without a path, as STRIPE_API_BASE and PRIVY_API_BASE take them."""

    stripe: str
    privy: str
    providers: str = NOWHERE
    openai: str = NOWHERE
    resend: str = NOWHERE
    upstash: str = NOWHERE
    analytics: str = NOWHERE
    web_app: str = NOWHERE
    vercel: str = NOWHERE


def environment(addresses: Addresses, home: Path, database_url: str) -> dict[str, str]:
    """Every variable of the web app's and of `aura`'s that counts in the sandbox; what has no stand-in is sent where nobody listens."""
    return {
        **provider_variables(load().providers.values()),
        "AURA_ENV": "sandbox",
        "AURA_HOME": str(home),
        "AURA_PROVIDERS_DIR": str(home / PROVIDER_FILES),
        "AURA_SANDBOX_PROVIDERS": addresses.providers,
        "DATABASE_URL": database_url,
        "STRIPE_API_BASE": addresses.stripe,
        "STRIPE_SECRET_KEY": STRIPE_SECRET_KEY,
        "STRIPE_WEBHOOK_SECRET": STRIPE_WEBHOOK_SECRET,
        "STRIPE_PRICE_ID": STRIPE_PRICE_ID,
        "PRIVY_API_BASE": addresses.privy,
        "NEXT_PUBLIC_PRIVY_APP_ID": PRIVY_APP_ID,
        "PRIVY_APP_SECRET": PRIVY_APP_SECRET,
        "INTEGRATION_ENCRYPTION_KEY": INTEGRATION_ENCRYPTION_KEY,
        "NEXT_PUBLIC_APP_URL": addresses.web_app,
        "OPENAI_BASE_URL": f"{addresses.openai}/v1",
        "OPENAI_API_KEY": OPENAI_API_KEY,
        "AURA_SANDBOX_OPENAI": addresses.openai,
        "RESEND_API_URL": addresses.resend,
        "RESEND_API_KEY": RESEND_API_KEY,
        "RESEND_WEBHOOK_SECRET": RESEND_WEBHOOK_SECRET,
        "FROM_EMAIL": "AURA <noreply@sandbox.test>",
        "UPSTASH_REDIS_REST_URL": addresses.upstash,
        "UPSTASH_REDIS_REST_TOKEN": UPSTASH_REDIS_REST_TOKEN,
        "GA_API_BASE": addresses.analytics,
        "GA_API_SECRET": GA_API_SECRET,
        "NEXT_PUBLIC_GA_MEASUREMENT_ID": GA_MEASUREMENT_ID,
        "VERCEL_API_BASE": addresses.vercel,
        "VERCEL_TOKEN": VERCEL_TOKEN,
        "VERCEL_PROJECT_ID": VERCEL_PROJECT_ID,
        "VERCEL_ORG_ID": VERCEL_ORG_ID,
    }


def provider_variables(providers: Iterable[Provider]) -> dict[str, str]:
    """Every variable that the catalogue names: ids and secrets of clients, and settings of fields that are no secrets."""
    found: dict[str, str] = {}
    for provider in providers:
        for name in (provider.client.id, provider.client.secret) if provider.client else ():
            if name:
                found[name] = f"sandbox-{name.lower().replace('_', '-')}-0000"
        fields = [(name, field) for _, some in fields_of(provider) for name, field in some.items()]
        found |= {field.env: sample(provider.id, name, field) for name, field in fields if field.env and not field.secret}
    return found
