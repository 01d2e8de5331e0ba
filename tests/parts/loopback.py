"""Requests to what listens on this machine, without encryption."""

from typing import Any

import httpx

from aura_cli.transport import trust


def plain_client(**about: Any) -> httpx.Client:
    """As `httpx.Client` is, but that neither a proxy nor a certificate concerns it; to read all of those takes 20 ms."""
    return httpx.Client(trust_env=False, verify=trust("http"), **about)
