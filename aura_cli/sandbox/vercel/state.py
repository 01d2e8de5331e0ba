"""One team with one project, and the project's variables: what is sensitive is written and never read again."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aura_cli.sandbox.credentials import VERCEL_ORG_ID, VERCEL_PROJECT_ID, VERCEL_TOKEN

TARGETS = ("production", "preview", "development")
TYPES = ("plain", "encrypted", "sensitive")
PROJECT_NAME = "aura"


class VercelError(Exception):
    """A refusal, as https://vercel.com/docs/rest-api/errors describes them."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message}}


@dataclass
class Variable:
    """A variable as Vercel keeps it; `shared` ones are the team's, linked to the project. Times are epoch milliseconds."""

    id: str
    key: str
    value: str
    type: str
    target: list[str]
    created_at: int
    branch: str | None = None
    shared: bool = False

    def shown(self, *, decrypt: bool) -> dict[str, Any]:
        """As an answer has it: ciphertext unless it is decrypted, and of a sensitive one nothing."""
        plain = self.type == "plain" or (decrypt and self.type == "encrypted")
        value = "" if self.type == "sensitive" else self.value if plain else f"eyJ2IjoidjIi{self.id}"
        found = {"id": self.id, "key": self.key, "value": value, "type": self.type, "target": self.target, "decrypted": plain}
        more = {"gitBranch": self.branch} if self.branch else {}
        return {**found, **more, "createdAt": self.created_at, "updatedAt": self.created_at, "configurationId": None}


@dataclass
class VercelState:
    """`withholds`: the list gives ciphertext however it is asked, as it does to some tokens. `clock` gives epoch seconds."""

    token: str = VERCEL_TOKEN
    project: str = VERCEL_PROJECT_ID
    team: str = VERCEL_ORG_ID
    withholds: bool = False
    clock: Callable[[], float] = time.time
    variables: list[Variable] = field(default_factory=list)
    _ids: "count[int]" = field(default_factory=lambda: count(1))

    def put(
        self,
        key: str,
        value: str,
        targets: Iterable[str] = TARGETS,
        *,
        type: str = "encrypted",  # noqa: A002
        branch: str | None = None,
        shared: bool = False,
    ) -> Variable:
        """Set a variable. Raises VercelError where one of that name is set for one of the targets already."""
        wanted = [*targets]
        for one in self.variables:
            if (one.key, one.branch, one.shared) == (key, branch, shared) and {*one.target} & {*wanted}:
                raise VercelError(400, "ENV_CONFLICT", f"Another Environment Variable with the Name {key} already exists")
        made = Variable(f"env{next(self._ids):021}", key, value, type, wanted, int(self.clock() * 1000), branch, shared)
        self.variables.append(made)
        return made

    def remove(self, key: str, target: str | None = None) -> None:
        """Forget a variable, everywhere or for one target."""
        for one in self.variables:
            if one.key == key:
                one.target = [each for each in one.target if target not in (None, each)]
        self.variables = [one for one in self.variables if one.target]


def plant(base: str, variables: Mapping[str, str]) -> None:
    """Set the project's variables at the stand-in at `base`, for all targets, as a person would over the API."""
    import httpx

    body = [{"key": name, "value": value, "type": "encrypted", "target": [*TARGETS]} for name, value in variables.items()]
    headers = {"Authorization": f"Bearer {VERCEL_TOKEN}"}
    with httpx.Client(base_url=base, headers=headers, trust_env=False) as http:
        http.post(
            f"/v10/projects/{VERCEL_PROJECT_ID}/env", params={"upsert": "true", "teamId": VERCEL_ORG_ID}, json=body
        ).raise_for_status()
