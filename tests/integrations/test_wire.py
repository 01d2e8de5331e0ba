"""Requests of provider files: filled in safely, sent without following, answered whatever comes; errors without a secret."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from aura_cli.errors import AuraError, ConfigurationError, ServiceError, UnreachableError
from aura_cli.integrations.provider import Request
from aura_cli.integrations.wire import Unsent, Wire, address, based
from tests.parts.loopback import serving
from tests.parts.service import free_port

SECRET = "sandbox-secret-in-the-path"


@pytest.fixture
def seen() -> list[dict[str, Any]]:
    """What the server was asked."""
    return []


@pytest.fixture
def server(seen: list[dict[str, Any]]) -> Iterator[str]:
    """A server that tells what it was asked, or misbehaves as its path says."""

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.text()
        seen.append({"path": request.rel_url.raw_path_qs, "headers": dict(request.headers), "body": body})
        match request.match_info["what"]:
            case "large":
                return web.Response(body=b"x" * 2_000_000)
            case "moved":
                return web.Response(status=302, headers={"Location": "/elsewhere"})
            case "cut":
                assert request.transport
                request.transport.abort()
            case "slow":
                await asyncio.sleep(1.5)
        return web.json_response({"ok": True})

    app = web.Application()
    app.router.add_route("*", "/{what}{rest:.*}", answer)
    with serving(app) as base:
        yield base


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A way to it that waits a second."""
    with Wire(timeout=1.0) as made:
        yield made


def test_filled_leaf_by_leaf(wire: Wire, server: str, seen: list[dict[str, Any]]) -> None:
    """Values are encoded into addresses, stay values in JSON and forms; headers of empty optional fields are not sent."""
    values = {"id": "a/b?c&d", "token": 'quo"te {id}', "empty": ""}
    json = Request(f"{server}/x/{{id}}", method="POST", json={"a": ["{token}", 1]}, headers={"X-One": "{empty}", "X-Two": "t {id}"})
    assert wire.send(json, values).document == {"ok": True}
    form = Request(f"{server}/x", method="POST", form={"job": {"t": "{token}"}, "n": "{id}"}, query={"q": "{id}", "e": "{empty}"})
    wire.send(form, values)
    first, second = seen
    assert first["path"] == "/x/a%2Fb%3Fc%26d"
    assert first["body"].replace(" ", "") == '{"a":["quo\\"te{id}",1]}'
    assert "X-One" not in first["headers"]
    assert second["path"] == "/x?q=a%2Fb%3Fc%26d"
    assert "job=%7B%22t%22%3A%22quo" in second["body"]


@pytest.mark.parametrize("value", ["a/b", "evil.example/x", "a@b", "a:1", "", "..", "a..b", "-a", "a b", "a#b"])
def test_a_host_is_a_name(value: str) -> None:
    """A subdomain with slashes and its like leads nowhere."""
    with pytest.raises(ConfigurationError):
        address("https://{sub}.example.com/x", {"sub": value})


@pytest.mark.parametrize(
    "value", ["http://example.com", "ftp://example.com", "example.com", "https://u:p@example.com", "https://e.com/?x=1", ""]
)
def test_a_base_is_a_safe_address(value: str) -> None:
    """What begins an address is https, or http on this machine, and nothing but an address."""
    with pytest.raises(ConfigurationError):
        based(value)
    assert based("http://127.0.0.1:8080/") == "http://127.0.0.1:8080"
    assert address("{base}/a/{b}", {"base": "https://e.com/v1/", "b": "c d"}) == "https://e.com/v1/a/c%20d"


def test_no_way_out_of_a_path() -> None:
    """A value that is two dots climbs nowhere."""
    with pytest.raises(ConfigurationError):
        address("https://example.com/{part}/x", {"part": ".."})


@pytest.mark.parametrize(("what", "kind"), [("large", ServiceError), ("cut", UnreachableError), ("slow", UnreachableError)])
def test_errors_hold_no_secret(wire: Wire, server: str, what: str, kind: type[AuraError]) -> None:
    """Whatever goes wrong is told with the host alone, and nothing hides in what led to it."""
    with pytest.raises(kind) as caught:
        wire.send(Request(f"{server}/{what}/{{token}}"), {"token": SECRET})
    assert SECRET not in repr(caught.value) + repr(caught.value.__cause__)
    assert caught.value.__cause__ is None


def test_nobody_there(wire: Wire) -> None:
    """Nothing was sent, and that is said."""
    with pytest.raises(Unsent) as caught:
        wire.send(Request(f"http://127.0.0.1:{free_port()}/{{token}}"), {"token": SECRET})
    assert SECRET not in str(caught.value)


def test_redirects_are_answers(wire: Wire, server: str, seen: list[dict[str, Any]]) -> None:
    """Nobody is followed with credentials."""
    assert wire.send(Request(f"{server}/moved"), {}).status == 302
    assert len(seen) == 1


@pytest.mark.parametrize("token", ["line\nfeed", "snow☃man"])
def test_credentials_that_no_header_carries(wire: Wire, server: str, token: str) -> None:
    """Are told of without being shown."""
    with pytest.raises(ConfigurationError) as caught:
        wire.send(Request(f"{server}/x", headers={"Authorization": "Bearer {t}"}), {"t": token})
    assert token not in str(caught.value)
    assert caught.value.__cause__ is None


def test_stopped(wire: Wire, server: str, seen: list[dict[str, Any]]) -> None:
    """Once it is stopped nothing is sent any more; a value that is missing is named."""
    with pytest.raises(ConfigurationError, match="'who'"):
        wire.send(Request(f"{server}/{{who}}"), {})
    wire.stop.set()
    with pytest.raises(Unsent):
        wire.send(Request(f"{server}/x"), {})
    assert seen == []
