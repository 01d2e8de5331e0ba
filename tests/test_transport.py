"""HTTP against a real server on loopback: what is tried again, what is told, what never leaves."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from aura_cli.errors import AccessRefused, AuraError, ConfigurationError, NotFoundError, ServiceError, UnreachableError
from aura_cli.transport import ATTEMPTS, Rate, Service, authorities
from tests.parts.service import free_port

SECRET = {"Authorization": "Bearer token-nobody-may-see"}
CUT, HANG = -1, -2


@dataclass
class Answers:
    """What the server says, one answer a request: status (or CUT, HANG), headers, body. The last one is said for ever."""

    port: int
    script: list[tuple[int, dict[str, str], bytes]]
    requests: list[tuple[float, str, str | None]] = field(default_factory=list)
    bodies: list[tuple[str | None, str | None, bytes]] = field(default_factory=list)  # content type, idempotency key, what was sent

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def server(*script: tuple[int, dict[str, str], bytes]) -> Iterator[Answers]:
    """A server that gives these answers in turn."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.requests.append((time.monotonic(), self.path, self.headers["Authorization"]))
            sent = self.rfile.read(int(self.headers["Content-Length"] or 0))
            answers.bodies.append((self.headers["Content-Type"], self.headers["Idempotency-Key"], sent))
            status, headers, body = answers.script[min(len(answers.requests), len(answers.script)) - 1]
            if status == CUT:
                return
            if status == HANG:
                ended.wait(5)
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    ended = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        answers = Answers(http.server_address[1], list(script))
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield answers
        finally:
            ended.set()
            http.shutdown()
            thread.join()


OK = (200, {"Content-Type": "application/json"}, b"{}")
AT_ONCE = {"Retry-After": "0"}


def service(answers: Answers, rate: float = 0, timeout: float = 5) -> Service:
    return Service("Example", answers.base, SECRET, Rate(rate), lambda body: body.decode(), timeout=timeout)


def refusal(answers: Answers, method: str = "GET", *, repeatable: bool | None = None, timeout: float = 5) -> AuraError:
    with service(answers, timeout=timeout) as example, pytest.raises(AuraError) as refused:
        example.call(method, "/x", repeatable=repeatable)
    assert "token-nobody" not in f"{refused.value.message}{refused.value.hint}{example!r}"
    return refused.value


def test_trouble_that_passes() -> None:
    """Slowed down, broken, cut off, and then an answer: the caller sees the answer alone."""
    with server((429, AT_ONCE, b""), (500, AT_ONCE, b""), (CUT, {}, b""), (503, AT_ONCE, b""), OK) as answers, service(answers) as example:
        assert example.get("/x", {"a": "b c"}) == b"{}"
    assert [path for _, path, _ in answers.requests] == ["/x?a=b+c"] * 5


def test_retry_after() -> None:
    """The wait that a service asks for is kept, in seconds and as a date; nonsense means our own."""
    for what, least in (("1", 0.9), ("date", 0.5), ("soon", 0.1)):
        said = what if what != "date" else format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        with server((429, {"Retry-After": said}, b""), OK) as answers, service(answers) as example:
            example.get("/x")
        waited = answers.requests[1][0] - answers.requests[0][0]
        assert least < waited < 5


def test_trouble_that_stays() -> None:
    """After the last attempt the service's own words come out, with the status."""
    with server((500, AT_ONCE, b"it hurts")) as answers:
        error = refusal(answers)
    assert isinstance(error, ServiceError)
    assert (error.status, len(answers.requests)) == (500, ATTEMPTS)
    assert error.message == "Example answered 500 to GET /x: it hurts"
    with server((429, AT_ONCE, b"")) as answers:
        assert "slower" in refusal(answers).hint


