"""The stand-in's HTTP side: every address of every provider's file under `/ID/…`, and the sandbox's own under `/_sandbox`.

A consent page's form comes back to its own address: `POST` with `decision=allow` (or `deny`) and, for another account than the usual,
`account`. The sandbox's own paths ask for no credentials:

    GET  /_sandbox/providers/{id}                   → {"credentials", "account", "label"}: what may be typed, and whose it is
    GET  /_sandbox/credentials/{id}                 → what may be typed alone, as `connect --credentials -` reads it
    POST /_sandbox/device {"user_code", "decision"}   the person at their other device
    POST /_sandbox/mishaps {"kind", …}                see mishaps.py; DELETE forgets all that were ordered
    POST /_sandbox/end {"provider"}                   a person takes back what they allowed
    GET  /_sandbox/consents?provider=               → the consents given, with scopes, how often refreshed, how ended
    GET  /_sandbox/requests?provider=               → the requests seen: which of the file's, status, why (by id or row)
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from aura_cli.errors import NotFoundError
from aura_cli.integrations.provider import Provider, Verify
from aura_cli.sandbox.providers import consents, mishaps, pages, samples, tokens
from aura_cli.sandbox.providers.addresses import every, local
from aura_cli.sandbox.providers.consents import ACCOUNT
from aura_cli.sandbox.providers.documents import account_facts, document, label
from aura_cli.sandbox.providers.judging import Refusal, judged
from aura_cli.sandbox.providers.matching import Mismatch, Seen, placed
from aura_cli.sandbox.providers.state import OAuthError, ProvidersState

_OAUTH = {"oauth.authorize_url": "authorize", "oauth.token_url": "token", "oauth.device_url": "device", "oauth.refresh.url": "token"}


@dataclass(frozen=True)
class Route:
    """One address of a provider's file: its key there, and what stands in the placeholders of its path."""

    provider: Provider
    key: str
    values: Mapping[str, str]

    @property
    def name(self) -> str:
        """What the journal and mishaps call it: authorize, token, device, verify, login, revoke."""
        return _OAUTH.get(self.key) or self.key.removesuffix(".url").removesuffix(".instead").rpartition(".")[2]


def make_app(state: ProvidersState, middlewares: Sequence[Middleware] = ()) -> web.Application:
    """The stand-in as an aiohttp application; `middlewares` see a request before it does."""
    app = web.Application(middlewares=list(middlewares), client_max_size=2**20)
    app.router.add_get("/_sandbox/providers/{id}", partial(_about, state))
    app.router.add_get("/_sandbox/credentials/{id}", partial(_typed, state))
    app.router.add_get("/_sandbox/device", partial(_device_page, state))
    app.router.add_post("/_sandbox/device", partial(_device_typed, state))
    app.router.add_post("/_sandbox/mishaps", partial(_order, state))
    app.router.add_delete("/_sandbox/mishaps", partial(_forget, state))
    app.router.add_post("/_sandbox/end", partial(_end, state))
    app.router.add_get("/_sandbox/consents", partial(_consents, state))
    app.router.add_get("/_sandbox/requests", partial(_requests, state))
    app.router.add_route("*", "/{id:[^_/][^/]*}/{path:.*}", partial(_provider, state))
    return app


def error_body(status: int) -> object:
    """What a provider says with a status that the fault middleware makes up."""
    return {"error": "rate_limited" if status == 429 else "internal_error"}


def _base(request: web.Request) -> str:
    return str(request.url.origin())


async def _seen(request: web.Request) -> Seen:
    headers = {name.lower(): text for name, text in request.headers.items()}
    return Seen(request.method, request.rel_url.raw_path, dict(request.query), headers, await request.read())


async def _provider(state: ProvidersState, request: web.Request) -> web.Response:
    """Whatever is under a provider's name: found in its file, judged by it, and answered as it says."""
    provider, seen = state.catalogue.providers.get(request.match_info["id"]), await _seen(request)
    routes = list(_routes(provider, seen)) if provider else []
    if not provider or not routes:
        return web.json_response({"error": "not_found", "message": f"no provider's file has {request.path}"}, status=404)
    if routes[0].name == "authorize":
        return _authorize(state, provider, seen, _base(request))
    name = tokens.kind_of(seen, provider.oauth) if routes[-1].name == "token" and provider.oauth else routes[0].name
    mishap = state.mishap(provider.id, name)
    if mishap and mishap.kind in mishaps.INSTEAD:
        answer, why = mishaps.INSTEAD[mishap.kind](), mishap.kind
    else:
        answer, why = _answer(state, routes, seen, _base(request))
    state.saw(provider, name, answer.status, why)
    return await mishaps.suffer(request, answer, mishap) if mishap and answer.status < 300 else answer


def _routes(provider: Provider, seen: Seen) -> Iterator[Route]:
    """Which of a file's addresses this may be; requests that it spells out come before token addresses."""
    found = ((key, placed(urlsplit(local(provider.id, url)).path, seen.path)) for key, url in every(provider))
    routes = [Route(provider, key, values) for key, values in found if values is not None]
    yield from sorted(routes, key=lambda route: route.key in _OAUTH)


