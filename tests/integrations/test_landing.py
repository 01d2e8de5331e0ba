"""The server on loopback: one answer is waited for, everything else changes nothing."""

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aura_cli.errors import ConflictError
from aura_cli.integrations import pages, ports
from aura_cli.integrations.landing import Landing, landing
from aura_cli.integrations.redirects import Loopback
from tests.parts.service import free_port

STATE = "th1s0ne"
ANY = Loopback("127.0.0.1", 0, "/callback")
GOOD = f"/callback?code=c0de&state={STATE}"


@dataclass(frozen=True)
class Got:
    status: int
    headers: dict[str, str]
    text: str


def get(place: Landing, target: str, *, method: str = "GET", host: str | None = None, address: str = "127.0.0.1") -> Got:
    """One request, as a browser makes it."""
    connection = http.client.HTTPConnection(address, place.address.port, timeout=20)
    try:
        connection.request(method, target, headers={"Host": host if host is not None else place.address.netloc})
        answer = connection.getresponse()
        return Got(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())
    finally:
        connection.close()


@pytest.fixture
def waiting() -> Iterator[Landing]:
    """A server that waits for the answer with the right state."""
    with landing(ANY) as place:
        place.belongs = lambda found: found.get("state") == STATE
        yield place


@pytest.mark.parametrize(
    ("target", "method", "host", "status"),
    [
        ("/callback?code=c&state=wrong", "GET", None, 400),
        ("/callback?code=c", "GET", None, 400),
        ("/callback", "GET", None, 400),
        ("/callback?state=th1s0ne&state=th1s0ne&code=c", "GET", None, 400),
        ("/callback?error=access_denied&state=wrong", "GET", None, 400),
        ("/", "GET", None, 404),
        ("/favicon.ico", "GET", None, 404),
        (f"/other?code=c&state={STATE}", "GET", None, 404),
        (f"/callback/?code=c&state={STATE}", "GET", None, 404),
        (GOOD, "GET", "evil.test", 400),
        (GOOD, "GET", "localhost", 400),
        (GOOD, "GET", "", 400),
        (GOOD, "POST", None, 405),
        (GOOD, "HEAD", None, 405),
    ],
)
def test_what_is_turned_away(waiting: Landing, target: str, method: str, host: str | None, status: int) -> None:
    """Wrong, missing and doubled state, another path, another Host, another method: a plain answer, and it is still waited for."""
    got = get(waiting, target, method=method, host=host)
    assert got.status == status
    assert waiting.wait(0.05) is None
    assert (STATE in got.text, "c0de" in got.text) == (False, False)


def test_the_answer(waiting: Landing) -> None:
    """The browser gets its page only once it is known what became of the code; a second tab is told kindly, and changes nothing."""
    got: list[Got] = []
    tab = threading.Thread(target=lambda: got.append(get(waiting, GOOD)))
    tab.start()
    arrival = waiting.wait(10)
    assert arrival is not None
    assert arrival.found["code"] == "c0de"
    second = get(waiting, GOOD)
    assert (second.status, "answered already" in second.text) == (409, True)
    assert not got
    arrival.show(pages.connected("Acme", "a@example.com <b>", "Ada", "Go back to the terminal."))
    tab.join(10)
    assert got[0].status == 200
    assert "a@example.com &lt;b&gt;" in got[0].text
    assert "c0de" not in got[0].text
    assert waiting.wait(0.05) is None


def test_pages_keep_to_themselves(waiting: Landing) -> None:
    """No script, nothing from elsewhere, nothing kept: whatever the page is."""
    headers = get(waiting, "/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert "server" not in headers
    for page in (pages.SECOND, pages.EXPIRED, pages.invitation("A", "b", ["c"], 3, "d"), pages.failed("A", "b", "c")):
        assert "<script" not in page.html
        assert "http" not in page.html.replace("http-equiv", "")


def test_broken_off(waiting: Landing) -> None:
    """A browser that waits when the program ends is told to look there."""
    with landing(ANY) as place:
        place.belongs = lambda found: True
        got: list[Got] = []
        tab = threading.Thread(target=lambda: got.append(get(place, "/callback?state=x")))
        tab.start()
        assert place.wait(10)
    tab.join(10)
    assert (got[0].status, "broken off" in got[0].text) == (503, True)


def test_who_has_the_port() -> None:
    """The error names the process that listens there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError) as stopped, landing(Loopback("127.0.0.1", port, "/callback")):
            pass
    assert f"(process {os.getpid()})" in stopped.value.message
    assert "--port" in stopped.value.hint
    assert ports.holder(free_port()) is None


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
def test_localhost_has_two_addresses() -> None:
    """Browsers look for localhost at ::1 first: we answer there too, and nobody else may."""
    port = free_port()
    with landing(Loopback("localhost", port, "/")) as place:
        assert get(place, "/x", address="::1").status == 404
        assert get(place, "/x").status == 404
    with (
        socket.create_server(("::1", port), family=socket.AF_INET6),
        pytest.raises(ConflictError),
        landing(Loopback("localhost", port, "/")),
    ):
        pass


def test_a_connection_that_says_nothing(waiting: Landing) -> None:
    """Browsers open connections ahead of time; they keep nobody waiting."""
    with (
        socket.create_connection(("127.0.0.1", waiting.address.port)),
        socket.create_connection(("127.0.0.1", waiting.address.port)) as half,
    ):
        half.sendall(b"GET /callback?sta")
        assert get(waiting, "/").status == 404
