"""Files that make a clock start the jobs: a crontab, systemd's units, Kubernetes' CronJobs, a workflow of GitHub Actions."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aura_cli.cron.jobs import Job
from aura_cli.cron.yaml import document
from aura_cli.errors import UsageError

SERVICE = "aura-job@.service"
HOME = "/var/lib/aura"
LABELS = {"app.kubernetes.io/name": "aura-cron"}
_GRACE, _MARGIN = 60, 240  # seconds: to end in, and beyond a job's own limit until whoever started it ends it


@dataclass(frozen=True)
class Setup:
    """Where the jobs will run: the program's words, the folder that holds the settings' files, or the image that holds the program.

    `options` say which settings count, where there are files; in an image it is `environment`. `user` and `home` (AURA_HOME) are whose
    files those are; empty where nobody knows. `secret` and `plain` are the names of settings: of secret ones, and of others.
    """

    program: Sequence[str]
    directory: str
    image: str | None = None
    options: Sequence[str] = ()
    environment: str | None = None
    user: str = ""
    home: str = HOME
    secret: Sequence[str] = ()
    plain: Sequence[str] = ()

    def command(self, job: str) -> list[str]:
        """The words that run a job here."""
        return [*self.program, *self.options, "cron", "run", job]

    @property
    def named_environment(self) -> Mapping[str, str]:
        """What says in an image which environment it is."""
        return {"AURA_ENV": self.environment} if self.environment else {}

    def require_image(self) -> str:
        """Raises UsageError where there is none."""
        if not self.image:
            raise UsageError("In which image does it run?", "--image registry.example.com/aura:1.0")
        return self.image


Files = Mapping[str, str]


def crontab(jobs: Sequence[Job], setup: Setup) -> Files:
    """crontab(5). A percent sign is a line's end there, unless a backslash stands before it."""
    lines = [
        "# aura's jobs: crontab FILE installs this in the place of what there is. A job says nothing unless something is wrong.",
        "# Its times are UTC. Cron of Debian knows no CRON_TZ: there the machine itself has to keep UTC.",
        "CRON_TZ=UTC",
        *([f"AURA_HOME={setup.home}"] if setup.home else []),
    ]
    for job in jobs:
        command = f"cd {shlex.quote(setup.directory)} && {shlex.join(setup.command(job.name))}".replace("%", r"\%")
        lines += [f"# {job.about}", f"{job.schedule.cron} {command}"]
    return {"crontab": "".join(f"{line}\n" for line in lines)}


def systemd(jobs: Sequence[Job], setup: Setup) -> Files:
    """One service for all jobs, and a timer for each: systemd.service(5), systemd.timer(5). Raises UsageError for a path it refuses."""
    if set(setup.program[0]) & set("'\"\\"):
        raise UsageError("systemd runs no program in whose path quotes or backslashes stand", "--program says where another is")
    program, *words = setup.command("")[:-1]
    service = {
        "Unit": {"Description": "aura: the job %i", "Wants": "network-online.target", "After": "network-online.target"},
        "Service": {
            "Type": "oneshot",
            **({"User": setup.user} if setup.user else {}),  # a file of settings that is another's is refused
            **({"Environment": _word(f"AURA_HOME={setup.home}")} if setup.home else {}),
            "WorkingDirectory": setup.directory.replace("%", "%%"),
            "ExecStart": f"{' '.join([_word(program), *(_word(word).replace('$', '$$') for word in words)])} %i",
            "SuccessExitStatus": "3",  # it worked, and something needs attention
            "TimeoutStopSec": f"{_GRACE}",
            "Nice": "5",
        },
    }
    timers = {
        f"aura-job@{job.name}.timer": _ini(
            {
                "Unit": {"Description": f"aura: {job.about}"},
                "Timer": {"OnCalendar": job.schedule.calendar, **({"Persistent": "true"} if job.is_rare else {})},
                "Install": {"WantedBy": "timers.target"},
            }
        )
        for job in jobs
    }
    return {SERVICE: _ini(service), **timers}


def kubernetes(jobs: Sequence[Job], setup: Setup) -> Files:
    """CronJobs (batch/v1), which read their settings from a secret called aura, and keep on a volume what has to last.

    One machine at a time has the volume, so those that are at work at once are all there.
    """
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "aura-home"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}},
    }
    return {"aura-cron.yaml": "---\n".join(map(document, [volume, *(_cron_job(job, setup) for job in jobs)]))}


def github_actions(jobs: Sequence[Job], setup: Setup) -> Files:
    """A workflow whose schedules each start one job. Times are UTC, and often late there."""
    image = setup.require_image()
    names = {
        **{name: f"${{{{ secrets.{name} }}}}" for name in setup.secret},
        **{name: f"${{{{ vars.{name} }}}}" for name in setup.plain},
        **setup.named_environment,
    }
    workflow = {
        "name": "aura",
        "on": {
            "schedule": [{"cron": job.schedule.cron} for job in jobs],
            "workflow_dispatch": {
                "inputs": {"job": {"description": "Which", "type": "choice", "required": True, "options": [job.name for job in jobs]}}
            },
        },
        "permissions": {},
        "env": names,
        "jobs": {job.name: _action(job, image) for job in jobs},
    }
    return {"aura-cron.yml": document(workflow)}


FORMS: Mapping[str, Callable[[Sequence[Job], Setup], Files]] = {
    "crontab": crontab,
    "systemd": systemd,
    "kubernetes": kubernetes,
    "github-actions": github_actions,
}


def _cron_job(job: Job, setup: Setup) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "aura",
        "image": setup.require_image(),
        "command": ["aura", "cron", "run", job.name, "--attention-ok"],
        "envFrom": [{"secretRef": {"name": "aura"}}],
        "env": [{"name": name, "value": value} for name, value in {"AURA_HOME": HOME, **setup.named_environment}.items()],
        "volumeMounts": [{"name": "home", "mountPath": HOME}],
    }
    beside = {"labelSelector": {"matchLabels": LABELS}, "topologyKey": "kubernetes.io/hostname"}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE,
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [beside]}},
        "containers": [container],
        "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "aura-home"}}],
    }
    template = {"metadata": {"labels": LABELS}, "spec": pod}
    run = {"backoffLimit": 0, "activeDeadlineSeconds": job.minutes * 60 + _MARGIN, "template": template}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": f"aura-{job.name}"},
        "spec": {
            "schedule": job.schedule.cron,
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 300,
            "successfulJobsHistoryLimit": 1,
            "jobTemplate": {"spec": run},
        },
    }


def _action(job: Job, image: str) -> dict[str, Any]:
    return {
        "if": f"github.event.schedule == '{job.schedule.cron}' || inputs.job == '{job.name}'",
        "runs-on": "ubuntu-latest",
        "container": image,
        "timeout-minutes": job.minutes + _MARGIN // 60,
        "concurrency": {"group": f"aura-{job.name}", "cancel-in-progress": False},
        "steps": [{"run": f"aura cron run {job.name} --attention-ok"}],
    }


def _ini(sections: Mapping[str, Mapping[str, str]]) -> str:
    return "\n".join(f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in values.items()) for name, values in sections.items())


def _word(text: str) -> str:
    """A word of a command line in systemd.service(5); $ stands for itself in the first alone."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return text if text.isalnum() or set("'\" \t;") & set(text) == set() else f'"{text}"'
