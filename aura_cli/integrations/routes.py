"""`/connect/` on an aiohttp application: few requests at a time, each in a thread of its own, so that the loop stays free for others."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from aiohttp import web
from sqlalchemy import Engine

from aura_cli.db.failures import translate
from aura_cli.integrations import pages
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.connecting import Means
from aura_cli.integrations.reception import COOKIE_SECONDS, Answer, Reception
from aura_cli.integrations.redirects import LINKS
from aura_cli.integrations.wire import Wire
from aura_cli.settings import Settings
from aura_cli.vault.keyring import KeyRing

LOG = logging.getLogger("aura_cli.integrations")
_AT_ONCE, _WAITING = 4, 32
_TOKEN = re.compile(r"[0-9a-f]{64}")


class Routes:
    """The pages of one reception. `add_to` an application before it starts; `closing` is entered and left with it."""

    def __init__(self, reception: Reception, closing: AbstractContextManager[object] | None = None) -> None:
        self._reception = reception
        self._closing = closing or nullcontext()
        self._threads = ThreadPoolExecutor(_AT_ONCE, "connect")
        self._under_way = 0

    @classmethod
    def of(cls, engine: Engine, settings: Settings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> "Routes | None":
        """Pages for the links of a database; None where tokens could not be sealed, or no provider's app is set up.

        Raises ConfigurationError for provider files or keys that are wrong.
        """
        folder, vault = settings.get("AURA_PROVIDERS_DIR"), KeyRing.of(settings)
        catalogue, wire = load(Path(folder) if folder else None), Wire()
        apps = (one.client.id for one in catalogue.providers.values() if one.client and one.oauth)
        if vault.problem or not any(map(settings.get, apps)):
            return None
        ambient = {name: setting.text for name, setting in settings.values.items()}
        means = Means(engine, vault, wire, None, ambient, settings.operator, clock, settings.home)
        return cls(Reception(means, catalogue, settings), wire)

    def add_to(self, app: web.Application) -> None:
        """Answer under `/connect/`, as long as the application runs."""
        app.router.add_get(f"{LINKS}/callback/{{provider}}", self._come_back, allow_head=False)
        app.router.add_get(f"{LINKS}/{{token}}", self._show)
        app.router.add_post(f"{LINKS}/{{token}}", self._set_out)
        app.cleanup_ctx.append(self._run)

    async def _run(self, _: web.Application) -> AsyncIterator[None]:
        with self._closing:
            yield
            await asyncio.to_thread(self._threads.shutdown)  # an answer that has come is stored

    async def _show(self, request: web.Request) -> web.Response:
        token = request.match_info["token"]
        return await self._answer(token, partial(self._reception.show, token, dict(request.cookies)))

    async def _set_out(self, request: web.Request) -> web.Response:
        token = request.match_info["token"]
        return await self._answer(token, partial(self._reception.set_out, token))

    async def _come_back(self, request: web.Request) -> web.Response:
        provider, query = request.match_info["provider"], request.rel_url.raw_query_string
        return await self._answer(None, partial(self._reception.come_back, provider, query, dict(request.cookies)))

    async def _answer(self, token: str | None, work: Callable[[], Answer]) -> web.Response:
        """An answer out of a thread; what cannot be a token, or comes while too many wait, costs nothing."""
        if token is not None and not _TOKEN.fullmatch(token):
            return _written(Answer(pages.NO_LINK))
        if self._under_way >= _AT_ONCE + _WAITING:
            return _written(Answer(pages.BUSY))
        self._under_way += 1
        try:
            return _written(await asyncio.get_running_loop().run_in_executor(self._threads, work))
        except Exception as error:  # noqa: BLE001 (a person is waiting for a page)
            told = translate(error)
            LOG.warning("A link could not be served: %s", told or type(error).__name__)
            return _written(Answer(pages.BUSY if told else pages.BROKEN))
        finally:
            self._under_way -= 1


def _written(answer: Answer) -> web.Response:
    page = answer.page
    if answer.location:
        response = web.Response(status=303, headers={**pages.HEADERS, "Location": answer.location})
    else:
        assert page
        response = web.Response(status=page.status, body=page.html.encode(), headers=pages.HEADERS)
    if answer.cookie:
        kept = answer.cookie
        response.set_cookie(
            kept.name, kept.value, max_age=COOKIE_SECONDS, path=kept.path, secure=kept.secure, httponly=True, samesite="Lax"
        )
    if page is pages.BUSY:
        response.headers["Retry-After"] = "5"
    return response
