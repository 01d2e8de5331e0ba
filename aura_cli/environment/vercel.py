"""The Vercel project's variables, read over Vercel's REST API (https://vercel.com/docs/rest-api). Values are held as secrets."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aura_cli.errors import AuraError, ConfigurationError, NotFoundError, ServiceError
from aura_cli.settings import Environment, Secret, Settings
from aura_cli.transport import Rate, Service

BASE = "https://api.vercel.com"
REQUESTS_A_SECOND = 5.0
_LINK = Path(".vercel") / "project.json"
_CIPHERTEXT = "eyJ2Ijoi"  # base64 of `{"v":"`
_PAGES = 100  # of variables: more than any project has


class Target(StrEnum):
    """What Vercel calls an environment."""

    PRODUCTION = "production"
    PREVIEW = "preview"
    DEVELOPMENT = "development"


OURS = {  # the environment that a target is, as we name it
    Target.PRODUCTION: (Environment.PRODUCTION,),
    Target.PREVIEW: (Environment.STAGING,),
    Target.DEVELOPMENT: (Environment.DEVELOPMENT, Environment.SANDBOX),
}


@dataclass(frozen=True)
class Project:
    """A project by id or name, and its team's id where it belongs to one."""

    name: str
    team: str | None

    @property
    def params(self) -> dict[str, str]:
        return {"teamId": self.team} if self.team else {}


@dataclass(frozen=True)
class Variable:
    """A variable of the project as a whole. `value` is None where Vercel does not give it back (a sensitive one never)."""

    name: str
    targets: frozenset[str]
    value: Secret | None


def service(settings: Settings) -> Service:
    """Vercel with the configured token. Raises ConfigurationError without one."""
    token = settings.require("VERCEL_TOKEN", "it is what Vercel is asked with").reveal()
    base = settings.get("VERCEL_API_BASE") or BASE
    return Service("Vercel", base, {"Authorization": f"Bearer {token}"}, Rate(REQUESTS_A_SECOND), _said)


def project(settings: Settings, cwd: Path, name: str | None = None, team: str | None = None) -> Project:
    """The project that is meant: as given, as configured, as `vercel link` noted it around `cwd`. Raises ConfigurationError."""
    linked = _linked(cwd)
    meant = name or settings.get("VERCEL_PROJECT_ID") or linked.get("projectId")
    if not meant:
        raise ConfigurationError("Which Vercel project is meant is not known", "Set VERCEL_PROJECT_ID, give --project, or run: vercel link")
    whose = team or settings.get("VERCEL_ORG_ID") or (linked.get("orgId") if meant == linked.get("projectId") else None)
    return Project(meant, whose if whose and whose.startswith("team_") else None)  # a person's own account is no team


def variables(vercel: Service, project: Project, *, each: bool = True) -> list[Variable]:
    """Every variable of the project's, and what its team shares with it; not those of one branch or of an environment of their own.

    A value that the list withholds is asked for by itself, a request a variable, unless `each` is False.

    Raises NotFoundError for a project that the token does not see, ConfigurationError (401, 403), ServiceError, UnreachableError.
    """
    path = f"/v10/projects/{quote(project.name, safe='')}/env"
    try:
        found = list(_pages(vercel, path, "envs", {"decrypt": "true", **project.params}))
    except NotFoundError as error:
        whose = f"team {project.team}" if project.team else "the token's own account"
        raise NotFoundError(f"Vercel shows no project {project.name} of {whose}", "Check project, team and the token's scope") from error
    mine = [one for one in found if not one.get("gitBranch") and one.get("target")]
    return [*_shared(vercel, project), *(_variable(vercel, project, one, each=each) for one in mine)]  # its own count before its team's


def _shared(vercel: Service, project: Project) -> Iterator[Variable]:
    """What the team shares: https://vercel.com/docs/environment-variables/shared-environment-variables."""
    if not project.team:
        return
    try:
        found = list(_pages(vercel, "/v1/env", "data", {"projectId": project.name, **project.params}))
    except (NotFoundError, ConfigurationError):  # a token of the project alone does not see it
        return
    yield from (Variable(_text(one, "key"), frozenset(_targets(one)), None) for one in found)


def _variable(vercel: Service, project: Project, found: dict[str, Any], *, each: bool) -> Variable:
    value = found.get("value") if _is_readable(found) else None
    if each and value is None and found.get("type") == "encrypted":
        path = f"/v1/projects/{quote(project.name, safe='')}/env/{quote(_text(found, 'id'), safe='')}"
        try:
            again = _object(vercel.get(path, project.params))
        except (NotFoundError, ConfigurationError):  # this token may not
            again = {}
        value = again.get("value") if _is_readable(again) else None
    return Variable(_text(found, "key"), frozenset(_targets(found)), Secret(value) if isinstance(value, str) else None)


def _is_readable(found: dict[str, Any]) -> bool:
    """Whether `value` is what the project runs with: what is not decrypted is empty or ciphertext, what is sensitive stays closed."""
    value = found.get("value")
    if found.get("type") == "plain":
        return True
    decrypted = found.get("decrypted", bool(value) and not str(value).startswith(_CIPHERTEXT))
    return found.get("type") in ("encrypted", "secret") and decrypted is True


def _pages(vercel: Service, path: str, name: str, params: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The elements of a list over all its pages: https://vercel.com/docs/rest-api#pagination."""
    until: dict[str, str] = {}
    for _ in range(_PAGES):
        page = _object(vercel.get(path, {**params, "limit": "100", **until}))
        elements = page.get(name)
        if not isinstance(elements, list) or not all(isinstance(one, dict) for one in elements):
            raise ServiceError(f"Vercel's answer to {path} is none of its API's", f"Is {vercel.base} its address?")
        yield from elements
        following = (page.get("pagination") or {}).get("next")
        if not following or not elements:
            return
        until = {"until": str(following)}


def _targets(found: dict[str, Any]) -> Sequence[str]:
    target = found.get("target") or []
    return [target] if isinstance(target, str) else [one for one in target if isinstance(one, str)]


def _text(found: dict[str, Any], name: str) -> str:
    if not isinstance(value := found.get(name), str):
        raise ServiceError(f"Vercel names a variable without {name}")
    return value


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ServiceError("Vercel's answer is no JSON object")
    return found


def _linked(cwd: Path) -> dict[str, str]:
    """What `vercel link` noted in `cwd` or above it."""
    for folder in (cwd, *cwd.parents):
        try:
            found = _object((folder / _LINK).read_bytes())
        except (OSError, AuraError):
            continue
        return {name: value for name, value in found.items() if isinstance(value, str)}
    return {}


def _said(body: bytes) -> str:
    """The message of an answer like `{"error": {"code", "message"}}`."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, TypeError, KeyError):
        return ""
