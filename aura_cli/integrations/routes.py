"""`/connect/` on an aiohttp application: few requests at a time, each in a thread of its own, so that the loop stays free for others."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp import web

from aura_cli.db.failures import translate
from aura_cli.integrations import pages
from aura_cli.integrations.reception import COOKIE_SECONDS, Answer, Reception
from aura_cli.integrations.redirects import LINKS

LOG = logging.getLogger("aura_cli.integrations")
_AT_ONCE, _WAITING = 4, 32
_TOKEN = re.compile(r"[0-9a-f]{64}")


class Routes:
    """The pages of one reception. `add_to` an application before it starts."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._threads = ThreadPoolExecutor(_AT_ONCE, "connect")
        self._under_way = 0

    def add_to(self, app: web.Application) -> None:
        """Answer under `/connect/`, as long as the application runs."""
        app.router.add_get(f"{LINKS}/callback/{{provider}}", self._come_back, allow_head=False)
        app.router.add_get(f"{LINKS}/{{token}}", self._show)
        app.router.add_post(f"{LINKS}/{{token}}", self._set_out)
        app.cleanup_ctx.append(self._run)

    async def _run(self, _: web.Application) -> AsyncIterator[None]:
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
