"""Links to connect by: every page of the listener's, the browser that set out, and what the waiting command is told."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from sqlalchemy import func, select, update

from aura_cli.db.engine import reading, writing
from aura_cli.integrations.routes import Routes
from aura_cli.integrations.tables import connect_links
from aura_cli.settings import Settings
from aura_cli.webhooks import make_app
from tests.integrations.connecting import ADA, Page, Waiting, World, consent, visit
from tests.parts import loopback
from tests.parts.listening import Served, serving
from tests.parts.service import free_port


@dataclass
class Reachable:
    """A listener on the world's database, and the address at which browsers find it."""

    world: World
    served: Served

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.served.port}"

    def link(self, provider: str, *args: str) -> str:
        """A new link, for which nobody waits."""
        made = self.world.connect(provider, "--link", "--no-wait", "--public-url", self.base, *args)
        assert (made.exit, made.err) == (0, "")
        return made.out.strip()

    def waiting(self, provider: str, *args: str) -> Waiting:
        """The same, with the command that waits for its end."""
        return self.world.waiting(provider, "--link", "--public-url", self.base, *args)


@pytest.fixture
def reachable(world: World, database_url: str) -> Iterator[Reachable]:
    """A listener that serves links."""
    with serving(world.aura, database_url, env=world.env) as served:
        yield Reachable(world, served)


def out(link: str) -> tuple[str, dict[str, str]]:
    """Press the link's button: the provider's address, and the browser's cookie from then on."""
    sent = visit(link, {})
    assert (sent.status, sent.location is not None) == (303, True), sent.text
    found = re.match(r"(aura-connect-\w+=\w+); .*HttpOnly.*; Path=(/hooks)?/connect; SameSite=Lax", sent.headers["Set-Cookie"])
    assert found, sent.headers
    return sent.location or "", {"Cookie": found[1]}


def back(address: str, cookie: dict[str, str]) -> Page:
    """Come back from the provider, and go on to the page that says what became of it."""
    page = visit(address, headers=cookie)
    return visit(page.location, headers=cookie) if page.location else page


