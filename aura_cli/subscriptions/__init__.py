"""Money: Stripe's subscriptions, customers and payments against the database, and the balances they pay for."""
