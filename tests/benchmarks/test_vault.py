"""What sealing and rotation take against the least that the same work can take, both in one run, medians of interleaved rounds."""

import gc
import hashlib
import itertools
import os
import statistics
from collections.abc import Callable, Sequence

import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Engine

from aura_cli.settings import Secret
from aura_cli.vault import sealing
from aura_cli.vault.keyring import Key, KeyRing
from aura_cli.vault.rotating import Step, take
from aura_cli.vault.steps import Work
from tests.benchmarks.figures import Figure, interleaved, seconds, show

TOKENS, OPENINGS = 10_000, 7
ROWS, CHUNK, ROUNDS = 100_000, 10_000, 3
OLD, NEW = "benchmark-old-key-0000", "benchmark-new-key-0000"


def scrypt(secret: str) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=b"salt", n=16384, r=8, p=1, dklen=32)


def test_opening() -> None:
    """10,000 sealed tokens through a new key ring, against one scrypt and AES-GCM over the same bytes."""
    key = scrypt(OLD)
    sealed = [sealing.seal(key, f"token-{number:06}-" + "x" * 80) for number in range(TOKENS)]
    parts = [(bytes.fromhex(iv), bytes.fromhex(text + tag)) for iv, tag, text in (one.split(":") for one in sealed)]

    def least() -> None:
        cipher = AESGCM(scrypt(OLD))
        for iv, content in parts:
            cipher.decrypt(iv, content, None)

    def ours() -> None:
        ring = KeyRing(Key("current", Secret(OLD)), ())
        for one in sealed:
            ring.open(one)

    taken = interleaved({"least": least, "ours": ours}, OPENINGS)
    told = {name: f"{found * 1000:.0f} ms" for name, found in taken.items()}
    work = f"opening {TOKENS:,} sealed tokens"
    show(Figure(work, f"{told['least']} (scrypt, AES-GCM)", told["ours"], taken["ours"] / taken["least"], "≤ 2"))