@pytest.mark.parametrize("trouble", [500, 429, CUT])
def test_a_write_is_not_repeated(trouble: int) -> None:
    """A POST goes out once, unless the caller knows that it may be repeated."""
    with server((trouble, AT_ONCE, b""), OK) as answers:
        error = refusal(answers, "POST")
        assert len(answers.requests) == 1
        assert isinstance(error, UnreachableError) == (trouble == CUT)
        assert trouble != CUT or "look before you try again" in error.hint
    with server((trouble, AT_ONCE, b""), OK) as answers, service(answers) as example:
        assert example.call("POST", "/x", json={"a": 1}, repeatable=True) == b"{}"


FINAL = [(401, AccessRefused), (403, AccessRefused), (404, NotFoundError), (400, ServiceError), (402, ServiceError)]


@pytest.mark.parametrize(("status", "kind"), FINAL)
def test_answers_that_are_final(status: int, kind: type[AuraError]) -> None:
    """A refusal is not asked for twice."""
    with server((status, {}, b"no")) as answers:
        error = refusal(answers)
    assert type(error) is kind
    assert len(answers.requests) == 1
    assert str(status) in error.message


def test_no_answer_in_time() -> None:
    """A server that says nothing is given up."""
    with server((HANG, {}, b"")) as answers:
        error = refusal(answers, "POST", timeout=0.2)
    assert isinstance(error, UnreachableError)
    assert "ReadTimeout" in error.message


def test_nobody_there() -> None:
    """A port where nobody listens is unreachable."""
    assert isinstance(refusal(Answers(free_port(), []), "POST"), UnreachableError)


