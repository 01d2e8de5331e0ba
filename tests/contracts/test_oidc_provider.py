"""`aura` against oidc-provider, which is certified by the OpenID Foundation: code with PKCE, rotation, reuse, revocation, device.

A provider of the catalogue is led there by a file of AURA_PROVIDERS_DIR, as a person would do it.
"""

import json
import re
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from playwright.sync_api import Browser
from sqlalchemy import Engine

from aura_cli.db.engine import writing
from aura_cli.db.migrate import upgrade
from aura_cli.db.shared import integrations
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.consent import Consent
from aura_cli.integrations.failures import Refused
from aura_cli.integrations.oauth import Client, authorize_url, exchange
from aura_cli.integrations.provider import OAuth
from aura_cli.integrations.wire import Wire
from aura_cli.sandbox.credentials import PROVIDER_FILES
from aura_cli.settings import Secret
from tests.integrations.connecting import ADA, World, world_of
from tests.parts.chromium import chromium, tab
from tests.parts.listening import serving
from tests.parts.migrated import engine_of
from tests.parts.outside import node_script
from tests.parts.program import Aura, Completed
from tests.parts.secured import Trust, front, made_trust
from tests.parts.service import free_port

__all__ = ["chromium"]

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
PUBLIC = "https://hooks.example.com"
SHAPE = """
oauth.authorize_url = "{base}/auth"
oauth.token_url = "{base}/token"
oauth.device_url = "{base}/device/auth"
oauth.scopes = ["openid", "offline_access"]
oauth.authorize_params.prompt = "consent"
oauth.revoke.url = "{base}/token/revocation"
oauth.client_auth = "{client_auth}"
verify.url = "{base}/me"
"""


@dataclass
class Certified:
    """oidc-provider with GitLab's application, and the program beside it."""

    world: World
    base: str
    trust: ssl.SSLContext | bool

    @property
    def client(self) -> Client:
        return Client(self.world.env["GITLAB_CLIENT_ID"], Secret(self.world.env["GITLAB_CLIENT_SECRET"]))

    def lead(self, *, client_auth: str = "client_secret_post", extra: str = "") -> None:
        """Write the file that leads GitLab here."""
        folder = Path(self.world.env["AURA_HOME"]) / PROVIDER_FILES
        (folder / "gitlab.toml").write_text(SHAPE.format(base=self.base, client_auth=client_auth) + extra)

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.base, trust_env=False, verify=self.trust, timeout=30)

    def active(self, token: str | None) -> bool:
        """Whether a token is any good (RFC 7662)."""
        with self.http() as http:
            found = http.post("/token/introspection", data={"token": token or "", **self.client.values}).raise_for_status().json()
        return bool(found["active"])

    def connect(self, *words: str) -> Completed:
        """Connect Ada, who signs in and consents on the pages of oidc-provider."""
        waiting = self.world.waiting("gitlab", "--no-browser", *words)
        with self.http() as http:
            page = httpx.get(consented(http, waiting.url), trust_env=False)
        done = waiting.end()
        assert (done.exit, page.status_code) == (0, 200), f"{done.err}{page.text}"
        return done

    def secrets(self) -> tuple[str | None, str | None]:
        """Ada's two tokens."""
        row = self.world.rows()[0]
        return self.world.opened(row["access_token"]), self.world.opened(row["refresh_token"])

    def put(self, row: Mapping[str, Any]) -> None:
        """Write a row's secrets back, as a backup or another program might."""
        with writing(self.world.engine) as connection:
            values = {name: row[name] for name in ("access_token", "refresh_token", "token_expiry")}
            connection.execute(integrations.update().where(integrations.c.id == row["id"]).values(values))


