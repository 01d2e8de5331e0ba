"""emulate's Vercel, which others wrote: it and our stand-in answer the same alike, and `aura env check --vercel` reads both."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from aura_cli.environment import vercel
from aura_cli.settings import Settings
from tests.environment.complete import COMPLETE
from tests.parts.loopback import plain_client
from tests.parts.outside import node_script
from tests.parts.program import Aura
from tests.parts.vercel import deployed

TOKEN = "vercel-token-of-a-test"


@dataclass(frozen=True)
class Project:
    """A project "aura" that can be asked over HTTP."""

    base: str
    team: str
    token: str

    def ask(self, method: str, path: str, json: Any = None, **params: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        with plain_client(base_url=self.base, headers=headers) as http:
            return http.request(method, path, json=json, params={"teamId": self.team, **params})

    @property
    def env(self) -> dict[str, str]:
        return {"VERCEL_API_BASE": self.base, "VERCEL_TOKEN": self.token, "VERCEL_PROJECT_ID": "aura", "VERCEL_ORG_ID": self.team}


@pytest.fixture
def emulate() -> Iterator[Project]:
    with node_script("vercel.mjs", secret=TOKEN) as running:
        yield Project(running.base, running.ready["team"], TOKEN)


@pytest.fixture
def stand_in() -> Iterator[Project]:
    with deployed() as running:
        yield Project(running.base, running.state.team, running.state.token)


def variable(name: str, value: str, kind: str, *targets: str) -> dict[str, Any]:
    return {"key": name, "value": value, "type": kind, "target": [*targets]}


def conversation(project: Project) -> list[object]:
    """What both say to a row of requests, as far as `aura` looks at it."""
    path = "/v10/projects/aura/env"
    said: list[object] = []

    def listed(**params: str) -> list[object]:
        found = project.ask("GET", path, **params).json()["envs"]
        readable = [(one["key"], one["type"], sorted(one["target"]), one["value"] if one["type"] == "plain" else None) for one in found]
        return sorted(readable, key=str)

    first = (variable("PLAIN", "1", "plain", "preview"), variable("SEALED", "2", "encrypted", "production", "preview"))
    said += [project.ask("POST", path, one).is_success for one in first]
    said.append(project.ask("POST", path, [variable("HIDDEN", "3", "sensitive", "production")]).is_success)
    said.append(project.ask("POST", path, variable("PLAIN", "4", "plain", "preview")).is_success)
    said.append(project.ask("POST", path, variable("PLAIN", "5", "plain", "preview"), upsert="true").is_success)
    for wrong in (variable("", "1", "plain", "preview"), variable("X", "1", "odd", "preview"), variable("X", "1", "plain", "staging")):
        answer = project.ask("POST", path, wrong)
        said.append((answer.status_code, answer.json()["error"]["code"]))
    said.append(listed())
    said.append(listed(decrypt="true"))
    missing = project.ask("GET", "/v10/projects/nobody/env")
    said.append((missing.status_code, missing.json()["error"]["code"]))
    said.append(project.ask("GET", path, teamId="team_nobody").is_success)
    return said


def test_both_answer_alike(emulate: Project, stand_in: Project) -> None:
    """Setting, setting again, refusals, the list with and without values, a project that nobody has."""
    theirs = conversation(emulate)
    assert conversation(stand_in) == theirs
    assert theirs[:4] == [True, True, True, False]


@pytest.mark.parametrize("whose", ["emulate", "stand_in"])
def test_what_is_read_of_both(whose: str, request: pytest.FixtureRequest, aura: Aura) -> None:
    """Names, targets, values where they are given back; the command's verdict over them."""
    project: Project = request.getfixturevalue(whose)
    for name, value in COMPLETE.items():
        kind = "sensitive" if name == "INTEGRATION_ENCRYPTION_KEY" else "encrypted"
        if name not in ("AURA_ENV", "RESEND_API_KEY"):
            made = project.ask("POST", "/v10/projects/aura/env", variable(name, value, kind, "preview"))
            assert made.is_success, made.text
    settings = Settings.load({**project.env, "AURA_HOME": str(aura.directory)}, aura.work)
    with vercel.service(settings) as service:
        found = {one.name: one for one in vercel.variables(service, vercel.project(settings, aura.work))}
    assert found["STRIPE_SECRET_KEY"].targets == {"preview"}
    assert {name: one.value.reveal() if one.value else None for name, one in found.items()} == {
        name: None if name == "INTEGRATION_ENCRYPTION_KEY" else value for name, value in COMPLETE.items() if name in found
    }
    done = aura("env", "check", "--vercel", "--target", "preview", "--json", env={**COMPLETE, **project.env})
    assert (done.exit, done.err) == (0, "")
    assert {one["name"]: one["state"] for one in done.json["findings"] if one["state"] not in ("ok", "absent")} == {
        "RESEND_API_KEY": "degraded",
        "INTEGRATION_ENCRYPTION_KEY": "unreadable",
    }
