"""Starting and stopping the stand-ins, and the environment that points at them."""

import json
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, fields
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue

import httpx
import pytest
from aiohttp import web

from aura_cli.errors import ConflictError, UsageError
from aura_cli.sandbox.credentials import STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET, Addresses, environment
from aura_cli.sandbox.generation import PRO_MONTHLY, build
from aura_cli.sandbox.run import STAND_INS
from aura_cli.sandbox.server import HOST, Ports, running
from aura_cli.sandbox.stripe.delivery import signature
from aura_cli.settings import Settings
from tests.parts import loopback
from tests.parts.loopback import plain_client

POPULATION = build(20, seed=3, now=1_795_000_000)


def stripe(addresses: Addresses) -> httpx.Client:
    """A client of Stripe's stand-in."""
    return plain_client(base_url=addresses.stripe, headers={"Authorization": f"Bearer {STRIPE_SECRET_KEY}"})


def test_it_listens_while_the_context_lasts_and_leaves_no_thread() -> None:
    """Answers inside, refuses connections afterwards."""
    with running(POPULATION) as addresses:
        bases = asdict(addresses).values()
        assert len({*bases}) == len(fields(Ports))
        for base in bases:
            assert httpx.get(f"{base}/_sandbox/faults", trust_env=False).status_code == 200
    for base in bases:
        with pytest.raises(httpx.ConnectError):
            httpx.get(base, trust_env=False)
    assert "sandbox" not in {thread.name for thread in threading.enumerate()}


def test_each_stand_in_listens_where_it_is_told_to() -> None:
    """A port for each, by its name; what `aura sandbox` says of each has a name for it."""
    with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as other:
        ports = Ports(openai=one.getsockname()[1], web_app=other.getsockname()[1])
    with running(POPULATION, ports=ports) as addresses:
        assert (addresses.openai, addresses.web_app) == (f"http://{HOST}:{ports.openai}", f"http://{HOST}:{ports.web_app}")
    assert list(asdict(addresses)) == list(asdict(ports)) == list(STAND_INS)


def test_the_web_app_s_pages_answer() -> None:
    """What links in mails lead to: an invitation's page among them; what was opened can be asked, and other pages are not there."""
    with running(POPULATION) as addresses, plain_client(base_url=addresses.web_app) as http:
        answers = [http.get(path).status_code for path in ("/", "/dashboard", "/team/accept?token=0a", "/team/acept")]
        assert http.get("/_sandbox/opened").json() == ["/", "/dashboard", "/team/accept?token=0a"]
        http.post("/_sandbox/faults", json={"server_error": 1}).raise_for_status()
        assert http.get("/").status_code == 500
    assert answers == [200, 200, 200, 404]


def test_two_sandboxes_at_once_know_nothing_of_each_other() -> None:
    """Free ports, and a fault set in one does not reach the other."""
    with running(POPULATION) as one, running(POPULATION) as other:
        httpx.post(f"{one.privy}/_sandbox/faults", json={"latency": 1}, trust_env=False).raise_for_status()
        assert httpx.get(f"{other.privy}/_sandbox/faults", trust_env=False).json()["latency"] == 0
    assert one != other


def test_stripe_knows_the_same_people() -> None:
    """The customers that Stripe lists are those of the population, linked to their user and DID."""
    with running(POPULATION) as addresses, stripe(addresses) as http:
        customers = http.get("/v1/customers", params={"limit": 100}).raise_for_status().json()["data"]
    expected = {(person.customer, person.uuid, person.did) for person in POPULATION.people if person.customer}
    assert {(each["id"], each["metadata"]["userId"], each["metadata"]["privyUserId"]) for each in customers} == expected


@pytest.mark.parametrize(("fault", "status", "kind"), [("too_many", 429, "invalid_request_error"), ("server_error", 500, "api_error")])
def test_stripe_s_faults_have_stripe_s_shape(fault: str, status: int, kind: str) -> None:
    """A made-up error of Stripe looks like its own."""
    with running(POPULATION) as addresses, stripe(addresses) as http:
        http.post("/_sandbox/faults", json={fault: 1}).raise_for_status()
        answer = http.get("/v1/customers")
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


