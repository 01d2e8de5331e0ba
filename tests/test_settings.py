"""Settings: which source wins, which files count, which are refused, and what is never shown."""

import os
import subprocess
from pathlib import Path

import pytest

from aura_cli.errors import ConfigurationError
from aura_cli.settings import KNOWN, SANDBOX_KEYS, Secret, Settings, leads_here
from tests.parts.program import Aura

KEY = "STRIPE_SECRET_KEY"


def write(folder: Path, **files: str) -> None:
    """Files by their name without `.env`: `local` is `.env.local`, `_` is `.env`."""
    for name, text in files.items():
        path = folder / ("." + ".".join(["env", *name.strip("_").split("__")]) if name != "_" else ".env")
        path.write_text(text)
        path.chmod(0o600)


def key(settings: Settings) -> str | None:
    found = settings.secret(KEY)
    return found.reveal() if found else None


def test_order_of_sources(tmp_path: Path) -> None:
    """The environment wins over files, and of the files the strongest that says something, in Next.js's order."""
    write(tmp_path, _=f"{KEY}=4", development=f"{KEY}=3", local=f"{KEY}=2", development__local=f"{KEY}=1")
    assert key(Settings.load({KEY: "0"}, tmp_path)) == "0"
    for number, name in enumerate((".env.development.local", ".env.local", ".env.development", ".env"), 1):
        settings = Settings.load({}, tmp_path)
        assert key(settings) == str(number)
        assert settings.values[KEY].source == str(tmp_path / name)
        (tmp_path / name).unlink()
    assert key(Settings.load({}, tmp_path)) is None


def test_a_named_environment_sees_its_own_files_alone(tmp_path: Path) -> None:
    """`--env NAME` reads two files and nothing that another environment shares; the option names the environment."""
    write(tmp_path, _=f"{KEY}=x\nRESEND_API_KEY=leak", local=f"{KEY}=x", staging=f"{KEY}=2\nAURA_ENV=production", staging__local=f"{KEY}=1")
    settings = Settings.load({"AURA_ENV": "development"}, tmp_path, environment="staging")
    assert (key(settings), settings.get("RESEND_API_KEY"), settings.environment) == ("1", None, "staging")
    (tmp_path / ".env.staging.local").unlink()
    assert key(Settings.load({}, tmp_path, environment="staging")) == "2"
    settings = Settings.load({}, tmp_path, environment="production")
    assert key(settings) is None
    assert settings.looked_in == (str(tmp_path / ".env.production.local"), str(tmp_path / ".env.production"))


def test_one_file_by_name(tmp_path: Path) -> None:
    """`--env-file` reads that file alone, a pipe too; a missing one is refused."""
    write(tmp_path, _=f"{KEY}=x\nRESEND_API_KEY=leak")
    (tmp_path / "other").write_text(f"{KEY}=1")
    settings = Settings.load({}, tmp_path, env_file=tmp_path / "other")
    assert (key(settings), settings.get("RESEND_API_KEY")) == ("1", None)
    with subprocess.Popen(["printf", f"{KEY}=piped"], stdout=subprocess.PIPE) as pipe:
        assert pipe.stdout
        assert key(Settings.load({}, tmp_path, env_file=Path(f"/dev/fd/{pipe.stdout.fileno()}"))) == "piped"
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(ConfigurationError, match="no such file"):
            Settings.load({}, tmp_path, env_file=path)


def test_upwards_to_the_repository(tmp_path: Path) -> None:
    """The nearest directory with a file counts, up to the repository's root and not beyond; without a repository only here."""
    below = tmp_path / "repository" / "a" / "b"
    below.mkdir(parents=True)
    write(tmp_path, _=f"{KEY}=outside")
    assert key(Settings.load({}, below)) is None
    (tmp_path / "repository" / ".git").mkdir()
    assert key(Settings.load({}, below)) is None
    write(tmp_path / "repository", _=f"{KEY}=root\nRESEND_API_KEY=root")
    assert key(Settings.load({}, below)) == "root"
    write(below.parent, local=f"{KEY}=near")
    settings = Settings.load({}, below)
    assert (key(settings), settings.get("RESEND_API_KEY")) == ("near", None)
    (below.parent / ".git").write_text("gitdir: elsewhere")  # a worktree or submodule is a repository too
    (below.parent / ".env.local").unlink()
    assert key(Settings.load({}, below)) is None


