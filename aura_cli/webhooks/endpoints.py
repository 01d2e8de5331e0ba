"""The webhook endpoints that are registered at Stripe: https://docs.stripe.com/api/webhook_endpoints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from secrets import token_hex

import msgspec

from aura_cli.errors import ConflictError, NotFoundError, UsageError
from aura_cli.subscriptions.stripe import API_VERSION, PAGE, decoder
from aura_cli.transport import Service
from aura_cli.webhooks.events import HANDLED

LIST = "/v1/webhook_endpoints"


@dataclass(frozen=True)
class Endpoint:
    """An endpoint. `events` says how its events compare with those that are handled: `exact`, or what is missing and too many.

    `current`: it gets the API version that we read best.
    """

    id: str
    url: str
    status: str
    api_version: str | None
    events: str
    current: bool
    enabled_events: tuple[str, ...]


@dataclass(frozen=True)
class Created:
    """A new endpoint; its `secret` is shown this once. In a dry run there is neither id nor secret."""

    id: str | None
    url: str
    secret: str | None
    api_version: str
    enabled_events: tuple[str, ...]
    dry_run: bool


class _Endpoint(msgspec.Struct):
    id: str
    url: str
    status: str
    enabled_events: list[str]
    api_version: str | None = None
    secret: str | None = None


class _List(msgspec.Struct):
    data: list[_Endpoint]
    has_more: bool = False


_read_list, _read_one = decoder(_List), decoder(_Endpoint)


def registered(stripe: Service, wanted: Sequence[str] = HANDLED) -> Iterator[Endpoint]:
    """Every endpoint of the account, the newest first; `wanted` are the types of event that are handled."""
    cursor: str | None = None
    while True:
        page = _read_list(stripe.get(LIST, {"limit": PAGE} | ({"starting_after": cursor} if cursor else {})))
        yield from (_seen(one, wanted) for one in page.data)
        if not page.has_more or not page.data or page.data[-1].id == cursor:
            return
        cursor = page.data[-1].id


def create(stripe: Service, url: str, wanted: Sequence[str] = HANDLED, *, dry_run: bool = False) -> Created:
    """Register `url` for exactly the `wanted` events, in our API version.

    Raises UsageError for what is no address, ConflictError where it is registered already.
    """
    if not url.startswith(("https://", "http://")):
        raise UsageError(f"{url!r} is no web address", "Example: https://hooks.example.com/api/webhooks/stripe")
    for known in registered(stripe):
        if known.url == url:
            raise ConflictError(f"{url} is registered already: {known.id}, {known.status}", f"aura webhooks endpoints enable {known.id}")
    if dry_run:
        return Created(None, url, None, API_VERSION, tuple(wanted), dry_run=True)
    made = _post(stripe, LIST, {"url": url, "enabled_events[]": wanted, "api_version": API_VERSION, "description": "aura"})
    return Created(made.id, made.url, made.secret, made.api_version or API_VERSION, tuple(made.enabled_events), dry_run=False)


def find(stripe: Service, named: str, wanted: Sequence[str] = HANDLED) -> Endpoint:
    """The endpoint of an id or address. Raises NotFoundError, or UsageError where an address is registered several times."""
    found = [endpoint for endpoint in registered(stripe, wanted) if named in (endpoint.id, endpoint.url)]
    if not found:
        raise NotFoundError(f"Stripe has no endpoint {named}", "See: aura webhooks endpoints list")
    if len(found) > 1:
        raise UsageError(f"{named} is registered {len(found)} times", f"Name one of: {', '.join(one.id for one in found)}")
    return found[0]


def enable(stripe: Service, endpoint: Endpoint, wanted: Sequence[str] = HANDLED, *, enabled: bool = True) -> Endpoint:
    """Let an endpoint get exactly the `wanted` events, or, with `enabled` False, nothing any more."""
    form: dict[str, object] = {"disabled": "false" if enabled else "true"}
    if enabled:
        form["enabled_events[]"] = wanted
    return _seen(_post(stripe, f"{LIST}/{endpoint.id}", form), wanted)


def compared(events: Sequence[str], wanted: Sequence[str] = HANDLED) -> str:
    """How endpoint events compare with those that are handled: `exact`, or what is missing and too many."""
    if "*" in events:
        return "all"
    missing, extra = set(wanted) - set(events), set(events) - set(wanted)
    parts = [f"{len(missing)} missing"] * bool(missing) + [f"{len(extra)} not handled"] * bool(extra)
    return ", ".join(parts) or "exact"


def _seen(one: _Endpoint, wanted: Sequence[str]) -> Endpoint:
    current = one.api_version == API_VERSION
    return Endpoint(one.id, one.url, one.status, one.api_version, compared(one.enabled_events, wanted), current, tuple(one.enabled_events))


def _post(stripe: Service, path: str, form: dict[str, object]) -> _Endpoint:
    """A write that may be tried again: its key makes Stripe carry it out once (https://docs.stripe.com/api/idempotent_requests)."""
    return _read_one(stripe.call("POST", path, form=form, headers={"Idempotency-Key": token_hex(16)}, repeatable=True))
