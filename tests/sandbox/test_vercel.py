"""Vercel's stand-in where emulate says nothing: who may ask, what is sensitive, one by one, the team's own."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from aura_cli.sandbox.run import Sandbox, opened
from tests.parts.loopback import plain_client
from tests.parts.program import REPOSITORY, Aura
from tests.parts.vercel import Deployment, deployed

ENV = "/v10/projects/aura/env"


@pytest.fixture
def vercel() -> Iterator[Deployment]:
    with deployed() as running:
        yield running


def ask(vercel: Deployment, method: str, path: str, body: Any = None, token: str = "", **params: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or vercel.state.token}"}
    with plain_client(base_url=vercel.base, headers=headers) as http:
        return http.request(method, path, json=body, params={"teamId": vercel.state.team, **params})


def test_who_may_ask(vercel: Deployment) -> None:
    """Without the token 403; without the team 404; a path that is not there, and the project itself."""
    refused = ask(vercel, "GET", ENV, token="another")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert ask(vercel, "GET", ENV, teamId="").status_code == 404
    assert ask(vercel, "GET", "/v99/nothing").json()["error"]["code"] == "not_found"
    assert ask(vercel, "GET", f"/v9/projects/{vercel.state.project}").json()["name"] == "aura"


def test_what_is_sensitive_is_never_read(vercel: Deployment) -> None:
    """Neither in the list nor alone; and it is none of development's."""
    hidden = {"key": "HIDDEN", "value": "canary", "type": "sensitive", "target": ["production"]}
    made = ask(vercel, "POST", ENV, hidden)
    assert made.status_code == 201
    (one,) = made.json()["created"]
    answers = [ask(vercel, "GET", ENV, decrypt="true"), ask(vercel, "GET", f"/v1/projects/aura/env/{one['id']}"), made]
    assert "canary" not in "".join(answer.text for answer in answers)
    assert ask(vercel, "POST", ENV, {**hidden, "target": ["development"]}).status_code == 400
    assert ask(vercel, "DELETE", f"/v9/projects/aura/env/{one['id']}").status_code == 200
    assert ask(vercel, "GET", f"/v1/projects/aura/env/{one['id']}").status_code == 404


def test_pages(vercel: Deployment) -> None:
    """Twenty where nobody asks for more; `next` leads through all of them, none twice."""
    for number in range(45):
        vercel.state.put(f"V{number}", "x")
    names: list[str] = []
    until: dict[str, str] = {}
    while True:
        page = ask(vercel, "GET", ENV, **until).json()
        names += [one["key"] for one in page["envs"]]
        if not page["pagination"]["next"]:
            break
        until = {"until": str(page["pagination"]["next"])}
    assert (len(names), len({*names})) == (45, 45)


def test_the_sandbox_is_in_order(aura: Aura) -> None:
    """Its environment and its Vercel project have no fault that a check finds, for no target."""
    with opened(Sandbox(5, 3, 1_795_000_000)) as (variables, _, _):
        here = aura("env", "check", env=variables, cwd=REPOSITORY)  # where its secrets stand in the code
        there = aura("env", "check", "--vercel", "--json", env=variables)
    assert (here.exit, there.exit) == (0, 0), here.out + there.out
    assert {one["state"] for one in json.loads(there.out)["findings"]} == {"ok", "absent"}
