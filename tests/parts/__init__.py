"""Real services and programs for the tests: found or installed, started on loopback, stopped and deleted at the end."""
