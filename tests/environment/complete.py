"""A complete environment, and what a test does with it."""

COMPLETE = {
    "DATABASE_URL": "postgresql://aura:Test-password-1@db.example.test/aura",
    "OPENAI_API_KEY": "sk-test-environment-0000000000",
    "PRIVY_APP_SECRET": "privy-app-secret-of-a-test-00000",
    "NEXT_PUBLIC_PRIVY_APP_ID": "testapp000000000000000000",
    "STRIPE_SECRET_KEY": "sk_test_environment0000000",
    "STRIPE_WEBHOOK_SECRET": "whsec_test_environment0000",
    "RESEND_API_KEY": "re_test_environment0000",
    "UPSTASH_REDIS_REST_URL": "https://test.upstash.example.test",
    "UPSTASH_REDIS_REST_TOKEN": "upstash-token-of-a-test-0000",
    "INTEGRATION_ENCRYPTION_KEY": "integration-encryption-key-of-a-test",
    "NEXT_PUBLIC_APP_URL": "https://staging.example.test",
    "AURA_ENV": "staging",
}


def dotenv_of(values: dict[str, str]) -> str:
    """A file that holds them."""
    return "".join(f"{name}={value}\n" for name, value in values.items())
