"""No secret gets out: not into what is said, logged or listed, not to Sentry, into no file, process list or shell history."""

import base64
import json
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from aura_cli.settings import KNOWN
from tests.parts.echoing import echoing
from tests.parts.kent import Kent
from tests.parts.program import Aura
from tests.parts.terminal import on_a_terminal

SECRETS = {
    "PRIVY_APP_SECRET": "Canary-privy-app-secret-0000000000",
    "STRIPE_SECRET_KEY": "sk_test_CanaryStripe000000000000",
    "STRIPE_WEBHOOK_SECRET": "whsec_CanaryStripe000000000000",
    "OPENAI_API_KEY": "sk-CanaryOpenAi0000000000000000",
    "OPENROUTER_API_KEY": "",
    "RESEND_API_KEY": "re_CanaryResend0000000000000000",
    "RESEND_WEBHOOK_SECRET": "whsec_Q2FuYXJ5UmVzZW5kMDAwMDAwMDAw",
    "UPSTASH_REDIS_REST_TOKEN": "Canary/upstash+rest token=00000000".replace(" ", "-"),
    "INTEGRATION_ENCRYPTION_KEY": "Canary 'integration' \"encryption\" key é 000",
    "AURA_STRIPE_WEBHOOK_SECRETS": json.dumps({"old": "whsec_CanaryLabelled0000000000"}),
    "AURA_RETIRED_ENCRYPTION_KEYS": json.dumps({"2020": "Canary-retired-encryption-key-00"}),
    "GA_API_SECRET": "Canary/ga+api&secret=000000",
    "VERCEL_TOKEN": "Canary-vercel-token-00000000000",
    "GITHUB_CLIENT_SECRET": "Canary-github-client-secret-0000",
    "LINEAR_CLIENT_SECRET": "Canary-linear-client-secret-0000",
}
PASSWORD = "Canary-database-password-000"
COMMANDS = """
doctor | doctor --json | status | explain someone@example.com | explain evt_1Canary | env check | env check --all --json | env show --all
env show --json | env check --vercel | env bind -n | env bind --yes | users sync | users sync did:privy:cnobody | users show nobody
users list | users verify-token --help | users duplicates --json | subscriptions reconcile | subscriptions reconcile --apply --yes
subscriptions list | webhooks endpoints list | webhooks endpoints create https://aura.example.test/hook --yes | webhooks backfill --since 2h
webhooks work --once --yes | webhooks stats | webhooks send invoice.paid --to http://127.0.0.1:9/hook | integrations providers github --json
integrations list | integrations verify --all | integrations refresh --yes | chat ask hello | email send welcome --to mina@example.com --yes
email templates | ratelimit show chat:203.0.113.7 | ratelimit try chat:203.0.113.7 --yes | ratelimit reset chat:203.0.113.7 --yes
analytics send login --yes | analytics validate login | keys status --json | cron list | cron run users-sync | cron run reconcile
cron run maintenance | cron print | db status | db check | init --from - -n
"""


def spellings(secret: str) -> set[str]:
    """How a secret may stand somewhere: as it is, in an address, in JSON, in Python, in base64."""
    plain = {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return plain | {repr(secret)[1:-1], base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]}


def leaked(text: str) -> set[str]:
    """The names of the secrets that stand in a text, whole or with all but their last characters."""
    known = {**SECRETS, "DATABASE_URL": PASSWORD}
    for name in ("AURA_STRIPE_WEBHOOK_SECRETS", "AURA_RETIRED_ENCRYPTION_KEYS"):
        known[name] = next(iter(json.loads(known[name]).values()))
    known["Basic"] = base64.b64encode(f"testapp000000000000000000:{SECRETS['PRIVY_APP_SECRET']}".encode()).decode()[:40]
    return {name for name, secret in known.items() if secret for one in spellings(secret) if one[:14] in text}


def environment(base: str, database_url: str) -> dict[str, str]:
    """All secrets, and every service at `base`."""
    places = {"STRIPE_API_BASE": "stripe", "PRIVY_API_BASE": "privy", "OPENAI_BASE_URL": "openai", "RESEND_API_URL": "resend"}
    places |= {"UPSTASH_REDIS_REST_URL": "upstash", "GA_API_BASE": "analytics", "VERCEL_API_BASE": "vercel"}
    public = {"NEXT_PUBLIC_PRIVY_APP_ID": "testapp000000000000000000", "NEXT_PUBLIC_GA_MEASUREMENT_ID": "G-TEST0000"}
    public |= {"GITHUB_CLIENT_ID": "an-id", "LINEAR_CLIENT_ID": "an-id", "VERCEL_PROJECT_ID": "prj_test", "AURA_ENV": "development"}
    addresses = {name: f"{base}/{place}" for name, place in places.items()}
    return {**SECRETS, **public, **addresses, "NEXT_PUBLIC_APP_URL": "https://aura.example.test", "DATABASE_URL": database_url}


