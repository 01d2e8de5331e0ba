"""Every provider of the catalogue from connecting to disconnecting: the program as a person runs it, against the stand-in, on SQLite.

What is done with a provider follows from its file alone. Each is connected in its usual way; whole runs (make test-all) also connect
it in every other way that it has.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select

from aura_cli.db.engine import connect, reading
from aura_cli.db.shared import integrations, users
from aura_cli.integrations.catalogue import load
from aura_cli.integrations.provider import Provider
from aura_cli.integrations.ways import Way, usual_way, ways
from aura_cli.sandbox.run import Sandbox, opened
from aura_cli.vault.sealing import looks_sealed
from tests.integrations.connecting import consent, visit
from tests.parts.loopback import plain_client
from tests.parts.program import Aura, Completed
from tests.parts.sampling import sample
from tests.parts.service import free_port

PROVIDERS = load().providers
PUBLIC = "https://hooks.example.com"


def without_listener(way: Way) -> Way:
    """A link needs a listener; what it leads to is the same consent, its answer pasted."""
    return Way.PASTE if way is Way.LINK else way


def others(provider: Provider) -> set[Way]:
    """The other ways of a provider. A consent comes back to this machine only where that is usual; there, to paste it is no other way."""
    left_out = {Way.PASTE, Way.LINK} if usual_way(provider) is Way.LOOPBACK else {Way.LOOPBACK}
    return {without_listener(way) for way in set(ways(provider)) - left_out}


USUAL = [(name, without_listener(usual_way(one))) for name, one in PROVIDERS.items()]
OTHERS = [(name, way) for name, one in PROVIDERS.items() for way in sorted(others(one)) if (name, way) not in USUAL]


@dataclass
class Bench:
    """A sandbox with its people, and the program in it."""

    aura: Aura
    env: dict[str, str]
    engine: Engine
    people: list[str]
    http: httpx.Client

    def __call__(self, *words: str, **named: Any) -> Completed:
        return self.aura("integrations", *words, env=self.env, **named)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return self.aura.start("integrations", *words, env=self.env, stdin=subprocess.PIPE)

    def about(self, provider: str) -> dict[str, Any]:
        """What may be typed, and whose it is."""
        found: dict[str, Any] = self.http.get(f"/_sandbox/providers/{provider}").raise_for_status().json()
        return found

    def row(self, person: str) -> dict[str, Any] | None:
        """The person's one connection."""
        with reading(self.engine) as connection:
            found = connection.execute(select(integrations).where(integrations.c.user_id == person)).mappings().all()
        assert len(found) < 2
        return dict(found[0]) if found else None

    def asked(self, row: str, request: str) -> list[int]:
        """The statuses that requests of one kind were answered with; of the providers of one row, which the first of them stands for."""
        seen = self.http.get("/_sandbox/requests", params={"provider": row}).json()
        return [one["status"] for one in seen if one["request"] == request]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("matrix")
    for name in ("home", "data", "work"):
        (folder / name).mkdir()
    with opened(Sandbox(users=400, seed=11, now=int(time.time()), drift=False)) as (env, _, addresses):
        engine = connect(env["DATABASE_URL"])
        with reading(engine) as connection:
            people = list(connection.execute(select(users.c.id).order_by(users.c.privy_user_id)).scalars())
        with plain_client(base_url=addresses.providers) as http:
            yield Bench(Aura(folder), env, engine, people, http)
        engine.dispose()


@pytest.mark.parametrize(("name", "way"), sample(USUAL, 16, seed=4), ids=str)
def test_from_connecting_to_disconnecting(bench: Bench, name: str, way: Way) -> None:
    """Connect, stored sealed, listed with the account's label, verified, refreshed where it can be, revoked where it can be, gone."""
    run(bench, PROVIDERS[name], way, bench.people[list(PROVIDERS).index(name)])


@pytest.mark.whole
@pytest.mark.parametrize(("name", "way"), OTHERS, ids=str)
def test_in_every_other_way(bench: Bench, name: str, way: Way) -> None:
    """The same, connected in another way than usual."""
    run(bench, PROVIDERS[name], way, bench.people[len(PROVIDERS) + OTHERS.index((name, way))])