def test_events_are_duplicated_on_request() -> None:
    """`duplicate_events` set at run time reaches the webhooks: a registered endpoint gets the same event twice."""
    twice, received = threading.Event(), Counter[str]()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received[event["id"]] += 1
            self.send_response(200)
            self.end_headers()
            if received[event["id"]] == 2:
                twice.set()

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with HTTPServer((HOST, 0), Receiver) as server, running(POPULATION) as addresses, stripe(addresses) as http:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            http.post("/_sandbox/faults", json={"duplicate_events": 1}).raise_for_status()
            endpoint = {"url": f"http://{HOST}:{server.server_port}/", "enabled_events[]": "customer.created"}
            http.post("/v1/webhook_endpoints", data=endpoint).raise_for_status()
            http.post("/v1/customers", data={"email": "new@example.com"}).raise_for_status()
            assert twice.wait(10)
        finally:
            server.shutdown()
            thread.join()
    assert list(received.values()) == [2]


def test_events_go_where_they_are_asked_to_signed_with_the_environment_s_secret() -> None:
    """`webhook_url` is an endpoint from the start; its secret is the STRIPE_WEBHOOK_SECRET that the environment names."""
    arrived: Queue[tuple[bytes, str]] = Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.put((self.rfile.read(int(self.headers["Content-Length"])), self.headers["Stripe-Signature"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with HTTPServer((HOST, 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            with running(POPULATION, webhook_url=f"http://{HOST}:{server.server_port}/hook") as addresses, stripe(addresses) as http:
                made = http.post("/v1/customers").raise_for_status().json()["id"]
                body, header = arrived.get(timeout=10)
        finally:
            server.shutdown()
            thread.join()
    moment = int(header.split(",")[0].removeprefix("t="))
    assert json.loads(body)["data"]["object"]["id"] == made
    assert header == signature(STRIPE_WEBHOOK_SECRET, body, moment)


def test_events_leave_the_machine_for_no_address() -> None:
    """Another machine's address is refused before anything runs."""
    with pytest.raises(UsageError, match=r"example\.com"), running(POPULATION, webhook_url="https://example.com/hook"):
        pass


def test_a_taken_port_is_a_conflict() -> None:
    """A port that somebody else listens on is named in the error."""
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError, match=str(port)), running(POPULATION, ports=Ports(privy=port)):
            pass


def test_the_environment_is_complete_and_bears_the_mark(tmp_path: Path) -> None:
    """Every setting comes from the environment, every credential says sandbox, every address is this machine's."""
    variables = environment(Addresses("http://127.0.0.1:1", "http://127.0.0.1:2"), tmp_path, f"sqlite:///{tmp_path}/sandbox.db")
    settings = Settings.load(variables, tmp_path)
    assert settings.is_sandbox
    assert settings.stripe_mode == "test"
    assert settings.home == tmp_path
    assert settings.ignored == ()
    assert variables["STRIPE_PRICE_ID"] == PRO_MONTHLY.id
    credentials = {name for name in variables if name.endswith(("_KEY", "_SECRET", "_TOKEN", "_APP_ID"))}
    assert {name for name in credentials if "sandbox" not in variables[name]} == {"TRELLO_API_KEY"}  # public, and hexadecimal
    addresses = {name for name in variables if name.endswith(("_URL", "_BASE")) and name != "DATABASE_URL"}
    assert {name for name in addresses if not variables[name].startswith("http://127.0.0.1:")} == set()


def test_connections_of_the_last_moment() -> None:
    """Whoever connects while a stand-in ends is hung up on, also when its connection was accepted but not begun."""

    def connecting(base: httpx.URL) -> list[socket.socket]:
        made = list[socket.socket]()
        with suppress(ConnectionError):  # nobody listens any more
            for _ in range(100):  # two of them, and as many at the other end, are within what a process may open
                made.append(socket.create_connection((HOST, base.port or 0)))
        return made

    for _ in range(10):
        with ThreadPoolExecutor() as pool:
            with loopback.serving(web.Application()) as base:
                clients = [pool.submit(connecting, httpx.URL(base)) for _ in range(2)]
            for one in clients[0].result() + clients[1].result():
                with closing(one), suppress(ConnectionResetError):
                    one.settimeout(5)
                    assert one.recv(1) == b""