def test_an_empty_value_hides(tmp_path: Path) -> None:
    """As in the web app an empty value is a value: it hides the weaker ones, and counts as none."""
    write(tmp_path, _=f"{KEY}=x\nRESEND_API_KEY=y", local=f"{KEY}=")
    settings = Settings.load({"RESEND_API_KEY": ""}, tmp_path)
    assert (key(settings), settings.get("RESEND_API_KEY")) == (None, None)


def test_values_stay_verbatim(tmp_path: Path) -> None:
    """A comma, spaces, quotes within: one value; a stronger file's counts where a weaker one refers to it."""
    write(tmp_path, _="INTEGRATION_ENCRYPTION_KEY='a,b # c'\nNEXT_PUBLIC_APP_URL=https://$HOST\nHOST=weak", local="HOST=strong.example.com")
    settings = Settings.load({"RESEND_API_KEY": " re_test,1 "}, tmp_path)
    assert settings.require("INTEGRATION_ENCRYPTION_KEY", "").reveal() == "a,b # c"
    assert settings.get("RESEND_API_KEY") == " re_test,1 "
    assert settings.get("NEXT_PUBLIC_APP_URL") == "https://strong.example.com"


def test_provider_credentials_count(tmp_path: Path) -> None:
    """Each provider's client id and secret is a setting wherever it comes from; other names are nobody's business."""
    write(tmp_path, _="GITHUB_CLIENT_SECRET=s\nSOMETHING=x")
    settings = Settings.load({"GITHUB_CLIENT_ID": "i", "OTHER": "x"}, tmp_path)
    assert set(settings.values) == {"GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET"}
    assert set(settings.secret_values()) == {"s"}


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_files_that_others_may_write_are_refused(tmp_path: Path, mode: int) -> None:
    """Whoever may write a file could send keys elsewhere: it is not read, and the hint mends it."""
    write(tmp_path, _=f"{KEY}=x")
    (tmp_path / ".env").chmod(mode)
    with pytest.raises(ConfigurationError, match="can be written by others") as refused:
        Settings.load({}, tmp_path)
    assert refused.value.hint == f"chmod 600 {tmp_path / '.env'}"


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400])
def test_files_that_others_may_only_read_are_read(tmp_path: Path, mode: int) -> None:
    """A file that others may read is the person's own choice."""
    write(tmp_path, _=f"{KEY}=x")
    (tmp_path / ".env").chmod(mode)
    assert key(Settings.load({}, tmp_path)) == "x"


def test_somebody_elses_file_is_refused(aura: Aura) -> None:
    """A file of another user is not read (exit 4). Needs root, to give one away."""
    if os.geteuid():
        return
    write(aura.work, _=f"{KEY}=sk_test_x")
    os.chown(aura.work / ".env", 12_345, -1)
    done = aura("db", "status")
    assert done.exit == 4
    assert "belongs to another user" in done.err
    assert "sk_test_x" not in done.err


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """No UTF-8, or a value that refers to itself: exit 4, without the content."""
    for content in (b"STRIPE_SECRET_KEY=\xff\xfe", b"STRIPE_SECRET_KEY=abc$STRIPE_SECRET_KEY"):
        (tmp_path / ".env").write_bytes(content)
        with pytest.raises(ConfigurationError, match="cannot be read") as refused:
            Settings.load({}, tmp_path)
        assert "abc" not in refused.value.message


@pytest.mark.parametrize("base", sorted(name for name, known in KNOWN.items() if known.credential))
def test_a_base_address_needs_its_credentials_source(tmp_path: Path, base: str) -> None:
    """A base address counts from the environment, or from the very file of its credential; a stray one is named and ignored."""
    credential = str(KNOWN[base].credential)
    write(tmp_path, _=f"{base}=https://elsewhere.example.com", local=f"{credential}=c")
    stray = Settings.load({}, tmp_path)
    assert (stray.get(base), stray.ignored) == (None, (base,))
    assert Settings.load({credential: "c"}, tmp_path).get(base) is None
    assert Settings.load({base: "https://mine.example.com"}, tmp_path).get(base) == "https://mine.example.com"
    write(tmp_path, local=f"{credential}=c\n{base}=https://same.example.com")
    assert Settings.load({}, tmp_path).get(base) == "https://same.example.com"