@contextmanager
def watched() -> Iterator[set[str]]:
    """The command lines of all processes of this machine, looked at all the time."""
    lines: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.03):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    lines.add(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
                except OSError:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lines
    finally:
        over.set()
        thread.join()


def files(*folders: Path) -> Iterator[str]:
    """What stands in every file below; of the names, too."""
    for folder in folders:
        for path in folder.rglob("*"):
            yield str(path)
            if path.is_file():
                yield path.read_bytes().decode("utf-8", "replace")


@pytest.mark.parametrize(("status", "before"), [(400, 0), (400, 258), (401, 0)])
def test_services_that_repeat_what_they_were_sent(aura: Aura, sqlite_database: str, kent: Kent, status: int, before: int) -> None:
    """Every command against them, with --debug: nothing in what it says, in files, in the process list, in Sentry; nobody crashes."""
    with echoing(status, before) as base, watched() as lines:
        env = {**environment(base, sqlite_database), "NEXT_PUBLIC_SENTRY_DSN": kent.dsn}
        assert aura("db", "upgrade", env=env).exit == 0
        said = {}
        for command in COMMANDS.replace("\n", "|").split("|"):
            if words := command.split():
                done = aura(*words, "--debug", env=env, input="" if "init" in words else None, timeout=120)
                said[command.strip()] = done
    assert {command: leaked(done.out + done.err) for command, done in said.items() if leaked(done.out + done.err)} == {}
    assert {command: done.err[-600:] for command, done in said.items() if done.exit == 1} == {}
    assert "****" in said["doctor"].out + said["users sync"].err + said["subscriptions reconcile"].err or status == 401
    assert (leaked("\n".join(lines)), leaked(kent.text()), leaked("\n".join(files(aura.directory)))) == (set(), set(), set())


@pytest.mark.parametrize(
    "url", ["postgresql://aura:{}@127.0.0.1:1/aura", "postgresql://aura:{}@[::1/aura", "mysql://aura:{}@db.example.test/x"]
)
def test_a_database_that_cannot_be_reached(aura: Aura, url: str) -> None:
    """Its password is in no error, however the address is wrong, and not where libpq repeats what it was told."""
    env = environment("http://127.0.0.1:9", url.format(PASSWORD))
    for words in (["db", "status"], ["users", "list", "--json"], ["env", "check"], ["env", "show"], ["users", "list"]):
        done = aura(*words, "--debug", env=env)
        assert (done.exit != 1, leaked(done.out + done.err)) == (True, set()), words


def test_errors_that_nobody_foresaw(aura: Aura, sqlite_database: str, kent: Kent) -> None:
    """In the message, in the cause, in a thread, in a warning, in the log: neither the terminal nor Sentry is told."""
    script = (
        "import json, logging, sys, threading, typer, warnings; from aura_cli import app; app.Root.table['boom'] = 'json:loads'\n"
        "def loads(ctx: typer.Context):\n"
        "    secrets = {n: s.text for n, s in ctx.obj.settings.values.items()}\n"
        "    def fail(): raise ValueError(dict(secrets), *secrets.values())\n"
        "    thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
        "    logging.getLogger('someone').error('%s', secrets)\n"
        "    warnings.warn(str(secrets))\n"
        "    try: fail()\n"
        "    except ValueError as error: raise KeyError(*secrets.values()) from error\n"
        "json.loads = loads; sys.exit(app.run(sys.argv[1:]))"
    )
    env = {**aura.environment, **environment("http://127.0.0.1:9", sqlite_database), "NEXT_PUBLIC_SENTRY_DSN": kent.dsn}
    for words in (["boom"], ["boom", "--debug"], ["boom", "--json", "--debug"]):
        done = subprocess.run([sys.executable, "-c", script, *words], cwd=aura.work, env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, leaked(done.stdout + done.stderr)) == (1, set())
    assert [one["exception"]["values"][-1]["type"] for one in kent.received("event")] == ["ValueError", "KeyError"] * 3
    assert leaked(kent.text()) == set()


def test_the_history_of_a_shell(aura: Aura) -> None:
    """Secrets are typed at prompts, never as words: bash remembers the commands, and neither it nor the screen the secrets."""
    if not Path("/bin/bash").exists():
        pytest.skip("bash is missing: apt install bash")
    typed = {
        "DATABASE_URL": f"postgresql://aura:{PASSWORD}@db.example.test/aura",
        **{name: SECRETS[name] for name in SECRETS if name in KNOWN},
    }
    env = {**aura.environment, "HISTFILE": str(aura.directory / "home" / ".history"), "PS1": "bash> "}
    dialogue = [("bash> ", f"{sys.executable} -m aura_cli init --all\n")]
    dialogue += [(f"\n{name}", f"{typed.get(name, '')}\n") for name in asked()]
    dialogue += [("bash> ", "history\n"), ("bash> ", "exit\n")]
    code, shown = on_a_terminal(["/bin/bash", "--norc", "-i"], env, aura.work, dialogue=dialogue, timeout=60)
    assert (code, "aura_cli init --all" in (aura.directory / "home" / ".history").read_text()) == (0, True), shown
    assert leaked(shown + "\n".join(files(aura.directory / "home", aura.directory / "data"))) == set()
    written = aura.work / ".env.local"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert leaked(written.read_text()) >= {"DATABASE_URL", "STRIPE_SECRET_KEY"}


def asked() -> list[str]:
    from aura_cli.environment.initialising import questions

    return [one.name for one in questions("", everything=True)]
