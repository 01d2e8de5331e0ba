"""The web app's own webhook endpoint, as it is: no lock, no ledger, a top-up's row after its balance, resets by its clock."""

import json
from dataclasses import dataclass
from typing import Any

import psycopg

MONTH = 10_000_000
_ADD = """INSERT INTO token_balances (user_id, balance, total_purchased, last_reset_at) VALUES (%s, %s, %s, now())
    ON CONFLICT (user_id) DO UPDATE SET balance = token_balances.balance + excluded.balance,
    total_purchased = token_balances.total_purchased + excluded.total_purchased, updated_at = now()"""
_SUBSCRIBE = """INSERT INTO subscriptions (user_id, stripe_subscription_id, status, created_at)
    SELECT id, %s, 'active', to_timestamp(%s) FROM users WHERE id = %s ON CONFLICT (stripe_subscription_id) DO NOTHING"""
_TOP_UP = "INSERT INTO token_top_ups (user_id, stripe_session_id, tokens_added, amount_paid, package_id) VALUES (%s, %s, %s, %s, %s)"
_RESET = """UPDATE token_balances SET balance = monthly_allocation, last_reset_at = now(), updated_at = now()
    WHERE user_id = (SELECT id FROM users WHERE stripe_customer_id = %s)"""


@dataclass(frozen=True)
class WebApp:
    """It takes one event at a time. The connection commits each statement by itself."""

    connection: psycopg.Connection

    def take(self, body: bytes) -> None:
        """What its route does for the events that grant something."""
        event = json.loads(body)
        about: dict[str, Any] = event["data"]["object"]
        if event["type"] == "invoice.paid" and about["billing_reason"] == "subscription_cycle":
            self.connection.execute(_RESET, (about["customer"],))
        if event["type"] != "checkout.session.completed":
            return
        said = about["metadata"]
        if said.get("type") == "token_topup":
            tokens = int(said["tokens"])
            self.connection.execute(_ADD, (said["user_id"], tokens, tokens))
            self.connection.execute(_TOP_UP, (said["user_id"], about["id"], tokens, about["amount_total"], said["package_id"]))
        else:
            self.connection.execute(_SUBSCRIBE, (about["subscription"], about["created"], said["userId"]))
            self.connection.execute(_ADD, (said["userId"], MONTH, 0))