def test_the_sandbox_reads_no_file(tmp_path: Path) -> None:
    """Inside the sandbox only the process environment counts, and no option or file leads in or out."""
    write(tmp_path, _=f"{KEY}=real")
    assert key(Settings.load({"AURA_ENV": "sandbox"}, tmp_path)) is None
    for environ, option in (({"AURA_ENV": "sandbox"}, "production"), ({}, "sandbox"), ({"AURA_ENV": "staging"}, "sandbox")):
        with pytest.raises(ConfigurationError, match="sandbox"):
            Settings.load(environ, tmp_path, environment=option)
    write(tmp_path, _="AURA_ENV=sandbox")
    with pytest.raises(ConfigurationError, match="sandbox"):
        Settings.load({}, tmp_path)


@pytest.mark.parametrize("name", SANDBOX_KEYS)
def test_a_key_of_somewhere_else_is_not_used_in_the_sandbox(tmp_path: Path, name: str) -> None:
    """Every service's key bears the sandbox's mark there; none is needed."""
    assert Settings.load({"AURA_ENV": "sandbox", name: "my-sandbox-key"}, tmp_path).secret(name)
    assert Settings.load({"AURA_ENV": "sandbox", name: ""}, tmp_path).secret(name) is None
    with pytest.raises(ConfigurationError, match=name):
        Settings.load({"AURA_ENV": "sandbox", name: "a-real-key"}, tmp_path)


@pytest.mark.parametrize("name", ["prod", "Production", "../x", "preview"])
def test_environments_that_do_not_exist(tmp_path: Path, name: str) -> None:
    """An unknown name is refused from the option, the environment and a file, naming those that exist."""
    write(tmp_path, _=f"AURA_ENV={name}")
    for environ, option in (({"AURA_ENV": name}, None), ({}, name), ({}, None)):
        with pytest.raises(ConfigurationError, match="AURA_ENV is") as refused:
            Settings.load(environ, tmp_path, environment=option)
        assert "production" in refused.value.hint


def test_home_and_operator(tmp_path: Path) -> None:
    """Where data goes and whose name the log carries."""
    assert Settings.load({"AURA_HOME": "/h", "HOME": "/x"}, tmp_path).home == Path("/h")
    assert Settings.load({"XDG_DATA_HOME": "/d", "HOME": "/x"}, tmp_path).home == Path("/d/aura")
    assert Settings.load({"HOME": "/x"}, tmp_path).home == Path("/x/.local/share/aura")
    assert Settings.load({"USER": "u", "AURA_OPERATOR": "o"}, tmp_path).operator == "o"
    assert Settings.load({"USER": "u"}, tmp_path).operator == "u"
    assert Settings.load({}, tmp_path).operator == f"uid {os.getuid()}"


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Neither a secret nor the settings show a value; for redaction each comes out, and the parts of those that have parts."""
    retired = '{"old": "retired-key-1", "older": "retired-key-2"}'
    environ = {KEY: "sk_test_s3cret", "DATABASE_URL": "postgresql://u:p%40ss@h/d", "AURA_RETIRED_ENCRYPTION_KEYS": retired}
    settings = Settings.load(environ, tmp_path)
    shown = f"{settings!r} {Secret('sk_test_s3cret')} {settings.secret(KEY)!r} {settings.values[KEY]!r}"
    assert "s3cret" not in shown
    assert "p%40ss" not in shown
    assert set(settings.secret_values()) == {*environ.values(), "p%40ss", "p@ss", "retired-key-1", "retired-key-2"}


def test_what_is_missing_is_explained(tmp_path: Path) -> None:
    """A missing setting is named with its purpose and every place that was looked at."""
    with pytest.raises(ConfigurationError, match=f"{KEY} is not set: to ask Stripe") as missing:
        Settings.load({}, tmp_path).require(KEY, "to ask Stripe")
    assert missing.value.hint.startswith("Set it in one of: the environment, ")
    assert str(tmp_path / ".env.local") in missing.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://127.9.9.9/",
        "http://LOCALHOST/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "https://u:p@localhost:1",
    ],
)
def test_what_is_on_this_machine(url: str) -> None:
    """By the address, never by asking a name server."""
    assert leads_here(url)


@pytest.mark.parametrize(
    "url",
    "https://127.0.0.1.example.com/ http://127.example.com/ ftp://127.0.0.1/ http:///x http://[:: localhost".split(),
)
def test_what_is_elsewhere(url: str) -> None:
    """Whatever only looks like it."""
    assert not leads_here(url)