def _answer(state: ProvidersState, routes: Sequence[Route], seen: Seen, base: str) -> tuple[web.Response, str]:
    """The answer of the first route that takes the request, else the refusal of the last; and why it was refused."""
    refused = (web.json_response({"error": "not_found"}, status=404), "")
    for route in routes:
        try:
            return web.json_response(_document(state, route, seen, base)), ""
        except OAuthError as error:
            path = route.provider.oauth.answer.error if route.provider.oauth else "error"
            said = {**document([(path, error.code)]), "error_description": str(error)}
            refused = web.json_response(said, status=error.status), f"{error.code}: {error}"
        except (Mismatch, Refusal) as error:
            status, code = (401, "unauthorized") if isinstance(error, Refusal) else (400, "bad_request")
            refused = web.json_response({"error": code, "message": str(error)}, status=status), str(error)
    return refused


def _document(state: ProvidersState, route: Route, seen: Seen, base: str) -> Any:
    provider = route.provider
    if route.name == "token" and seen.method == "POST":
        return tokens.answer(state, provider, seen, base)
    if route.name == "device" and seen.method == "POST" and provider.oauth:
        return consents.begun(state, provider, provider.oauth, seen, base)
    return judged(state, provider, route.key.removesuffix(".url"), seen, route.values, base)


def _authorize(state: ProvidersState, provider: Provider, seen: Seen, base: str) -> web.Response:
    """The consent page, and what its form says."""
    oauth, query = provider.oauth, seen.query
    assert oauth
    try:
        wrong = consents.check(state, provider, oauth, query)
        form = seen.form if seen.method == "POST" else {}
    except (consents.Unsafe, Mismatch) as error:
        state.saw(provider, "authorize", 400, str(error))
        return _page(pages.message(f"{provider.name} (sandbox)", str(error)), 400)
    state.saw(provider, "authorize", 302 if wrong or form else 200, wrong or "")
    if wrong or form:
        said = consents.answered(state, provider, oauth, query, form, base)
        told = [("error", "invalid_request"), ("error_description", wrong)] if wrong else [*said]
        location = consents.back(query["redirect_uri"], *told, ("state", query.get("state", "")))
        return web.Response(status=302, headers={"Location": location})
    scopes = [one for one in query.get(oauth.scope_param, "").split(oauth.scope_separator) if one]
    return _page(pages.consent(provider.name, query["client_id"], scopes, ACCOUNT))


def _page(html: str, status: int = 200) -> web.Response:
    return web.Response(text=html, content_type="text/html", status=status, headers={"Cache-Control": "no-store"})


async def _about(state: ProvidersState, request: web.Request) -> web.Response:
    try:
        provider = state.catalogue.get(request.match_info["id"])
    except NotFoundError as error:
        return web.json_response({"error": str(error)}, status=404)
    values = samples.credentials(provider, _base(request))
    hand = provider.credentials.verify if provider.credentials else None
    return web.json_response(
        {
            "credentials": values,
            "consent": _whose(provider, provider.verify, values),
            "by_hand": _whose(provider, hand or provider.verify, values),
        }
    )


async def _typed(state: ProvidersState, request: web.Request) -> web.Response:
    try:
        provider = state.catalogue.get(request.match_info["id"])
    except NotFoundError as error:
        return web.json_response({"error": str(error)}, status=404)
    return web.json_response(samples.credentials(provider, _base(request)))


def _whose(provider: Provider, verify: Verify, values: Mapping[str, str]) -> dict[str, str | None]:
    """What the usual account is called, and its id's parts."""
    return {"label": label(provider, verify, ACCOUNT, values), **account_facts(provider, verify, ACCOUNT, values)}


async def _device_page(state: ProvidersState, request: web.Request) -> web.Response:
    typed = request.query.get("user_code", "")
    name = next((one.provider for one in state.devices.values() if one.user_code == typed), "A device")
    return _page(pages.device(name, typed))


async def _device_typed(state: ProvidersState, request: web.Request) -> web.Response:
    form = await (request.json() if request.content_type == "application/json" else request.post())
    device = next((one for one in state.devices.values() if one.user_code == str(form.get("user_code", "")).strip().upper()), None)
    if not device:
        return _page(pages.message("No such code", "Type it as the other device shows it."), 404)
    device.decision, device.account = str(form.get("decision", "deny")), str(form.get("account") or ACCOUNT)
    return _page(pages.message("Done", "You can close this page and go back to the other device."))


async def _order(state: ProvidersState, request: web.Request) -> web.Response:
    try:
        state.mishaps.append(mishaps.ordered(await request.json()))
    except (json.JSONDecodeError, ValueError) as error:
        return web.json_response({"error": str(error)}, status=400)
    return web.json_response([asdict(one) for one in state.mishaps])


async def _forget(state: ProvidersState, request: web.Request) -> web.Response:
    del request
    state.mishaps.clear()
    return web.Response(status=204)


async def _end(state: ProvidersState, request: web.Request) -> web.Response:
    ended = [one for one in state.consents_of((await request.json()).get("provider")) if one.alive]
    for consent in ended:
        state.end(consent, "taken back")
    return web.json_response({"ended": len(ended)})


async def _consents(state: ProvidersState, request: web.Request) -> web.Response:
    return web.json_response([asdict(one) for one in state.consents_of(request.query.get("provider"))])


async def _requests(state: ProvidersState, request: web.Request) -> web.Response:
    wanted = request.query.get("provider")
    return web.json_response([one for one in state.journal if wanted in (None, one["provider"], one["row"])])