def run(bench: Bench, provider: Provider, way: Way, person: str) -> None:
    """One provider's whole life in `aura`."""
    about, by_hand = bench.about(provider.id), way is Way.CREDENTIALS
    connected = good(by_way(bench, provider, way, person))
    label = about["by_hand" if by_hand else "consent"]["label"]
    assert label
    assert json.loads(connected.out)["label"] == label
    before = sealed(bench.row(person))
    assert not any(secret in json.dumps(bench.row(person), default=str) for secret in secrets(provider, about))

    listed = good(bench("list", person, "--json")).json
    assert [(one["provider"], one["label"], one["health"]) for one in listed] == [(provider.provider, label, "ok")]

    verified = good(bench("verify", person, "--json")).json
    assert [(one["result"], one["label"]) for one in verified] == [("good", label)]

    refreshed = good(bench("refresh", person, "--force", "--json")).json
    renewable = renews(provider, way)
    assert (refreshed["due"], refreshed["refreshed"]) == (renewable, renewable)
    assert (sealed(bench.row(person)) != before) is bool(renewable)
    if renewable:
        good(bench("verify", person, "--json"))

    revokes = len(bench.asked(provider.provider, "revoke"))
    ended = good(bench("disconnect", provider.id, "--user", person, "--yes", "--json")).json
    assert bench.row(person) is None
    request = (provider.credentials.revoke if provider.credentials else None) if by_hand else provider.oauth and provider.oauth.revoke
    assert ended["revoked"] == ("yes" if request else "not offered")
    assert bench.asked(provider.provider, "revoke")[revokes:] == ([200] if request else [])
    assert bench("list", person, "--json").json == []


def by_way(bench: Bench, provider: Provider, way: Way, person: str) -> Completed:
    """Connect as a person would, the browser's part played."""
    about = bench.about(provider.id)["credentials"]
    given = [word for key, one in provider.fields.items() if one.default is None for word in ("--set", f"{key}={about[key]}")]
    words = ["connect", provider.id, "--user", person, "--json", "--public-url", PUBLIC]
    match way:
        case Way.CREDENTIALS:
            return bench(*words, "--credentials", "-", input=json.dumps(about))
        case Way.CLIENT_CREDENTIALS:
            return bench(*words, *given)
        case Way.DEVICE:
            with bench.start(*words, *given, "--device") as process:
                typed = said(process, r"\b([B-Z]{4}-[B-Z]{4})\b")
                bench.http.post("/_sandbox/device", json={"user_code": typed, "decision": "allow"}).raise_for_status()
                return ended(process)
        case Way.PASTE:
            with bench.start(*words, *given, "--paste") as process:
                return ended(process, consent(said(process, r"^\s*(https?://\S+)$")))
    assert provider.oauth
    assert provider.oauth.redirect
    free = provider.oauth.redirect.rule != "any_port" and provider.oauth.redirect.port is None
    port = ["--port", str(free_port())] if free else []
    with bench.start(*words, *given, *port, "--no-browser") as process:
        page = visit(consent(said(process, r"^\s*(https?://\S+)$")))
        done = ended(process)
        assert page.status == 200, page.text
        return done


def said(process: "subprocess.Popen[str]", pattern: str) -> str:
    """Wait for what a pattern finds on standard error."""
    assert process.stderr
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(pattern, line.rstrip("\n")):
            return found[1]
    raise AssertionError("".join(lines))


def ended(process: "subprocess.Popen[str]", text: str | None = None) -> Completed:
    """Give it `text`, and wait for its end."""
    out, err = process.communicate(text, timeout=90)
    return Completed(process.returncode, out, err)


def good(done: Completed) -> Completed:
    assert done.exit == 0, f"exit {done.exit}\n{done.err}\n{done.out}"
    return done


def sealed(row: dict[str, Any] | None) -> list[str]:
    """Every sealed value of a row; none but sealed ones stand in its two columns."""
    assert row
    columns = [row[name] for name in ("access_token", "refresh_token") if row[name]]
    found = [*columns, *(value for value in (row["metadata"] or {}).values() if isinstance(value, str) and looks_sealed(value))]
    assert found
    assert all(looks_sealed(value) for value in columns)
    return found


def secrets(provider: Provider, about: dict[str, Any]) -> list[str]:
    """What no row may hold in the clear."""
    fields = {**provider.fields, **(provider.credentials.fields if provider.credentials else {})}
    return ["sandbox-access-", "sandbox-refresh-", *(about["credentials"][name] for name, one in fields.items() if one.secret)]


def renews(provider: Provider, way: Way) -> int:
    """How many connections a forced refresh renews: by its refresh token, or by logging in again."""
    if way is Way.CREDENTIALS:
        return int(provider.credentials is not None and provider.credentials.login is not None)
    assert provider.oauth
    return int(provider.oauth.refresh.mode != "never" or way is Way.CLIENT_CREDENTIALS)
