"""Who did what: the operator log, of ids and hashes."""
