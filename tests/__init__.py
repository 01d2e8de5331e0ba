"""The tests, a folder a room of `aura_cli`; `parts/` starts the real services they run against."""