def test_from_the_link_to_the_row(reachable: Reachable) -> None:
    """Its page says whose and what; the consent is clicked through; who waited is told, and the address bar holds no code."""
    waiting = reachable.waiting("github", "--as", "work")
    page = visit(waiting.url)
    assert page.status == 200
    for told in ("Connect GitHub", ADA, "notifications", "Continue to GitHub"):
        assert told in page.text
    assert (page.headers["Cache-Control"], page.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    provider, cookie = out(waiting.url)
    landed = visit(consent(provider), headers=cookie)
    assert (landed.status, landed.location) == (303, waiting.url)
    shown = visit(waiting.url, headers=cookie)
    assert "GitHub is connected" in shown.text
    done = waiting.end()
    assert done.exit == 0, done.err
    row = reachable.world.rows()[0]
    assert (done.json["id"], done.json["name"], done.json["label"]) == (row["id"], "work", row["label"])
    assert row["label"] in shown.text
    assert "GitHub was connected" in reachable.world.told()[0]
    used = visit(waiting.url)
    assert (used.status, "has been used" in used.text, row["label"] in used.text) == (410, True, False)
    assert visit(waiting.url, {}).status == 410


def test_denied(reachable: Reachable) -> None:
    """The page says so kindly, the command plainly (exit 3), and the link is used."""
    waiting = reachable.waiting("github")
    provider, cookie = out(waiting.url)
    assert "was not connected" in back(consent(provider, "deny"), cookie).text
    done = waiting.end()
    assert (done.exit, "Not allowed at GitHub" in done.err) == (3, True)
    assert not reachable.world.rows()
    assert visit(waiting.url, {}).status == 410


def test_another_browser(reachable: Reachable) -> None:
    """Somebody else's consent cannot be made this link's: only the browser that set out may come back, and it still can."""
    link = reachable.link("github")
    provider, cookie = out(link)
    address = consent(provider)
    for foreign in ({}, {"Cookie": cookie["Cookie"][:-1] + ("0" if cookie["Cookie"][-1] != "0" else "1")}):
        page = visit(address, headers=foreign)
        assert (page.status, "another browser" in page.text) == (403, True)
    assert not reachable.world.rows()
    assert "is connected" in back(address, cookie).text


def test_twice(reachable: Reachable) -> None:
    """A second tab with the same answer, and an older tab whose state was replaced, change nothing."""
    link = reachable.link("github")
    older, _ = out(link)
    provider, cookie = out(link)
    stale = visit(consent(older), headers=cookie)
    assert (stale.status, "Nobody waits" in stale.text) == (400, True)
    address = consent(provider)
    assert "is connected" in back(address, cookie).text
    assert visit(address, headers=cookie).status == 400
    assert len(reachable.world.rows()) == 1


@pytest.mark.parametrize("query", ["", "code=c", "code=c&state=wrong", "state=a&state=b", "error=access_denied&state=wrong"])
def test_no_answer_of_ours(reachable: Reachable, query: str) -> None:
    """Wrong, missing, doubled state: a plain page, nothing changed."""
    page = visit(f"{reachable.base}/connect/callback/github?{query}")
    assert page.status == 400


def test_a_link_of_nobody(reachable: Reachable) -> None:
    """Whatever stands where a token would: the same plain page."""
    for token in ("callback", "0" * 64, "%00", "a" * 2000, "../healthz", "'"):
        assert visit(f"{reachable.base}/connect/{token}").status == 404
    assert reachable.served.alive()


def test_expired(reachable: Reachable) -> None:
    """Before somebody set out, and after; who waits is told."""
    waiting, link = reachable.waiting("github"), reachable.link("github")
    provider, cookie = out(link)
    with writing(reachable.world.engine) as connection:
        connection.execute(update(connect_links).values(expires_at=connect_links.c.created_at))
    for page in (visit(waiting.url), visit(waiting.url, {}), back(consent(provider), cookie)):
        assert (page.status, "has expired" in page.text) == (410, True)
    done = waiting.end()
    assert (done.exit, "Nobody finished in time" in done.err) == (8, True)
    assert not reachable.world.rows()


def test_nobody_keeps_a_link_open(reachable: Reachable) -> None:
    """Who sets out late has time to consent; setting out again and again gives no more of it."""
    link = reachable.link("github")
    left = []
    for _ in range(2):
        with writing(reachable.world.engine) as connection:
            connection.execute(update(connect_links).values(expires_at=datetime.now(UTC) + timedelta(minutes=1)))
        out(link)
        with reading(reachable.world.engine) as connection:
            left.append(connection.execute(select(connect_links.c.expires_at)).scalar_one() - datetime.now(UTC))
    assert left[0] > timedelta(minutes=8)
    assert left[1] < timedelta(minutes=2)


def test_another_account(reachable: Reachable) -> None:
    """A link does not replace an account unless whoever made it said so."""
    provider, cookie = out(reachable.link("github"))
    back(consent(provider), cookie)
    provider, cookie = out(reachable.link("github"))
    assert "is connected as" in back(consent(provider, account="bob"), cookie).text
    assert "ada" in reachable.world.rows()[0]["label"]
    provider, cookie = out(reachable.link("github", "--yes"))
    assert "GitHub is connected" in back(consent(provider, account="bob"), cookie).text
    assert len(reachable.world.rows()) == 1
    assert "bob" in reachable.world.rows()[0]["label"]


def test_withdrawn(reachable: Reachable) -> None:
    """Ctrl-C takes the link back: nobody can use it later."""
    waiting = reachable.waiting("github")
    waiting.process.send_signal(2)
    assert waiting.end().exit == 130
    assert visit(waiting.url).status == 410


def test_withdrawn_while_it_is_finished(reachable: Reachable) -> None:
    """Taken back while the provider takes its time: the row is not there, and the page says so."""
    reachable.world.sandbox("mishaps", {"kind": "slow", "value": 3, "provider": "github"})
    waiting = reachable.waiting("github")
    provider, cookie = out(waiting.url)
    address = consent(provider)
    with ThreadPoolExecutor(1) as tab:
        landed = tab.submit(back, address, cookie)
        waiting.hear("(Somebody opened it)")
        waiting.process.send_signal(2)
        assert waiting.end().exit == 130
        assert landed.result().status == 410
    assert not reachable.world.rows()
    assert not reachable.world.told()


@pytest.mark.parametrize("mishap", ["html", "invalid_client", "cut"])
def test_the_exchange_fails(reachable: Reachable, mishap: str) -> None:
    """The page says that it could not be connected, the command why; nothing is stored."""
    reachable.world.sandbox("mishaps", {"kind": mishap, "provider": "github"})
    waiting = reachable.waiting("github")
    provider, cookie = out(waiting.url)
    page = back(consent(provider), cookie)
    assert "GitHub could not be connected" in page.text
    done = waiting.end()
    assert done.exit == (8 if mishap == "cut" else 7), done.err
    assert "sandbox-code" not in done.err + page.text
    assert not reachable.world.rows()


def test_what_the_database_holds(reachable: Reachable) -> None:
    """Of the address and the state only digests; the verifier sealed; when all is over, nothing."""
    link = reachable.link("github")
    provider, cookie = out(link)
    table = select(connect_links)
    with reading(reachable.world.engine) as connection:
        row = connection.execute(table).one()._asdict()
    state = re.findall(r"state=(\w+)", provider)[0]
    assert link.rpartition("/")[2] not in str(row)
    assert state not in str(row)
    assert "verifier" not in str(row)
    back(consent(provider), cookie)
    with reading(reachable.world.engine) as connection:
        assert connection.execute(select(func.count()).where(connect_links.c.sealed.is_not(None))).scalar_one() == 0


def test_in_your_own_program(world: World) -> None:
    """Below a prefix of somebody else's application, on a loop of theirs."""
    links = Routes.of(world.engine, Settings.load(world.env, world.aura.work))
    assert links is not None
    app = web.Application()
    app.add_subapp("/hooks", make_app(world.engine, {"web": "whsec_test_own"}, links=links))
    with loopback.serving(app) as base:
        made = world.connect("github", "--link", "--no-wait", "--public-url", f"{base}/hooks")
        assert (made.exit, made.err) == (0, "")
        provider, cookie = out(made.out.strip())
        assert "GitHub is connected" in back(consent(provider), cookie).text


def test_an_address_that_leads_elsewhere(world: World) -> None:
    """A link is looked at once it is made: where its page is not there, or cannot be reached from here, it is said."""
    for base, told in ((f"{world.providers}/x", "there is no link (404)"), (f"http://127.0.0.1:{free_port()}", "could not be looked at")):
        made = world.connect("github", "--link", "--no-wait", "--public-url", base)
        assert (made.exit, told in made.err) == (0, True), made.err


def test_a_listener_without_a_key(world: World, database_url: str) -> None:
    """Where nothing could be sealed there is no /connect/."""
    with serving(world.aura, database_url, env={**world.env, "INTEGRATION_ENCRYPTION_KEY": ""}) as served:
        assert visit(f"http://127.0.0.1:{served.port}/connect/{'0' * 64}").text == "404: Not Found"


def test_no_public_address(world: World) -> None:
    """A link needs to be somewhere: said before one is made, also by -n."""
    for more in ((), ("-n",)):
        done = world.connect("github", "--link", *more, env={"NEXT_PUBLIC_APP_URL": ""})
        assert (done.exit, "AURA_PUBLIC_URL" in done.err) == (4, True)
    done = world.connect("github", "--link", "--public-url", "http://hooks.example.com")
    assert (done.exit, "no https address" in done.err) == (4, True)
    foreseen = world.connect("github", "--link", "-n", "--json", "--public-url", "https://hooks.example.com/").json
    assert foreseen["redirect_uri"] == "https://hooks.example.com/connect/callback/github"
    for way in (["--link"], ["--paste", "-n"]):  # a provider that takes https alone would refuse it in front of the person
        done = world.connect("slack", "--public-url", "http://127.0.0.1:8787", *way)
        assert (done.exit, "Slack takes https addresses alone" in done.err, "AURA_PUBLIC_URL" in done.err) == (4, True, True), done.err