def consented(http: httpx.Client, url: str, login: str = "ada") -> str:
    """Sign in and consent, as a browser does; the address that it is sent back to."""
    answer = http.get(url)
    for _ in range(12):
        if location := answer.headers.get("location"):
            target = urljoin(str(answer.url), location)
            if not target.startswith(str(http.base_url)):
                return str(target)
            answer = http.get(target)
        else:
            answer = pressed(http, answer, login=login, password="any")
    raise AssertionError(answer.text)


def pressed(http: httpx.Client, page: httpx.Response, **typed: str) -> httpx.Response:
    """The answer to a page's form."""
    action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
    assert action, page.text
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    return http.post(urljoin(str(page.url), action[1]), data={**typed, **hidden})


@contextmanager
def certified(world: World, trust: Trust | None = None, back: str | None = None) -> Iterator[Certified]:
    """The provider, with two clients: one with a secret, and one without. `back`: the one address that the first comes back to.

    Without it that is any port of this machine, as RFC 8252 has it for programs.
    """
    name, secret = world.env["GITLAB_CLIENT_ID"], world.env["GITLAB_CLIENT_SECRET"]
    common = {"grant_types": ["authorization_code", "refresh_token", DEVICE], "response_types": ["code"]}
    native = {"application_type": "native", "redirect_uris": ["http://127.0.0.1/callback"]}
    comes_back = {"application_type": "web", "redirect_uris": [back]} if back else native
    clients = [
        {"client_id": name, "token_endpoint_auth_method": "client_secret_post", **common, **comes_back},
        {"client_id": f"{name}-device", "token_endpoint_auth_method": "none", **common, **native},
    ]
    files = [str(trust.certificate), str(trust.key)] if trust else []
    with node_script("oidc.mjs", json.dumps(clients), *files, secret=json.dumps({name: secret})) as outside:
        base = outside.base.replace("http:", "https:") if trust else outside.base
        made = Certified(world, base, trust.client if trust else False)
        made.lead()
        yield made


@pytest.fixture
def sqlite_engine(sqlite_database: str) -> Iterator[Engine]:
    with engine_of(sqlite_database) as engine:
        upgrade(engine)
        yield engine


@pytest.fixture
def oidc(aura: Aura, sqlite_engine: Engine, sqlite_database: str) -> Iterator[Certified]:
    with world_of(aura, sqlite_engine, sqlite_database) as world, certified(world) as made:
        yield made


def good(done: Completed) -> Any:
    assert done.exit == 0, done.err
    return done.json


def test_code_rotation_and_revocation(oidc: Certified) -> None:
    """Consent with PKCE over loopback, verified; a refresh rotates and the old token is worth nothing; disconnecting revokes."""
    connected = oidc.connect("--port", str(free_port()))
    assert connected.json["label"] == "ada"
    assert oidc.world.rows()[0]["scopes"] == ["openid", "offline_access"]
    access, refresh = oidc.secrets()
    assert oidc.active(access)
    assert [one["result"] for one in good(oidc.world("verify", ADA, "--json"))] == ["good"]
    assert good(oidc.world("refresh", ADA, "--force", "--json"))["refreshed"] == 1
    newer, rotated = oidc.secrets()
    assert (newer != access, rotated != refresh, oidc.active(newer)) == (True, True, True)
    assert good(oidc.world("disconnect", "gitlab", "--user", ADA, "--json"))["revoked"] == "yes"
    assert (oidc.world.rows(), oidc.active(newer)) == ([], False)


def test_a_token_that_comes_twice_ends_everything(oidc: Certified) -> None:
    """Somebody puts an old row back: its refresh token was used, so the provider ends the grant, and a person is asked for consent."""
    oidc.connect("--port", str(free_port()))
    old = oidc.world.rows()[0]
    good(oidc.world("refresh", ADA, "--force", "--json"))
    new = oidc.world.rows()[0]
    newest = oidc.secrets()[1]
    assert oidc.active(newest)
    oidc.put(old)
    assert oidc.world("refresh", ADA, "--force").exit == 3
    assert [one["health"] for one in good(oidc.world("list", ADA, "--json"))] == ["needs_consent"]
    assert not oidc.active(newest)
    oidc.put(new)
    assert oidc.world("refresh", ADA, "--force").exit == 3
    assert oidc.connect("--port", str(free_port())).json["replaced"]
    assert [(one["health"], one["id"]) for one in good(oidc.world("list", ADA, "--json"))] == [("ok", old["id"])]


