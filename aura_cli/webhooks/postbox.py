"""A second service's webhooks on the public port: few at a time, each in a thread, so that the loop stays free for Stripe's."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from aura_cli.db.failures import translate

LOG = logging.getLogger("aura_cli.webhooks")
_AT_ONCE, _SECONDS, _LARGEST = 8, 10.0, 256 * 1024


@dataclass(frozen=True)
class Reply:
    """What a delivery is answered with."""

    status: int
    said: str


@dataclass(eq=False)
class Postbox:
    """Takes what is posted to `path`: `take` gets headers (names in lower case) and body, in a thread, and gives status and words."""

    path: str
    take: Callable[[Mapping[str, str], bytes], tuple[int, str]]
    _under_way: int = 0

    def add_to(self, app: web.Application) -> None:
        """Answer on `app`, which has not started yet."""
        app.router.add_post(self.path, self._receive)

    async def _receive(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_SECONDS):
                body = await request.content.read(_LARGEST + 1)
                while len(body) <= _LARGEST and (more := await request.content.read(_LARGEST + 1 - len(body))):
                    body += more
            if len(body) > _LARGEST:
                return _answer(Reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large"))
            headers = {name.lower(): value for name, value in request.headers.items()}
            return _answer(await self._taken(headers, body))
        except TimeoutError:
            return _answer(Reply(HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time"))
        except Exception as error:  # noqa: BLE001 (whoever sent it comes again)
            LOG.warning("What came to %s could not be stored: %s", self.path, translate(error) or type(error).__name__)
            return _answer(Reply(HTTPStatus.SERVICE_UNAVAILABLE, "It was not stored: come again"))

    async def _taken(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """What is here whole counts, so that whoever connects and says nothing keeps nobody out."""
        if self._under_way >= _AT_ONCE:
            return Reply(HTTPStatus.SERVICE_UNAVAILABLE, "Too much is on its way already")
        self._under_way += 1
        try:
            return Reply(*await asyncio.to_thread(self.take, headers, body))
        finally:
            self._under_way -= 1


def _answer(reply: Reply) -> web.Response:
    response = web.Response(status=reply.status, text=f"{reply.said}\n" if reply.said else "")
    if reply.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "5"
    if reply.status >= HTTPStatus.BAD_REQUEST:
        response.force_close()
    return response