def fill(url: str, rows: Sequence[tuple[str, str]]) -> None:
    """Connections of one user, two tokens each, and nothing else."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE public.users, aura_ops.rotations, aura_ops.reseals CASCADE")
        connection.execute("UPDATE aura_ops.binding SET key_fingerprint = NULL, other_key = NULL")
        user = connection.execute("INSERT INTO public.users (privy_user_id) VALUES ('did:privy:one') RETURNING id").fetchone()
        assert user
        with connection.cursor().copy(
            "COPY public.integrations (user_id, provider, access_token, refresh_token, metadata) FROM STDIN"
        ) as to:
            for access, refresh in rows:
                to.write_row((user[0], "slack", access, refresh, '{"email": "someone@example.com", "teamName": "Example"}'))
        connection.execute("VACUUM ANALYZE")


LIST = "SELECT id::text, access_token, refresh_token FROM public.integrations ORDER BY id"
WRITE = """UPDATE public.integrations i SET access_token = g.access_after, refresh_token = g.refresh_after FROM raw_reseals g
    WHERE i.id = g.id AND g.id > %s AND g.id <= %s AND i.access_token = g.access_before AND i.refresh_token = g.refresh_before"""
KEPT = "CREATE TABLE raw_reseals (id uuid PRIMARY KEY, access_before text, access_after text, refresh_before text, refresh_after text)"
PLAIN = """UPDATE public.integrations i SET access_token = g.access, refresh_token = g.refresh
    FROM resealed g WHERE g.chunk = %s AND i.id = g.id"""


def resealed(connection: psycopg.Connection, made: list[tuple[str, str, str, str, str]]) -> float:
    """Seconds to read, and for both tokens of every row to be opened and sealed, of which only the latter count."""
    old, new = AESGCM(scrypt(OLD)), AESGCM(scrypt(NEW))

    def again(sealed: str) -> str:
        iv, tag, text = sealed.split(":")
        content = old.decrypt(bytes.fromhex(iv), bytes.fromhex(text + tag), None)
        fresh = os.urandom(16)
        out = new.encrypt(fresh, content, None).hex()
        return f"{fresh.hex()}:{out[-32:]}:{out[:-32]}"

    rows = connection.execute(LIST).fetchall()
    return seconds(lambda: made.extend((number, access, again(access), refresh, again(refresh)) for number, access, refresh in rows))


def least(url: str) -> dict[str, float]:
    """AES, and what a rotation that can be undone has to write: old and new values kept beside the rows, then put where nothing changed."""
    with psycopg.connect(url, prepare_threshold=None) as connection:
        made: list[tuple[str, str, str, str, str]] = []
        aes = resealed(connection, made)

        def write() -> None:
            connection.execute(KEPT)
            for first in range(0, len(made), CHUNK):
                with connection.cursor() as cursor, cursor.copy("COPY raw_reseals FROM STDIN") as to:
                    for row in made[first : first + CHUNK]:
                        to.write_row(row)
                connection.commit()
            connection.execute("ANALYZE raw_reseals (id)")
            ends = ["00000000-0000-0000-0000-000000000000", *(made[last][0] for last in range(CHUNK - 1, len(made), CHUNK))]
            for low, high in itertools.pairwise(ends):
                connection.execute(WRITE, (low, high))
                connection.commit()

        written = seconds(write)
        connection.execute("DROP TABLE raw_reseals")
        return {"aes": aes, "write": written}


def plain(url: str) -> dict[str, float]:
    """The same where nothing is kept: the new values alone, in a temporary table, over whatever stands there."""
    with psycopg.connect(url, prepare_threshold=None) as connection:
        made: list[tuple[str, str, str, str, str]] = []
        aes = resealed(connection, made)

        def write() -> None:
            connection.execute("CREATE TEMP TABLE resealed (chunk int, id uuid, access text, refresh text)")
            for chunk, first in enumerate(range(0, len(made), CHUNK)):
                with connection.cursor() as cursor, cursor.copy("COPY resealed FROM STDIN") as to:
                    for number, _, access, _, refresh in made[first : first + CHUNK]:
                        to.write_row((chunk, number, access, refresh))
                connection.execute(PLAIN, (chunk,))
                connection.commit()

        return {"plain": aes + seconds(write)}


def rotation(engine: Engine) -> dict[str, float]:
    """Staging, and switching with its sweep, as the commands do it."""
    old, new = Key("current", Secret(OLD)), Key("new", Secret(NEW))
    before = Work(engine, KeyRing(old, (new,)), "benchmark")
    after = Work(engine, KeyRing(new, (old,)), "benchmark")
    return {"stage": seconds(lambda: take(before, Step.STAGE, new)), "switch": seconds(lambda: take(after, Step.SWITCH))}


def test_rotating(database: tuple[str, Engine]) -> None:
    """100,000 rows from one key to another, against the two AES operations a token and the set-based write.

    For information: against a rotation that keeps nothing, and so could not be undone.
    """
    url, engine = database
    key = scrypt(OLD)
    rows = [(sealing.seal(key, f"access-{one:06}-" + "x" * 80), sealing.seal(key, f"refresh-{one:06}-" + "y" * 80)) for one in range(ROWS)]
    gc.collect()
    gc.freeze()  # what lies ready would be walked through again and again, which no rotation has to do
    taken: dict[str, list[float]] = {name: [] for name in ("aes", "write", "plain", "stage", "switch")}
    sides: tuple[Callable[[], dict[str, float]], ...] = (lambda: least(url), lambda: rotation(engine), lambda: plain(url))
    for _ in range(ROUNDS):
        for side in sides:
            fill(url, rows)
            for name, found in side().items():
                taken[name].append(found)
    gc.unfreeze()
    middle = {name: statistics.median(found) for name, found in taken.items()}
    limit, ours = middle["aes"] + middle["write"], middle["stage"] + middle["switch"]
    work, told, bare = f"rotating {ROWS:,} rows, two tokens each", f"{ours:.2f} s", middle["plain"]
    show(
        Figure(work, f"{limit:.2f} s (AES {middle['aes']:.2f}, write)", told, ours / limit, "≤ 2"),
        Figure(f"  stage {middle['stage']:.2f}, switch {middle['switch']:.2f}", f"{bare:.2f} s (kept nowhere)", told, ours / bare),
    )
