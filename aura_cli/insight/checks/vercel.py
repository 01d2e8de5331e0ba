"""Vercel: the project answers, and where it runs in our environment, it has what it needs. Values are held together by `aura env check`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from aura_cli.environment.deployed import State, compare, is_of
from aura_cli.environment.vercel import Target, Variable, project, service, variables
from aura_cli.errors import ConfigurationError
from aura_cli.insight.finding import Finding, System, absent, fail, ok
from aura_cli.insight.pages import PAGES
from aura_cli.insight.surroundings import Surroundings, timed
from aura_cli.settings import Settings
from aura_cli.vault.keyring import NAME as ENCRYPTION_KEY
from aura_cli.words import counted

_WRONG = frozenset({State.MISSING, State.MALFORMED, State.INCONSISTENT})


def check(about: Surroundings) -> Iterator[Finding]:
    """Ask for the project's variables. Raises as `Service.get` does."""
    if about.settings.secret("VERCEL_TOKEN") is None:
        yield absent("project", "VERCEL_TOKEN", PAGES[System.VERCEL].keys)
        return
    try:
        meant = project(about.settings, Path.cwd())
    except ConfigurationError:
        yield absent("project", "VERCEL_PROJECT_ID", "vercel link")
        return
    with about.asked(service(about.settings)) as vercel:
        found, latency = timed(lambda: variables(vercel, meant, each=False))
    yield ok("project", f"project {meant.name} answers", latency)
    for target in Target:
        if is_of(about.settings, target):
            yield _judged(about.settings, target, found)


def _judged(settings: Settings, target: Target, found: Sequence[Variable]) -> Finding:
    """A target for which nothing is set is none that anything runs in.

    What differs from here is told of the key that seals alone: with two of those neither reads what the other sealed.
    """
    there = [one for one in found if target in one.targets]
    if not there:
        return ok("variables", f"nothing is set for {target}")
    held = compare(found, settings, [target], {})
    wrong = [one.name for one in held if one.state in _WRONG]
    if wrong:
        return fail("variables", f"{target}: {', '.join(wrong)} missing or wrong", f"aura env check --vercel --target {target}")
    if any(one.name == ENCRYPTION_KEY and one.state is State.DIFFERING for one in held):
        return fail(
            "variables", f"{target}: {ENCRYPTION_KEY} is not the one that is set here", f"aura env check --vercel --target {target}"
        )
    return ok("variables", f"{counted(len(there), 'variable')} for {target}")
