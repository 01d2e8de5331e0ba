"""The stand-in of all providers in this process, to be looked into, and people who are connected with it without a browser."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import integrations, users
from aura_cli.integrations.catalogue import Catalogue, load
from aura_cli.integrations.provider import ACCESS
from aura_cli.integrations.tables import connections
from aura_cli.sandbox.credentials import provider_variables
from aura_cli.sandbox.faults import Faults, fault_middleware
from aura_cli.sandbox.providers.addresses import override, write
from aura_cli.sandbox.providers.app import error_body, make_app
from aura_cli.sandbox.providers.state import Consent, Mishap, ProvidersState
from aura_cli.sandbox.providers.tokens import consented
from aura_cli.settings import Secret
from aura_cli.vault.keyring import Key, KeyRing
from tests.parts.loopback import serving
from tests.parts.program import Aura, Completed

KEY = "test-key-for-the-providers-0001"
LAPSED = timedelta(minutes=-1)


@cache
def key_ring(current: str = KEY, **retired: str) -> KeyRing:
    """The keys as the program has them; each is derived once, which takes 50 ms."""
    return KeyRing(Key("current", Secret(current)), tuple(Key(label, Secret(text)) for label, text in retired.items()))


@dataclass
class Town:
    """People connected at the stand-in, whose `state` and `faults` a test may change; `town("refresh")` is `aura integrations refresh`."""

    aura: Aura
    engine: Engine
    state: ProvidersState
    faults: Faults
    base: str
    env: dict[str, str]
    vault: KeyRing = field(default_factory=key_ring)

    def __call__(self, *args: str, **named: Any) -> Completed:
        return self.aura("integrations", *args, env={**self.env, **named.pop("env", {})}, **named)

    def refresh(self, *args: str, exit: int = 0, **named: Any) -> Any:  # noqa: A002
        """`aura integrations refresh … --json`, which must end with `exit`, parsed."""
        done = self("refresh", *args, "--json", **named)
        assert done.exit == exit, (done.exit, done.out, done.err)
        return done.json

    @property
    def home(self) -> Path:
        return Path(self.aura.environment["AURA_HOME"])

    @property
    def spool(self) -> list[Path]:
        """Answers that are not in the database."""
        folder = self.home / "spool"
        return sorted(path for path in folder.iterdir() if path.suffix != ".part") if folder.exists() else []

    def people(self, count: int) -> list[str]:
        """So many users; their ids."""
        rows = [{"privy_user_id": f"did:privy:{number}", "email": f"person{number}@example.com"} for number in range(count)]
        with writing(self.engine) as connection:
            connection.execute(users.insert(), rows)
            return list(connection.execute(select(users.c.id).order_by(users.c.privy_user_id)).scalars())

    def connect(self, provider: str, who: list[str], *, expires: timedelta | None = LAPSED, **columns: Any) -> list[str]:
        """Give each of them a row as a consent leaves it, the access token ending in `expires`; the rows' ids, in that order."""
        known = self.state.catalogue.get(provider)
        rows = []
        for user in who:
            tokens = self.tokens(consented(self.state, known, f"account-of-{user[:8]}", ("read",))) if known.oauth else self.other()
            rows.append({"user_id": user, "provider": known.provider, **tokens, **self._ending(expires), **columns})
        with writing(self.engine) as connection:
            return [str(connection.execute(integrations.insert().values(row).returning(integrations.c.id)).scalar_one()) for row in rows]

    def tokens(self, consent: Consent) -> dict[str, Any]:
        """Columns with a consent's tokens, sealed, wherever its provider keeps them."""
        known = self.state.catalogue.get(consent.provider)
        place = known.oauth.refresh.place if known.oauth else "refresh_token"
        given = {ACCESS: self.state.issue(consent, refresh=False, lifetime=3600)}
        given[place] = self.state.issue(consent, refresh=True, lifetime=None)
        columns = {name: self.vault.seal(text) for name, text in given.items() if "." not in name}
        kept = {name.partition(".")[2]: self.vault.seal(text) for name, text in given.items() if "." in name}
        return {"access_token": None, "refresh_token": None, **columns, "metadata": kept or None}

    def other(self) -> dict[str, Any]:
        """Columns with a token that no consent gave."""
        return {"access_token": self.vault.seal("sandbox-access-none"), "refresh_token": None, "metadata": None}

    def row(self, id_: str) -> Any:
        """A row as the web app sees it."""
        with reading(self.engine) as connection:
            return connection.execute(select(integrations).where(integrations.c.id == id_)).one()

    def known(self, id_: str) -> Any:
        """What is known of a row here; None for nothing."""
        with reading(self.engine) as connection:
            return connection.execute(select(connections).where(connections.c.integration_id == id_)).first()

    def secret(self, id_: str, place: str = "refresh_token") -> str:
        """What a row holds, opened."""
        return self.vault.open(getattr(self.row(id_), place))

    def change(self, id_: str, **columns: Any) -> None:
        """What the web app does to a row."""
        with writing(self.engine) as connection:
            connection.execute(integrations.update().where(integrations.c.id == id_).values(**columns))

    def lapse(self, *ids: str) -> None:
        """Let access tokens run out."""
        for id_ in ids:
            self.change(id_, token_expiry=datetime.now(UTC) + LAPSED)

    def order(self, kind: str, *, times: int = 1, value: Any = None, provider: str | None = None, request: str | None = None) -> None:
        """Trouble for the next requests; see the stand-in's mishaps."""
        self.state.mishaps.append(Mishap(kind, provider, request, times, value))

    def redirect(self, provider: str, base: str) -> None:
        """Let that provider's tokens come from `base`/token."""
        keys = override(self.state.catalogue.get(provider), base) | {("oauth", "token_url"): f"{base}/token"}
        (self.home / "providers" / f"{provider}.toml").write_text("".join(f"{'.'.join(key)} = {value!r}\n" for key, value in keys.items()))

    def sandbox(self, path: str) -> Any:
        """Ask the stand-in something of its own."""
        with urllib.request.urlopen(f"{self.base}/_sandbox/{path}", timeout=15) as answer:
            return json.loads(answer.read())

    def asked(self, request: str = "refresh") -> int:
        """How many such requests the stand-in has seen."""
        return sum(one["request"] == request for one in self.state.journal)

    def _ending(self, expires: timedelta | None) -> dict[str, Any]:
        return {"token_expiry": None if expires is None else datetime.now(UTC) + expires}


@contextmanager
def town_of(aura: Aura, engine: Engine, database_url: str, catalogue: Catalogue | None = None) -> Iterator[Town]:
    """A stand-in of its own, and the program led to it."""
    catalogue = catalogue or load()
    variables = provider_variables(catalogue.providers.values())
    state, faults = ProvidersState(catalogue, variables), Faults()
    with serving(make_app(state, [fault_middleware(faults, error_body)])) as base:
        home = Path(aura.environment["AURA_HOME"])
        write(catalogue.providers, base, home / "providers")
        env = {
            **variables,
            "AURA_ENV": "development",
            "AURA_PROVIDERS_DIR": str(home / "providers"),
            "DATABASE_URL": database_url,
            "INTEGRATION_ENCRYPTION_KEY": KEY,
        }
        yield Town(aura, engine, state, faults, base, env)
