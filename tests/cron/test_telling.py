"""Alerts by mail and into a chat, and figures for Prometheus."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aura_cli.cron.alerts import Alert, recipients, send
from aura_cli.db.engine import writing
from aura_cli.settings import Settings
from tests.cron.conftest import USERS, Clockwork, chat_listening
from tests.parts.resend import post
from tests.parts.service import free_port

BROKEN = 200, b"<html>Bad gateway</html>"
ALERT = Alert("aura (staging): reconcile failed", ["Why it did.", "Exit 7"], "aura-alert/reconcile/1")
REFUSING = {  # a table that takes no rows, and says so
    "sqlite": ["CREATE TRIGGER refusing BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'not today'); END"],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not today''; END'",
        "CREATE TRIGGER refusing BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}
NOBODY = f"http://127.0.0.1:{free_port()}/services/hush-hush"


def settings(tmp_path: Path, to: str, **more: str) -> Settings:
    return Settings.load({"AURA_ALERT_TO": to, "HOME": str(tmp_path), **more}, tmp_path)


def test_a_mail_through_resend(clockwork: Clockwork) -> None:
    """An address gets a mail from the configured sender, with a key by which the same goes out once."""
    clockwork.privy.replaced[0] = BROKEN
    with post() as resend:
        env = {**resend.env, "AURA_ALERT_TO": "oncall@example.com", "FROM_EMAIL": "AURA <noreply@example.com>"}
        assert clockwork("run", "users-sync", **env).exit == 7
        (mail,) = resend.mails
        (sent,) = [entry for entry in resend.state.journal if entry.method == "POST"]
    assert list(mail.message.to) == ["oncall@example.com"]
    assert mail.message.subject.startswith("aura (development): users-sync failed: Privy")
    assert (sent.key or "").startswith("aura-alert/users-sync/")


def test_several_are_told(tmp_path: Path) -> None:
    """Addresses and chats, with commas between; who cannot be reached keeps no other from it."""
    with post() as resend, chat_listening() as chat:
        about = settings(tmp_path, f"oncall@example.com, {NOBODY},{chat.url}", **resend.env)
        assert len(recipients(about)) == 3
        assert send(about, ALERT) == ["The alert could not be delivered: nobody was reached there"]
        assert (len(resend.mails), [one["text"] for one in chat.said]) == (1, [ALERT.text])


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("oncall@example.com", "RESEND_API_KEY is not set"),
        ("not an address", "RESEND_API_KEY is not set"),
        ("http://chat.example.com/hush-hush", "without https"),
        ("ftp://chat.example.com/hush-hush", "without https"),
        ("https:///hush-hush", "could not be delivered"),
        ("https://[/hush-hush", "could not be delivered"),
    ],
)
def test_whom_nobody_reaches(tmp_path: Path, to: str, said: str) -> None:
    """Why is said without the address, which is a credential, and nothing is raised."""
    (trouble,) = send(settings(tmp_path, to), ALERT)
    assert (said in trouble, "hush-hush" in trouble) == (True, False), trouble


def test_a_chat_that_takes_nothing(clockwork: Clockwork) -> None:
    """The job's exit code stays what it is, and the webhook's address, which is a credential, is not in the message."""
    clockwork.privy.replaced[0] = BROKEN
    clockwork.chat.status = 404
    done = clockwork("run", "users-sync")
    assert (done.exit, "The alert" in done.err, "hush-hush" in done.err) == (7, True, False), done.err


def test_who_could_not_be_told_is_told_by_the_next_run(clockwork: Clockwork) -> None:
    """A chat that was away when a job first failed hears of it, once, from a later run of the same kind; and that it is well again."""
    clockwork.privy.replaced[0] = BROKEN
    clockwork.chat.status = 404
    assert clockwork("run", "users-sync").exit == 7
    clockwork.chat.said.clear()
    clockwork.chat.status = 200
    assert [clockwork("run", "users-sync").exit for _ in range(2)] == [7, 7]
    clockwork.privy.replaced.clear()
    assert [clockwork("run", "users-sync").exit for _ in range(2)] == [0, 0]
    failed, well = clockwork.chat.subjects
    assert (failed.startswith("users-sync failed: Privy"), well) == (True, "users-sync is well again")


def test_what_needs_attention_is_said_once(clockwork: Clockwork) -> None:
    """A clock mails whatever is said: what was told before keeps its exit code, and is silent."""
    assert clockwork("run", "users-sync").exit == 0
    clockwork.privy.users = USERS[:229]
    done = [clockwork("run", "users-sync") for _ in range(2)]
    assert ([one.exit for one in done], bool(done[0].err), done[1].err) == ([3, 3], True, "")
    assert len(clockwork.chat.said) == 1


def test_an_error_of_several_lines(clockwork: Clockwork) -> None:
    """As a database's are: its first line is the mail's subject, in which Resend takes one, and the others are told."""
    with writing(clockwork.engine) as connection:
        for statement in REFUSING[connection.dialect.name]:
            connection.exec_driver_sql(statement)
    with post() as resend:
        done = clockwork("run", "users-sync", **resend.env, AURA_ALERT_TO="oncall@example.com", FROM_EMAIL="AURA <noreply@example.com>")
    assert done.exit == 1, done.err
    (mail,) = resend.mails
    assert "users-sync failed: " in mail.message.subject
    assert "[SQL" in (mail.message.text or "")


def test_who_is_configured_later_hears_of_it(clockwork: Clockwork) -> None:
    """A failure that nobody was to be told of is told once somebody is; until then a clock's mail says it once."""
    assert clockwork("run", "users-sync", AURA_ALERT_TO="").exit == 0
    clockwork.privy.users = USERS[:229]
    done = [clockwork("run", "users-sync", AURA_ALERT_TO="") for _ in range(2)]
    assert ([one.exit for one in done], done[1].err) == ([3, 3], "")
    assert [clockwork("run", "users-sync").exit for _ in range(2)] == [3, 3]
    assert len(clockwork.chat.said) == 1
    clockwork.privy.users = USERS
    assert clockwork("run", "users-sync", AURA_ALERT_TO="").exit == 0
    assert clockwork("run", "users-sync").exit == 0
    assert len(clockwork.chat.said) == 1


