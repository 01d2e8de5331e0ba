"""People: Privy's users in the web app's `users` table."""