def test_a_web_page_where_data_was_expected() -> None:
    """A proxy's or captive portal's page is no success."""
    with server((200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>log in</html>")) as answers:
        error = refusal(answers)
    assert isinstance(error, ServiceError)
    assert "a web page" in error.message


def test_a_body_that_cannot_be_unpacked() -> None:
    """A broken encoding is the service's error."""
    with server((200, {"Content-Encoding": "gzip"}, b"this is no gzip")) as answers:
        assert isinstance(refusal(answers), ServiceError)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    """The credentials go to the address that was configured and to no other."""
    with server(OK) as other, server((status, {"Location": f"{other.base}/y"}, b"")) as answers:
        error = refusal(answers)
        assert not other.requests
    assert isinstance(error, ServiceError)
    assert "base address" in error.hint


@pytest.mark.parametrize("base", ["", "example.com", "ftp://example.com", "https://", "http://[::1"])
def test_malformed_addresses(base: str) -> None:
    """They are configuration, found before a request."""
    with pytest.raises(ConfigurationError, match="malformed"), Service("Example", base, SECRET, Rate(0)):
        pass


@pytest.mark.parametrize("key", ["ké", "line\nbreak"])
def test_credentials_that_no_header_carries(key: str) -> None:
    """A key that was pasted wrongly is configuration, and is not shown."""

    def ask() -> None:
        with server(OK) as answers, Service("Example", answers.base, {"Authorization": key}, Rate(0)) as example:
            example.get("/x")

    with pytest.raises(ConfigurationError) as refused:
        ask()
    assert key not in refused.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [("ALL_PROXY", "socks5://127.0.0.1:9"), ("HTTPS_PROXY", "ftp://127.0.0.1:9"), ("SSL_CERT_FILE", "/nowhere/at-all.pem")],
)
def test_an_environment_that_no_request_can_leave(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A proxy or certificate file that cannot be used is configuration, found before a request."""
    monkeypatch.setenv(name, value)
    authorities.cache_clear()  # a process reads its files once
    with pytest.raises(ConfigurationError, match="proxy or certificates"), Service("Example", "https://example.test", SECRET, Rate(0)):
        pass


def test_requests_are_spaced() -> None:
    """All threads together keep to the rate."""
    with server(OK) as answers, service(answers, rate=50) as example:
        threads = [threading.Thread(target=lambda: [example.get("/x") for _ in range(5)]) for _ in range(3)]
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    times = sorted(at for at, _, _ in answers.requests)
    assert len(times) == 15
    assert times[-1] - begun >= 14 / 50 * 0.95


def test_leaving_stops_what_waits() -> None:
    """Threads that wait for their turn or for another try end when the service is left."""
    with server((429, {"Retry-After": "60"}, b"")) as answers:
        ended: list[AuraError] = []

        def ask() -> None:
            try:
                example.get("/x")
            except AuraError as error:
                ended.append(error)

        with service(answers) as example:
            thread = threading.Thread(target=ask)
            thread.start()
            while not answers.requests:
                time.sleep(0.01)
        thread.join(5)
    assert isinstance(ended[0], UnreachableError)


def test_the_credential_is_sent() -> None:
    """Each request carries the headers."""
    with server(OK) as answers, service(answers) as example:
        example.get("/x")
    assert answers.requests[0][2] == SECRET["Authorization"]


def test_a_form_and_a_header_are_sent_with_every_try() -> None:
    """Form-encoded, a list's elements under one name each; with an idempotency key a write may be tried again."""
    with server((500, {}, b""), (200, {}, b"ok")) as answers, service(answers) as http:
        form = {"url": "https://example.com/a b", "types[]": ["x", "y"]}
        assert http.call("POST", "/x", form=form, headers={"Idempotency-Key": "k"}, repeatable=True) == b"ok"
    sent = ("application/x-www-form-urlencoded", "k", b"url=https%3A%2F%2Fexample.com%2Fa+b&types%5B%5D=x&types%5B%5D=y")
    assert answers.bodies == [sent, sent]
    assert [authorization for _, _, authorization in answers.requests] == [SECRET["Authorization"]] * 2


def test_lines_as_they_are() -> None:
    """A streamed answer's lines end at line feeds alone, with or without a return, the last one without; what was asked is JSON."""
    with (
        server((200, {}, "a\r\nb\u2028c\x0b\n\nd".encode())) as answers,
        service(answers) as example,
        example.lines("x", {"a": 1}) as lines,
    ):
        assert list(lines) == [b"a", "b\u2028c\x0b".encode(), b"", b"d"]
    assert answers.bodies[0][2] == b'{"a":1}'


def test_lines_are_tried_for_until_they_begin() -> None:
    """Trouble that passes is waited out, and told before; once the answer has begun, nothing is asked again."""
    told: list[tuple[float, str]] = []
    torn = (200, {"Content-Length": "100"}, b"one\ntwo")
    with server((CUT, {}, b""), (429, AT_ONCE, b"slow"), torn) as answers, service(answers) as example:
        with example.lines("x", {}, waiting=lambda wait, why: told.append((wait, why))) as lines:
            assert next(lines) == b"one"
            with pytest.raises(UnreachableError, match="broke off"):
                next(lines)
        assert (len(answers.requests), len(told), told[1][0]) == (3, 2, 0)


def test_lines_that_cannot_be_unpacked() -> None:
    """An error whose body is broken is a service error as any other."""
    broken = (500, {"Content-Encoding": "gzip"}, b"this is no gzip")
    with (
        server(broken) as answers,
        service(answers) as example,
        pytest.raises(ServiceError, match="cannot be unpacked"),
        example.lines("x", {}),
    ):
        pass


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((429, {"Retry-After": "3600"}, b""), ServiceError),
        ((429, AT_ONCE, b"final"), ServiceError),
        ((401, {}, b""), ConfigurationError),
        ((302, {"Location": "/elsewhere"}, b""), ServiceError),
    ],
)
def test_lines_that_are_not_waited_for(answer: tuple[int, dict[str, str], bytes], kind: type[AuraError]) -> None:
    """Too long a wait, what the caller calls final, and what another try cannot mend end it at the first."""
    with server(answer) as answers, service(answers) as example:
        with pytest.raises(kind), example.lines("x", {}, longest_wait=10, final=lambda body: body == b"final"):
            pass
        assert len(answers.requests) == 1
