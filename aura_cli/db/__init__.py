"""The database: PostgreSQL or SQLite, one schema history, the web app's tables adopted as they are, leases."""
