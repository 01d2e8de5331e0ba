"""Sealing against Node's own crypto: what either seals the other opens, through the rows of a database and its rotation, too."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from aura_cli.db.engine import reading, writing
from aura_cli.db.shared import integrations, users
from aura_cli.settings import Secret
from aura_cli.vault.keyring import Key, KeyRing
from aura_cli.vault.sealing import Unreadable, looks_sealed
from tests.parts.outside import Outside, node_script
from tests.parts.program import Aura

KEY, NEW = "contract, the 'web app'’s key = 1", "contract-new-key-0002"
TOKENS = 1_000
ALPHABETS = ("abcdefXYZ0123456789-._~+/=", "äßéñøπЖ漢字仮名", "🔑🦉👩‍👩‍👧", '\n\t\x00\x7f"\\\u2028', "\ud800\udfff")


def tokens() -> list[str]:
    """As many, empty and of one character among them, of every alphabet up to a few thousand characters."""
    chance = random.Random(1)
    made = ["", "x", "🔑", "\ud83d\udd11", "\ufeffmark", "é" * 5_000]
    while len(made) < TOKENS:
        letters = chance.choice(ALPHABETS)
        made.append("".join(chance.choices(letters, k=min(int(chance.expovariate(0.01)), 4_000))))
    return made


def as_node(text: str) -> str:
    """The text as JavaScript's strings go through UTF-8: pairs joined, halves of them replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def ask(node: Outside, op: str, texts: Sequence[str]) -> list[str | None]:
    """What Node makes of each."""
    found = []
    for text in texts:
        node.tell({"op": op, "text": text})
        found.append(node.hear())
    return found


def ring(secret: str) -> KeyRing:
    return KeyRing(Key("current", Secret(secret)), ())


@pytest.fixture(scope="module")
def web_app() -> Iterator[Outside]:
    """The web app's side, under the key."""
    with node_script("vault.mjs", secret=KEY) as running:
        yield running


def test_a_thousand_tokens_both_ways(web_app: Outside) -> None:
    """What Node seals opens here, what is sealed here Node opens; the same shape, and each text once more than it was."""
    texts, ours = tokens(), ring(KEY)
    theirs = ask(web_app, "seal", texts)
    assert all(sealed is not None and looks_sealed(sealed) for sealed in theirs)
    assert [ours.open(str(sealed)) for sealed in theirs] == [as_node(text) for text in texts]
    made = [ours.seal(text) for text in texts]
    assert all(sealed == sealed.lower() and looks_sealed(sealed) for sealed in made)
    assert [len(sealed) for sealed in made] == [len(str(sealed)) for sealed in theirs]
    assert ask(web_app, "open", made) == [as_node(text) for text in texts]


def test_neither_opens_what_is_damaged(web_app: Outside) -> None:
    """A digit changed anywhere, or another key, is an error on both sides; capital digits are none."""
    ours = ring(KEY)
    sealed = ours.seal("a token of some length")
    chance = random.Random(2)
    for place in chance.sample([at for at, letter in enumerate(sealed) if letter != ":"], 40):
        broken = sealed[:place] + chance.choice("0123456789abcdef".replace(sealed[place], "")) + sealed[place + 1 :]
        assert ask(web_app, "open", [broken]) == [None]
        with pytest.raises(Unreadable):
            ours.open(broken)
    foreign = ring(NEW).seal("x")
    assert ask(web_app, "open", [foreign, sealed.upper()]) == [None, "a token of some length"]
    assert ours.opened_by(foreign) is None
    assert ours.open(sealed.upper()) == "a token of some length"


def test_rows_change_their_key_under_the_web_app(web_app: Outside, engine: Engine, database_url: str, aura: Aura, tmp_path: Path) -> None:
    """Rows that Node sealed, rotated by the command, are what another Node under the new key opens; undone, the old one does again."""
    texts = [text for text in tokens()[:60] if "\x00" not in text and text.isprintable()]
    sealed = [str(one) for one in ask(web_app, "seal", texts)]
    with writing(engine) as connection:
        user = connection.execute(users.insert().values(privy_user_id="did:privy:one").returning(users.c.id)).scalar_one()
        rows = [{"user_id": user, "provider": f"slack-{n}", "access_token": one, "metadata": {"n": n}} for n, one in enumerate(sealed)]
        connection.execute(integrations.insert(), rows)
    (tmp_path / "new").write_text(NEW)
    before = {"DATABASE_URL": database_url, "AURA_ENV": "development", "INTEGRATION_ENCRYPTION_KEY": KEY}
    after = {**before, "INTEGRATION_ENCRYPTION_KEY": NEW, "AURA_RETIRED_ENCRYPTION_KEYS": f'{{"first": "{KEY}"}}'}

    def stored() -> list[str]:
        i = integrations.c
        with reading(engine) as connection:
            return list(connection.execute(select(i.access_token).order_by(i.provider)).scalars())

    order = sorted(range(len(texts)), key=lambda n: f"slack-{n}")
    expected = [texts[n] for n in order]
    staged = aura("keys", "rotate", "--stage", "--new-key-file", str(tmp_path / "new"), env=before)
    assert (staged.exit, ask(web_app, "open", stored())) == (0, expected), staged.err
    switched = aura("keys", "rotate", "--switch", env=after)
    assert switched.exit == 0, switched.err
    assert ask(web_app, "open", stored()) == [None] * len(texts)
    with node_script("vault.mjs", secret=NEW) as deployed:
        assert ask(deployed, "open", stored()) == expected
    undone = aura("keys", "rotate", "--undo", env=after)
    assert (undone.exit, stored()) == (0, [sealed[n] for n in order]), undone.err
