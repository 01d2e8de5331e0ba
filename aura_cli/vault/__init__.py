"""Sealing of tokens, the key ring, staged rotation of the key."""
