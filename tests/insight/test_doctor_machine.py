"""What doctor sees of the machine it runs on: files, certificates, disks and clocks."""

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from aura_cli.insight.checks import clock, disk
from tests.parts.program import Aura
from tests.parts.secured import front, made_trust
from tests.parts.service import free_port
from tests.parts.upstash import answering


def test_files_that_others_can_read(aura: Aura) -> None:
    """The file with the settings, and the data directory, with the command that mends it."""
    file = aura.work / ".env.local"
    file.write_text("AURA_ENV=development\n")
    file.chmod(0o644)
    Path(aura.environment["AURA_HOME"]).chmod(0o755)
    told = aura("doctor", "--only", "files", "--json")
    assert [(one["state"], one["fix"]) for one in told.json["findings"]][:2] == [
        ("warn", f"chmod 600 {file}"),
        ("warn", f"chmod 700 {aura.environment['AURA_HOME']}"),
    ]
    file.chmod(0o600)
    Path(aura.environment["AURA_HOME"]).chmod(0o700)
    assert aura("doctor", "--only", "files").out.startswith(f"ok    files        read from {file}")


def test_a_certificate_that_ends_soon(aura: Aura, tmp_path: Path) -> None:
    """Of the web app's address; one that nobody here trusts is a failure, too."""
    trust = made_trust(tmp_path)
    with front(trust) as end, answering(b"HTTP/1.1 204 No Content\r\n\r\n") as plain:
        end.target = int(plain.rpartition(":")[2])
        env = {"AURA_ENV": "development", "NEXT_PUBLIC_APP_URL": end.base}
        believed = aura("doctor", "--only", "tls", "--json", env={**env, "SSL_CERT_FILE": str(trust.authority)}).json
        unknown = aura("doctor", "--only", "tls", "--json", env=env).json
        nowhere = aura("doctor", "--only", "tls", "--json", env={**env, "SSL_CERT_FILE": "/nowhere.pem"}).json
    assert believed["findings"][1]["detail"] == f"the certificate of {end.base} ends in 0 days"
    assert "CERTIFICATE_VERIFY_FAILED" in unknown["findings"][1]["detail"]
    assert nowhere["findings"][0]["detail"].startswith("the trusted authorities cannot be loaded")
    assert [one["failed"] for one in (believed, unknown, nowhere)] == [["tls"]] * 3


def test_a_certificate_is_shown_in_the_handshake(aura: Aura, tmp_path: Path) -> None:
    """Who hangs up once, and after the handshake never answers, has shown it: that is no failure of TLS."""
    trust, context = made_trust(tmp_path), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trust.certificate, trust.key)

    def shy() -> None:
        with suppress(OSError):
            listening.accept()[0].close()
            raw, _ = listening.accept()
            raw.settimeout(20)
            with context.wrap_socket(raw, server_side=True) as outer:
                while outer.recv(65_536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        thread = threading.Thread(target=shy)
        thread.start()
        base = f"https://127.0.0.1:{listening.getsockname()[1]}"
        env = {"AURA_ENV": "development", "NEXT_PUBLIC_APP_URL": base, "SSL_CERT_FILE": str(trust.authority)}
        told = aura("doctor", "--only", "tls", "--json", env=env).json
        thread.join()
    assert told["findings"][1]["detail"] == f"the certificate of {base} ends in 0 days"
    assert told["took_ms"] < 5_000


def test_a_fix_is_pasted_as_it_is(aura: Aura) -> None:
    """A shell takes a place's name, and an address, as one word."""
    strange = f"https://127.0.0.1:{free_port()}/a;b"
    told = aura("doctor", "--only", "tls", "--json", env={"AURA_ENV": "development", "NEXT_PUBLIC_APP_URL": strange})
    assert told.json["findings"][1]["fix"] == f"curl -sSI '{strange}'"
    assert disk.room(Path("/my data"), 1).fix == "du -xh '/my data' | sort -h | tail"


MOUNTS = """overlay / overlay rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/sda1 /data ext4 rw 0 0
/dev/sdb1 /with\\040space xfs rw 0 0
tmpfs /data/scratch tmpfs rw 0 0
/dev/sdc1 /tmp ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/home", "overlay"),
        ("/data/aura", "ext4"),
        ("/data/scratch/x", "tmpfs"),
        ("/with space", "xfs"),
        ("/tmp", "ext4"),
        ("/database", "overlay"),
    ],
)
def test_the_kind_of_disk(place: str, kind: str) -> None:
    """The mount that is nearest, and of two at one place the later."""
    assert disk.kind_of(Path(place), MOUNTS) == kind


def judged(*clocks: tuple[str, float]) -> list[tuple[str, str]]:
    return [(one.state, one.detail) for one in clock.compare(clocks)]


def test_whose_clock_is_wrong() -> None:
    """This machine's where most say so; else the one that differs."""
    assert judged() == []
    assert judged(("Stripe", 1), ("Privy", -2), ("the database", 0)) == [("ok", "within 1 s of Privy, Stripe, the database")]
    assert judged(("Stripe", 90), ("Privy", 91)) == [("warn", "this machine's clock is 90 s slow, say Privy, Stripe")]
    assert judged(("Stripe", -600), ("Privy", -601), ("the database", 0)) == [
        ("fail", "this machine's clock is 10 min fast, say Privy, Stripe, the database")
    ]
    assert judged(("Stripe", 0), ("Privy", 1), ("the database", 300))[1:] == [("warn", "the clock of the database is 5 min fast")]
