"""`aura env check --vercel`: what the project is set to, per target, held against what is needed and what is set here."""

import json
from collections.abc import Iterator

import pytest

from aura_cli.settings import Settings
from tests.environment.complete import COMPLETE
from tests.parts.program import Aura, Completed
from tests.parts.vercel import Deployment, deployed

WEB = {name: value for name, value in COMPLETE.items() if name != "AURA_ENV"}


@pytest.fixture
def vercel() -> Iterator[Deployment]:
    """A project that has everything for preview, as it is set here for staging."""
    with deployed() as running:
        for name, value in WEB.items():
            running.state.put(name, value, ["preview"])
        yield running


def checked(aura: Aura, vercel: Deployment, *words: str, **changes: str) -> Completed:
    return aura("env", "check", "--vercel", "--target", "preview", *words, env={**COMPLETE, **vercel.env, **changes})


def troubles(done: Completed) -> dict[str, str]:
    """Name → state of what is not in order."""
    return {one["name"]: one["state"] for one in done.json["findings"] if one["state"] not in ("ok", "absent")}


def test_the_same_there_as_here(aura: Aura, vercel: Deployment) -> None:
    """Exit 0: in order, compared."""
    done = checked(aura, vercel)
    assert done.exit == 0, done.err
    assert done.out == f"preview of {vercel.state.project}: 11 in order, 0 unreadable; compared with what is set here.\n"
    found = checked(aura, vercel, "--json").json
    assert (found["compared"], found["bad"], found["team"]) == (["preview"], 0, vercel.state.team)
    assert all(one["compared"] for one in found["findings"] if one["state"] == "ok")


def test_missing_differing_malformed_unreadable(aura: Aura, vercel: Deployment) -> None:
    """Each is named for its target, exit 3; no value of either side is shown, not even with --debug."""
    state = vercel.state
    for name in ("STRIPE_WEBHOOK_SECRET", "RESEND_API_KEY", "STRIPE_SECRET_KEY", "OPENAI_API_KEY", "PRIVY_APP_SECRET"):
        state.remove(name)
    state.put("STRIPE_SECRET_KEY", "sk_live_environment0000000", ["preview"])
    state.put("OPENAI_API_KEY", "sk-test-environment-1111111111", ["preview"])
    state.put("PRIVY_APP_SECRET", "", ["preview"])
    state.remove("INTEGRATION_ENCRYPTION_KEY")
    state.put("INTEGRATION_ENCRYPTION_KEY", COMPLETE["INTEGRATION_ENCRYPTION_KEY"], ["preview", "production"], type="sensitive")
    done = checked(aura, vercel, "--json", "--debug", STRIPE_PRICE_ID="price_Environment", GITHUB_CLIENT_ID="an-id-of-a-test")
    assert (done.exit, troubles(done)) == (
        3,
        {
            "STRIPE_WEBHOOK_SECRET": "missing",
            "RESEND_API_KEY": "degraded",
            "STRIPE_SECRET_KEY": "inconsistent",
            "OPENAI_API_KEY": "differing",
            "PRIVY_APP_SECRET": "malformed",
            "INTEGRATION_ENCRYPTION_KEY": "unreadable",
            "STRIPE_PRICE_ID": "only_here",
            "GITHUB_CLIENT_ID": "only_here",
        },
    )
    assert done.json["bad"] == 4
    text = checked(aura, vercel, "--all")
    for value in [*WEB.values(), *(one.value for one in state.variables)]:
        assert not value or value not in done.out + done.err + text.out + text.err


def test_other_targets_are_not_compared(aura: Aura, vercel: Deployment) -> None:
    """What is set here is staging's: production's values are looked at by themselves."""
    for name, value in {**WEB, "STRIPE_SECRET_KEY": "sk_live_environment0000000"}.items():
        vercel.state.put(name, value.replace("staging.", "www."), ["production"])
    done = aura("env", "check", "--vercel", "--json", env={**COMPLETE, **vercel.env})
    states = {(one["target"], one["state"]) for one in done.json["findings"]}
    assert states == {("production", "ok"), ("production", "absent"), ("preview", "ok"), ("preview", "absent")} | {
        ("development", state) for state in ("missing", "degraded", "absent")
    }
    assert (done.exit, done.json["bad"], done.json["compared"]) == (3, 7, ["preview"])


