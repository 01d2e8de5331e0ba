"""The files that make a clock start the jobs, read by those who will read them."""

import getpass
import json
import subprocess
from pathlib import Path

import pytest

from aura_cli.cron.jobs import JOBS, SINGLE
from aura_cli.cron.units import Setup, crontab, systemd
from aura_cli.cron.yaml import document
from tests.parts.outside import ENVIRONMENT, python
from tests.parts.program import Aura, Completed
from tests.parts.service import program

NAMES = [job.name for job in SINGLE]
IMAGE = "registry.example.com/aura:1.0"


def printed(aura: Aura, *words: str, **env: str) -> Completed:
    done = aura("cron", "print", *words, env=env)
    assert done.exit == 0, done.err
    return done


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_crontab_takes_it(aura: Aura, tmp_path: Path) -> None:
    """Cron's own check of the syntax, in a folder whose name has what cron and the shell would read otherwise."""
    folder = tmp_path / "100% of 'it'"
    folder.mkdir()
    file = tmp_path / "crontab"
    file.write_text(printed(aura, "--directory", str(folder), "--program", "/usr/bin/aura", "--env", "staging").out)
    assert "successfully checked" in run(program("crontab", "cron"), "-n", str(file))
    assert "AURA_HOME" not in file.read_text()  # where no such program is, this machine's is of no use
    assert f"AURA_HOME={aura.environment['AURA_HOME']}" in printed(aura).out.splitlines()
    lines = [line for line in file.read_text().splitlines() if line[0] not in "#CA"]
    assert [line.split()[-1] for line in lines] == NAMES
    command = lines[0].split(maxsplit=5)[5].replace(r"\%", "%").replace("/usr/bin/aura", "echo $PWD:")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == f"{folder}: --env staging cron run users-sync\n"


@pytest.mark.parametrize("folder", ["plain", "with space, % and $HOME"])
def test_systemd_takes_them(aura: Aura, tmp_path: Path, folder: str) -> None:
    """Its verifier has nothing to say, wherever the program and its settings are."""
    there, units = tmp_path / folder, tmp_path / "units"
    there.mkdir()
    (there / "aura").write_text("#!/bin/sh\n")
    (there / "aura").chmod(0o755)
    printed(aura, "--format", "systemd", "--directory", str(there), "--program", str(there / "aura"), "--out", str(units))
    files = sorted(units.iterdir())
    assert [file.name for file in files] == sorted(["aura-job@.service", *(f"aura-job@{name}.timer" for name in NAMES)])
    one = units / "aura-job@prune.service"  # a template is looked at through one that is made of it
    one.write_text((units / "aura-job@.service").read_text())
    assert run(program("systemd-analyze", "systemd"), "verify", "--man=no", *map(str, [one, *files[1:]])) == ""
    text = one.read_text()
    assert "SuccessExitStatus=3\n" in text
    assert f"User={getpass.getuser()}\n" in text  # whose settings' files they are, which nobody else may read
    assert f"Environment=AURA_HOME={aura.directory}/data\n" in text


def test_kubernetes_takes_them(aura: Aura, tmp_path: Path) -> None:
    """By the schemas that Kubernetes publishes, in which nothing is left unsaid; all have one volume, of one machine at a time."""
    printed(aura, "--format", "kubernetes", "--image", IMAGE, "--out", str(tmp_path), *JOBS)
    python()
    told = run(str(ENVIRONMENT / "bin" / "kubernetes-validate"), "--strict", "-k", "1.34", str(tmp_path / "aura-cron.yaml"))
    for job in JOBS:
        assert f"passed for resource cronjob/aura-{job} " in told
    assert "persistentvolumeclaim/aura-home" in told
    text = (tmp_path / "aura-cron.yaml").read_text()
    assert {text.count(word) for word in ("--attention-ok", "claimName: aura-home", "name: AURA_HOME", "podAffinity")} == {len(JOBS)}
    assert text.count("app.kubernetes.io/name: aura-cron") == 2 * len(JOBS)  # what each has, and what each wants to be beside