def test_nobody_is_to_be_told(tmp_path: Path) -> None:
    """Without AURA_ALERT_TO nothing is sent."""
    assert send(settings(tmp_path, " , "), ALERT) == []


def metrics(path: Path) -> dict[str, dict[tuple[str, ...], float]]:
    """What Prometheus reads: name → label values → value."""
    families = text_string_to_metric_families(path.read_text())
    return {one.name: {tuple(sample.labels.values()): sample.value for sample in one.samples} for one in families}


def test_figures_for_prometheus(clockwork: Clockwork, tmp_path: Path) -> None:
    """Times, duration, exit code and counts, in a file that others may read; after a failure the last success stays what it was."""
    path = tmp_path / "aura-users-sync.prom"
    before = datetime.now(UTC).timestamp()
    assert clockwork("run", "users-sync", "--metrics-file", str(path)).exit == 0
    well = metrics(path)
    name = ("users-sync",)
    assert well["aura_job_exit_code"] == {name: 0}
    assert well["aura_job_handled"][("users-sync", "scanned")] == 230
    assert before < well["aura_job_last_run_timestamp_seconds"][name] < before + 60
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    clockwork.privy.replaced[0] = BROKEN
    assert clockwork("run", "users-sync", "--metrics-file", str(path)).exit == 7
    failed = metrics(path)
    assert failed["aura_job_exit_code"] == {name: 7}
    assert failed["aura_job_last_success_timestamp_seconds"] == well["aura_job_last_success_timestamp_seconds"]
    assert failed["aura_job_last_run_timestamp_seconds"][name] > well["aura_job_last_run_timestamp_seconds"][name]
    assert [file.name for file in tmp_path.glob("*prom*")] == [path.name]