def test_a_device(oidc: Certified) -> None:
    """A code typed at the provider's own page, by a client without a secret; its tokens are refreshed."""
    oidc.lead(client_auth="none", extra='client.id = "DEVICE_CLIENT_ID"\n')
    oidc.world.env["DEVICE_CLIENT_ID"] = f"{oidc.client.id}-device"
    with oidc.world.aura.start(
        "integrations", "connect", "gitlab", "--user", ADA, "--device", "--json", env=oidc.world.env, stdin=subprocess.DEVNULL
    ) as process:
        address = next(found[1] for line in process.stderr or () if (found := re.match(r"\s*(https?://\S+)$", line)))
        with oidc.http() as http:
            page = http.get(address)
            for _ in range(12):
                if "location" in page.headers:
                    page = http.get(urljoin(str(page.url), page.headers["location"]))
                elif "<form" in page.text and "Sign-in Success" not in page.text:
                    page = pressed(http, page, login="ada", password="any")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err + page.text
    assert json.loads(out)["label"] == "ada"
    assert good(oidc.world("refresh", ADA, "--force", "--json"))["refreshed"] == 1


def test_a_wrong_verifier_is_refused(oidc: Certified) -> None:
    """The provider checks PKCE; what it says to a wrong verifier is a refusal here."""
    provider = load(Path(oidc.world.env["AURA_PROVIDERS_DIR"])).get("gitlab")
    consent, uri = Consent.begin(provider.oauth or OAuth(""), "http://127.0.0.1:4711/callback"), "http://127.0.0.1:4711/callback"
    url = authorize_url(
        provider,
        oidc.client,
        redirect_uri=uri,
        state=consent.state,
        verifier=consent.verifier,
        scopes=("openid",),
        values={"host": "gitlab.com"},
    )
    with oidc.http() as http, Wire() as wire:
        code = httpx.URL(consented(http, url)).params["code"]
        with pytest.raises(Refused, match="invalid_grant"):
            exchange(wire, provider, oidc.client, code=code, redirect_uri=uri, verifier="v" * 64, values={"host": "gitlab.com"})


def test_a_link_behind_https(aura: Aura, sqlite_engine: Engine, sqlite_database: str, chromium: Browser, tmp_path: Path) -> None:
    """Somebody opens a link on the listener in Chromium, signs in and consents at the provider, and ends on our page; all on https."""
    trust = made_trust(tmp_path)
    with world_of(aura, sqlite_engine, sqlite_database) as world, front(trust) as public:
        world.env["SSL_CERT_FILE"] = str(trust.authority)
        with (
            certified(world, trust, f"{public.base}/connect/callback/gitlab") as oidc,
            serving(aura, sqlite_database, env=world.env) as listener,
        ):
            public.target = listener.port
            waiting = world.waiting("gitlab", "--link", "--public-url", public.base)
            assert waiting.url.startswith(f"{public.base}/connect/")
            with tab(chromium) as seen:
                seen.page.route(re.compile(r"^(?!https://127\.0\.0\.1)"), lambda route: route.abort())
                seen.page.goto(waiting.url)
                seen.press("Continue to GitLab")
                seen.page.get_by_placeholder("Enter any login").fill("ada")
                seen.page.get_by_placeholder("and password").fill("any")
                seen.press("Sign-in")
                seen.press("Continue")
                assert (seen.title, seen.page.url) == ("GitLab is connected", waiting.url)
            assert good(waiting.end())["label"] == "ada"
            assert oidc.active(oidc.secrets()[0])
