"""A million rows on both sides, made by the database itself: what staging and the shared tables hold after a scan."""

import psycopg

SCAN = "00000000-0000-4000-8000-00000000ca11"
NO_SESSIONS = "00000000-0000-4000-8000-0000000005e5"
DIFFERENT = 20_000  # rows, in five kinds of equal size
_KINDS = ("missing_locally", "status", "period", "price", "cancel_flag")

_ID = "'sub_' || lpad(n::text, 14, '0')"
_USER = "lpad(to_hex(n), 32, '0')::uuid"
_STATUS = "(ARRAY['active','active','active','active','active','trialing','past_due','canceled'])[1 + mod(n, 8)]"
_CREATED = "1700000000 + n * 60"
_START = "1790000000 + mod(n, 2592000)"
_TRIAL = "1900000000"
_FILL = f"""
INSERT INTO users (id, privy_user_id, email, stripe_customer_id)
    SELECT {_USER}, 'did:privy:' || n, 'user' || n || '@example.test', 'cus_' || lpad(n::text, 14, '0') FROM generate_series(1, %(rows)s) n;
INSERT INTO subscriptions (user_id, stripe_subscription_id, stripe_price_id, status, current_period_start, current_period_end, trial_end,
        cancel_at_period_end, created_at)
    SELECT {_USER}, {_ID}, 'price_monthly', ({_STATUS})::subscription_status, to_timestamp({_START}), to_timestamp({_START} + 2592000),
        CASE mod(n, 8) WHEN 5 THEN to_timestamp({_TRIAL}) END, false, to_timestamp({_CREATED}) FROM generate_series(1, %(rows)s) n;
INSERT INTO token_balances (user_id, balance, last_reset_at)
    SELECT {_USER}, 10000000, to_timestamp({_START}) + interval '1 hour' FROM generate_series(1, %(rows)s) n
"""
_STAGE = f"""
INSERT INTO aura_ops.scans (id, source, started_at, completed_at) VALUES ('{SCAN}', 'benchmark', now() + interval '1 day', now());
INSERT INTO aura_ops.staged_subscriptions (scan_id, id, customer, status, price, period_start, period_end, trial_end,
        cancel_at_period_end, created, currency, amount, interval, interval_count)
    SELECT '{SCAN}', {_ID}, 'cus_' || lpad(n::text, 14, '0'), {_STATUS}, 'price_monthly', {_START}, {_START} + 2592000,
        CASE mod(n, 8) WHEN 5 THEN {_TRIAL} END, false, {_CREATED}, 'eur', 4900, 'month', 1 FROM generate_series(1, %(rows)s) n
"""
_MOVED = {
    "missing_locally": f"""DELETE FROM subscriptions WHERE stripe_subscription_id IN
        (SELECT {_ID} FROM generate_series(1, %(rows)s, %(step)s) n)""",
    "status": f"""UPDATE subscriptions SET status = CASE status WHEN 'unpaid' THEN 'past_due' ELSE 'unpaid' END::subscription_status
        WHERE stripe_subscription_id IN (SELECT {_ID} FROM generate_series(2, %(rows)s, %(step)s) n)""",
    "period": f"""UPDATE subscriptions SET current_period_end = current_period_end - interval '1 month'
        WHERE stripe_subscription_id IN (SELECT {_ID} FROM generate_series(3, %(rows)s, %(step)s) n)""",
    "price": f"""UPDATE subscriptions SET stripe_price_id = 'price_old'
        WHERE stripe_subscription_id IN (SELECT {_ID} FROM generate_series(4, %(rows)s, %(step)s) n)""",
    "cancel_flag": f"""UPDATE subscriptions SET cancel_at_period_end = true
        WHERE stripe_subscription_id IN (SELECT {_ID} FROM generate_series(6, %(rows)s, %(step)s) n)""",
}


def fill(url: str, rows: int, *, staged: bool = True) -> None:
    """`rows` people, subscriptions and balances, and what a scan would have `staged`, all agreeing, in an upgraded database."""
    with psycopg.connect(url) as connection:
        for statement in [*_FILL.split(";"), *(_STAGE.split(";") if staged else [])]:
            connection.execute(statement, {"rows": rows}, prepare=False)


def make_different(url: str, rows: int) -> None:
    """Move `DIFFERENT` of the rows apart, each in one way, and let the database take stock."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in _MOVED.values():
            connection.execute(statement, {"rows": rows, "step": rows // (DIFFERENT // len(_MOVED))}, prepare=False)
        connection.execute("VACUUM ANALYZE")