def test_figures_that_cannot_be_written(clockwork: Clockwork, tmp_path: Path) -> None:
    """The job has been done, and is noted, by then; a folder is named before anything happens."""
    (tmp_path / "file").touch()
    for folder in ("nowhere", "file"):
        done = clockwork("run", "users-sync", "--metrics-file", str(tmp_path / folder / "x.prom"))
        assert (done.exit, "cannot be written" in done.err) == (4, True), done.err
    assert clockwork.ends == [("users-sync", 0)] * 2
    done = clockwork("run", "users-sync", "--metrics-file", str(tmp_path))
    assert (done.exit, "aura-users-sync.prom" in done.err, len(clockwork.runs)) == (2, True, 2)


def test_the_last_success_outlasts_the_database(clockwork: Clockwork, tmp_path: Path) -> None:
    """What is asked while the database is away is when the job last worked."""
    path = tmp_path / "aura-users-sync.prom"
    assert clockwork("run", "users-sync", "--metrics-file", str(path)).exit == 0
    well = metrics(path)
    away = f"postgresql://aura@127.0.0.1:{free_port()}/aura"
    assert clockwork("run", "users-sync", "--metrics-file", str(path), DATABASE_URL=away).exit == 8
    name = "aura_job_last_success_timestamp_seconds"
    assert (metrics(path)[name], metrics(path)["aura_job_exit_code"]) == (well[name], {("users-sync",): 8})


def test_what_an_alert_has_to_be_pasted(clockwork: Clockwork) -> None:
    """It is about the settings that the job had, and not about those of whoever is woken up."""
    (clockwork.aura.work / "x.env").touch(0o600)
    clockwork.privy.replaced[0] = BROKEN
    assert clockwork("run", "users-sync", "--env-file", "x.env").exit == 7
    (said,) = clockwork.chat.said
    assert said["text"].endswith("; all jobs: aura --env-file x.env cron list")


def test_an_alert_holds_no_secret(clockwork: Clockwork) -> None:
    """What a service says of a key stands in no alert."""
    secret = clockwork.env["PRIVY_APP_SECRET"]
    clockwork.privy.replaced[0] = 400, json.dumps({"error": f"bad secret {secret}"}).encode()
    assert clockwork("run", "users-sync").exit == 7
    assert len(clockwork.chat.said) == 1
    assert secret not in json.dumps(clockwork.chat.said)
    assert secret not in str(clockwork.runs)


def test_an_alert_is_raised_for_nobody_here(tmp_path: Path) -> None:
    """A sender that is none is said, and no mail is made of it."""
    with post() as resend:
        about = settings(tmp_path, "oncall@example.com", **resend.env, FROM_EMAIL="nobody")
        (trouble,) = send(about, ALERT)
    assert "FROM_EMAIL" in trouble


def test_the_address_of_a_chat_is_a_secret(clockwork: Clockwork) -> None:
    """It is masked where settings are shown, with a mail address beside it that is none."""
    both = f"oncall@example.com,{clockwork.chat.url}"
    done = clockwork.aura("env", "show", env={**clockwork.env, "AURA_ALERT_TO": both})
    assert (done.exit, "oncall@example.com,http://****" in done.out, "hush-hush" in done.out + done.err) == (0, True, False), done.out


def test_two_addresses(tmp_path: Path) -> None:
    """Each gets its mail: a key of Resend's stands for one message and no other."""
    with post() as resend:
        assert send(settings(tmp_path, "oncall@example.com,boss@example.com", **resend.env), ALERT) == []
        assert [list(mail.message.to) for mail in resend.mails] == [["oncall@example.com"], ["boss@example.com"]]
