"""What is answered without a model: one of a few texts of our own, chosen by keyword, and always marked as such."""

import re
from collections.abc import Mapping

_ANSWERS: Mapping[tuple[str, ...], str] = {
    ("hello", "hi", "hey", "hallo", "morning"): (
        "Hello. The assistant cannot be reached just now, so this is a canned answer. Everything else in `aura` works: `aura --help`."
    ),
    ("refund", "invoice", "charge", "charged", "payment", "paid", "card", "billing", "bill"): (
        "No model is here to look into a payment. What is known stands in the database: `aura subscriptions show WHO` shows a person's "
        "subscription and payments, `aura subscriptions reconcile WHO` compares it with Stripe."
    ),
    ("subscription", "plan", "trial", "cancel", "cancelled", "renew", "renewal", "upgrade"): (
        "No model is here to answer that. `aura subscriptions show WHO` says which plan somebody has, until when, and what Stripe says."
    ),
    ("token", "tokens", "balance", "credit", "credits", "quota", "top-up", "topup"): (
        "No model is here to answer that. `aura balance show WHO` tells a balance and every grant behind it."
    ),
    ("connect", "connection", "integration", "integrations", "oauth", "google", "slack", "consent", "refresh"): (
        "No model is here to answer that. `aura integrations list WHO` shows connections, `verify WHO` tries them."
    ),
    ("webhook", "webhooks", "event", "events", "delivery"): (
        "No model is here to answer that. `aura webhooks stats` shows what arrives and what waits, `aura webhooks list --status dead` what "
        "was given up."
    ),
    ("mail", "email", "e-mail", "invite", "invitation", "newsletter"): (
        "No model is here to answer that. `aura email log` tells what was sent and what became of it."
    ),
    ("login", "password", "account", "user", "delete", "sign", "signup"): (
        "No model is here to answer that. `aura users show WHO` shows a person from any identifier; `aura users sync WHO` asks Privy."
    ),
}
_USUAL = (
    "The assistant cannot be reached just now, so this is a canned answer: your question is kept. Once the model is back, go on with "
    '`aura chat ask -c "…"`.'
)


def canned(prompt: str) -> str:
    """The answer whose keywords come up most often in the prompt; the first of several alike."""
    words = re.findall(r"[\w-]+", prompt[:10_000].lower())
    found = {keys: sum(word in keys for word in words) for keys in _ANSWERS}
    best = max(found, key=lambda keys: found[keys])
    return _ANSWERS[best] if found[best] else _USUAL
