"""Where a person goes about a service: its keys are one page's (or one command's), whether it is well is another's."""

from collections.abc import Mapping
from typing import NamedTuple

from aura_cli.insight.finding import System


class Pages(NamedTuple):
    """`keys`: where its keys and settings are; `status`: where it says of itself whether it is well; `credential`: its setting."""

    keys: str
    status: str
    credential: str


PAGES: Mapping[System, Pages] = {
    System.DATABASE: Pages("aura env show", "aura env show", "DATABASE_URL"),  # whoever runs it
    System.STRIPE: Pages("https://dashboard.stripe.com/apikeys", "https://status.stripe.com", "STRIPE_SECRET_KEY"),
    System.PRIVY: Pages("https://dashboard.privy.io", "https://status.privy.io", "PRIVY_APP_SECRET"),
    System.OPENAI: Pages("https://platform.openai.com/api-keys", "https://status.openai.com", "OPENAI_API_KEY"),
    System.RESEND: Pages("https://resend.com/api-keys", "https://resend-status.com", "RESEND_API_KEY"),
    System.UPSTASH: Pages("https://console.upstash.com", "https://status.upstash.com", "UPSTASH_REDIS_REST_TOKEN"),
    System.SENTRY: Pages("https://sentry.io/settings/projects/", "https://status.sentry.io", "NEXT_PUBLIC_SENTRY_DSN"),
    System.ANALYTICS: Pages("https://analytics.google.com/analytics/web/#/admin", "https://status.cloud.google.com", "GA_API_SECRET"),
    System.VERCEL: Pages("https://vercel.com/account/settings/tokens", "https://www.vercel-status.com", "VERCEL_TOKEN"),
}