def test_branches_and_what_the_team_shares(aura: Aura, vercel: Deployment) -> None:
    """A branch's own variable counts for nobody else; a shared one is set, and not read."""
    vercel.state.remove("STRIPE_SECRET_KEY")
    vercel.state.put("STRIPE_SECRET_KEY", COMPLETE["STRIPE_SECRET_KEY"], ["preview"], branch="feature")
    vercel.state.remove("OPENAI_API_KEY")
    vercel.state.put("OPENAI_API_KEY", "sk-shared", ["preview"], shared=True)
    vercel.state.put("RESEND_API_KEY", "re_shared", ["preview"], shared=True)  # the project's own is stronger
    assert troubles(checked(aura, vercel, "--json")) == {"STRIPE_SECRET_KEY": "missing", "OPENAI_API_KEY": "unreadable"}


def test_more_than_a_page_and_a_list_that_withholds(aura: Aura, vercel: Deployment) -> None:
    """Over all pages; where the list gives ciphertext each one is asked for."""
    for number in range(230):
        vercel.state.put(f"OTHER_{number}", "x", ["preview"])
    assert checked(aura, vercel).exit == 0
    vercel.state.withholds = True
    vercel.state.variables = [one for one in vercel.state.variables if not one.key.startswith("OTHER_")]
    assert checked(aura, vercel).out.startswith(f"preview of {vercel.state.project}: 11 in order, 0 unreadable")


def test_what_only_vercel_has(aura: Aura, vercel: Deployment) -> None:
    """A target without --vercel would be passed over in silence: exit 2."""
    assert aura("env", "check", "--target", "preview", env={**COMPLETE, **vercel.env}).exit == 2


def test_which_project(aura: Aura, vercel: Deployment) -> None:
    """As given, as configured, as `vercel link` wrote it; none: exit 4; one that the token does not see: exit 5."""
    unset = {"VERCEL_PROJECT_ID": "", "VERCEL_ORG_ID": ""}
    assert checked(aura, vercel, **unset).exit == 4
    assert checked(aura, vercel, "--project", "aura", "--team", vercel.state.team, **unset).exit == 0
    folder = aura.work / ".vercel"
    folder.mkdir()
    (folder / "project.json").write_text(json.dumps({"projectId": vercel.state.project, "orgId": vercel.state.team, "settings": {}}))
    assert checked(aura, vercel, **unset).exit == 0
    strange = checked(aura, vercel, "--project", "../../v2/user", **unset)
    assert (strange.exit, "shows no project ../../v2/user of the token's own account" in strange.err) == (5, True)
    (folder / "project.json").write_text("nonsense")
    assert checked(aura, vercel, **unset).exit == 4


def test_vercel_refuses_or_fails(aura: Aura, vercel: Deployment) -> None:
    """A wrong token, no token, a target that it does not know, errors of its own: exit codes as everywhere, no traceback."""
    assert checked(aura, vercel, VERCEL_TOKEN="wrong-token-of-a-test").exit == 4
    assert checked(aura, vercel, VERCEL_TOKEN="").exit == 4
    assert aura("env", "check", "--vercel", "--target", "staging", env={**COMPLETE, **vercel.env}).exit == 2
    vercel.faults.change({"server_error": 1.0})
    failed = checked(aura, vercel)
    assert (failed.exit, "Traceback" in failed.err) == (7, False)


def test_a_stray_address(aura: Aura, vercel: Deployment) -> None:
    """VERCEL_API_BASE out of a file does not send the environment's token there."""
    (aura.work / ".env.local").write_text(f"VERCEL_API_BASE={vercel.base}\n")
    (aura.work / ".env.local").chmod(0o600)
    env = {name: value for name, value in vercel.env.items() if name != "VERCEL_API_BASE"}
    settings = Settings.load({**COMPLETE, **env, "AURA_HOME": str(aura.directory)}, aura.work)
    assert settings.get("VERCEL_API_BASE") is None
