"""The domains that are registered for sending, each with the records that Resend looks for in the DNS.

https://resend.com/docs/api-reference/domains/list-domains, …/get-domain, https://resend.com/docs/dashboard/domains/introduction
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import msgspec
from aiohttp import web

from aura_cli.sandbox.resend.errors import known
from aura_cli.sandbox.resend.state import VERIFIED, ResendState

STATES = (VERIFIED, "not_started", "pending", "failed", "temporary_failure")
_RECORDS = (("SPF", "send", "MX"), ("SPF", "send", "TXT"), ("DKIM", "resend._domainkey", "TXT"))


async def list_(state: ResendState, request: web.Request) -> web.Response:
    """GET /domains"""
    del request
    return _json({"object": "list", "has_more": False, "data": [_brief(state, name) for name in state.registered]})


async def show(state: ResendState, request: web.Request) -> web.Response:
    """GET /domains/{id}. Raises ResendError 404."""
    wanted = request.match_info["id"]
    name = next((name for name in state.registered if identifier(name) == wanted), None)
    if name is None:
        raise known("not_found")
    records = [
        {
            "record": record,
            "name": place,
            "type": kind,
            "ttl": "Auto",
            "status": state.registered[name][record],
            "value": f"sandbox {record}",
        }
        for record, place, kind in _RECORDS
    ]
    return _json({"object": "domain", **_brief(state, name), "records": records})


def change(state: ResendState, wanted: Mapping[str, Any]) -> None:
    """Register `name`, or change the state of its records `spf` and `dkim`. Raises ValueError."""
    name, states = wanted.get("name"), {record: wanted.get(record.lower(), VERIFIED) for record in ("SPF", "DKIM")}
    if not isinstance(name, str) or not name or not {*states.values()} <= {*STATES}:
        raise ValueError(f"`name` is a domain, `spf` and `dkim` are among {', '.join(STATES)}")
    state.registered[name] = states


def identifier(name: str) -> str:
    """The id of a domain, the same at every time."""
    return str(uuid5(NAMESPACE_DNS, name))


def _brief(state: ResendState, name: str) -> dict[str, Any]:
    worst = max(state.registered[name].values(), key=STATES.index)  # a domain is as good as the worst of its records
    created = datetime.fromtimestamp(0, UTC).isoformat()
    return {"id": identifier(name), "name": name, "status": worst, "created_at": created, "region": "us-east-1"}


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