def test_github_takes_it(aura: Aura, tmp_path: Path) -> None:
    """By the schema that is published for workflows; it names settings, and holds the value of none."""
    secret = "sk_test_sandboxCanaryCanary0001"
    settings = {"STRIPE_SECRET_KEY": secret, "DATABASE_URL": "postgresql://aura:hush-hush@db.example.com/aura", "AURA_ENV": "staging"}
    more = {"SLACK_CLIENT_SECRET": "hush-hush-too", "NEXT_PUBLIC_APP_URL": "https://app.example.com"}
    more["AURA_ALERT_TO"] = "https://chat.example.com/hush-hush"
    done = printed(aura, "--format", "github-actions", "--image", IMAGE, "--out", str(tmp_path), **settings, **more)
    file = tmp_path / "aura-cron.yml"
    python()
    run(str(ENVIRONMENT / "bin" / "check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(file))
    text = file.read_text()
    for name in ("STRIPE_SECRET_KEY", "DATABASE_URL", "AURA_ALERT_TO"):
        assert f'{name}: "${{{{ secrets.{name} }}}}"' in text
    assert "vars.NEXT_PUBLIC_APP_URL" in text
    assert "  AURA_ENV: staging\n" in text
    assert "SLACK" not in text  # no job that is here refreshes
    assert 'SLACK_CLIENT_SECRET: "${{ secrets.' in printed(aura, "--format", "github-actions", "--image", IMAGE, "maintenance", **more).out
    assert "forgets its disk" in done.err
    assert not any(value in text for value in (secret, "hush-hush", "https://app"))
    assert ("refresh-tokens:" in text, "Without refresh-tokens" in done.err) == (False, True)
    assert "reconcile needs" not in done.err
    assert "retry-emails needs what is not set here: RESEND_API_KEY" in done.err


def test_yaml_is_read_as_it_was_meant(tmp_path: Path) -> None:
    """What looks like something else than a text is in quotes: held against the reader that others use."""
    odd = "on yes ~ 1e3 0x1f 12:30:45 ü ${{x}} */5 null 1_000 0o7 .5 - = << !x &x *x @x `x %x ? | > .inf 2026-11-22".split()
    odd += ["- x", "a: b", "# c", "x # c", "", " x", "x ", "*/5 * * * *", "${{ x }}", "a'b\"c", "{a}", "[a]", "a,b", "a: ", "line\nline"]
    value = {"on": {"texts": odd, "numbers": [1, 2.5], "flags": [True, None]}, "empty": {}, "none": [], "list": [{"a": [1], "b": "c"}, [2]]}
    (tmp_path / "x.yaml").write_text(document(value))
    code = f"import json, yaml; print(json.dumps(yaml.safe_load(open({str(tmp_path / 'x.yaml')!r}, encoding='utf-8'))))"
    found = run(python(), "-c", code)
    assert json.loads(found) == value


def test_what_cron_would_not_have(aura: Aura) -> None:
    """A setting of this environment alone is named: nothing of it is in the environment of what starts jobs."""
    (aura.work / ".env").write_text("RESEND_API_KEY=re_test_1234567890\n")
    (aura.work / ".env").chmod(0o600)
    for form, told in (("crontab", True), ("systemd", True), ("kubernetes", False)):
        done = printed(aura, "--format", form, "--image", IMAGE, "retry-emails", STRIPE_SECRET_KEY="sk_test_sandbox0000000000")
        assert ("has not: STRIPE_SECRET_KEY. Put" in done.err) == told
        assert "Nobody would hear that a job fails" in done.err
    assert "Nobody would hear" not in printed(aura, AURA_ALERT_TO="oncall@example.com").err


def test_the_settings_that_were_meant(aura: Aura) -> None:
    """They are the same there as here, whoever said which: --env, the process, or a file that is named."""
    file = aura.work / "other of mine.env"
    file.write_text("AURA_ENV=staging\n")
    file.chmod(0o600)
    named = ["--env-file", file.name]
    for words, env in ((["--env", "staging"], {}), ([], {"AURA_ENV": "staging"}), (named, {})):
        text = printed(aura, *words, "--format", "kubernetes", "--image", IMAGE, "prune", **env).out
        assert text.split("name: AURA_ENV\n")[1].split()[:2] == ["value:", "staging"]
        assert "AURA_ENV: staging" in printed(aura, *words, "--format", "github-actions", "--image", IMAGE, "prune", **env).out
    assert f"--env-file '{file}' cron run prune" in printed(aura, *named, "prune").out
    assert f'--env-file "{file}" cron run %i' in printed(aura, *named, "--format", "systemd", "prune").out


def test_the_names_are_in_order(aura: Aura) -> None:
    """Of the settings that come from the environment alone, those that the jobs read."""
    env = {"STRIPE_SECRET_KEY": "sk_test_sandbox0000000000", "SLACK_CLIENT_ID": "1", "DATABASE_URL": "postgresql://db.example.com/aura"}
    assert "has not: DATABASE_URL, STRIPE_SECRET_KEY. Put" in printed(aura, "prune", **env).err
    assert "has not: DATABASE_URL, SLACK_CLIENT_ID, STRIPE_SECRET_KEY. Put" in printed(aura, **env).err


def test_in_a_sandbox(aura: Aura) -> None:
    """It is said that the sandbox ends, instead of all that it sets."""
    said = printed(aura, AURA_ENV="sandbox", STRIPE_SECRET_KEY="sk_test_sandbox00").err
    assert ("do not install" in said, "STRIPE_SECRET_KEY" in said) == (True, False)


def test_one_job_alone() -> None:
    """Files are made of the jobs that are asked for."""
    setup = Setup(["/usr/bin/aura"], "/srv/aura")
    assert list(systemd([JOBS["prune"]], setup)) == ["aura-job@.service", "aura-job@prune.timer"]
    assert crontab([JOBS["prune"]], setup)["crontab"].splitlines()[-1] == "43 3 * * * cd /srv/aura && /usr/bin/aura cron run prune"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--format", "kubernetes"], 2, "In which image does it run?"),
        (["no-such-job"], 5, "No such job: no-such-job"),
        (["--format", "cron"], 2, "cron"),
        (["--out", "/dev/null/x"], 4, "cannot be written"),
        (["--directory", "a\nb"], 2, "cannot be shown"),
        (["--format", "systemd", "--program", "/opt/it's/aura"], 2, "no program in whose path quotes"),
    ],
)
def test_a_slip(aura: Aura, words: list[str], code: int, said: str) -> None:
    """Nothing is printed, and why not is said."""
    done = aura("cron", "print", *words)
    assert (done.exit, done.out, said in done.err) == (code, "", True), done.err


def test_as_json(aura: Aura) -> None:
    """The files by name, in one object."""
    assert list(printed(aura, "--json", "--format", "systemd", "prune").json["files"]) == ["aura-job@.service", "aura-job@prune.timer"]


def test_a_dry_run_writes_nothing(aura: Aura, tmp_path: Path) -> None:
    """It says which files there would be."""
    done = aura("cron", "print", "--format", "systemd", "--out", str(tmp_path / "units"), "-n")
    assert (done.exit, "Would be written" in done.out, (tmp_path / "units").exists()) == (0, True, False)
