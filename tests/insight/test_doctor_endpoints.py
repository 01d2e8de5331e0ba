"""Which of the webhook endpoints at Stripe doctor takes for ours: by path, and by where the web app and the listener are."""

from collections.abc import Iterator

import pytest

from aura_cli.db.engine import writing
from aura_cli.db.tables import binding
from aura_cli.insight.finding import State, System
from aura_cli.webhooks.endpoints import LIST
from tests.insight.stack import ENDPOINT, Stack, stack

APP, LISTENER = "https://app.example.com", "https://hooks.example.com"
PATH = "/api/webhooks/stripe"
STAGING = f"https://old-staging.example.com{PATH}"
AT_APP = {"NEXT_PUBLIC_APP_URL": APP}


@pytest.fixture
def bare() -> Iterator[Stack]:
    """A stack of whose endpoints none is left."""
    with stack() as found:
        for one in found.stripe("GET", LIST)["data"]:
            found.stripe("DELETE", f"{LIST}/{one['id']}")
        yield found


def disable(well: Stack, endpoint: str) -> None:
    well.stripe("POST", f"{LIST}/{endpoint}", {"disabled": "true"})


def of_the_web_app(well: Stack) -> None:
    """Let the database be one that the web app made, whose balances it grants."""
    with writing(well.engine) as connection:
        connection.execute(binding.update().values(adopted=True))


def test_somebody_else_s_endpoint(bare: Stack) -> None:
    """It gets everything, and we nothing: where events go is told, and how we get them; one that is disabled gets nothing, either."""
    theirs = bare.listens("*", url="https://hooks.zapier.com/x/y")
    what = f"no endpoint of ours, {PATH}; events go to https://hooks.zapier.com/x/y"
    assert bare.told(System.STRIPE, env=AT_APP) == [(State.WARN, what, f"aura webhooks endpoints create {APP}{PATH}")]
    bare.listens(url=ENDPOINT)
    assert bare.told(System.STRIPE) == []
    for one in bare.stripe("GET", LIST)["data"]:
        disable(bare, one["id"])
    bare.stripe("DELETE", f"{LIST}/{next(one['id'] for one in bare.stripe('GET', LIST)['data'] if one['id'] != theirs)}")
    (found,) = [one for one in bare.examine(System.STRIPE).findings if one.name == "endpoint"]
    assert found.state is State.NOT_CONFIGURED


def test_the_web_app_s_own_is_disabled(bare: Stack) -> None:
    """An old one elsewhere with the same path does not stand in for it: it is enabled again, or gets what it lacks."""
    of_the_web_app(bare)
    own = bare.listens("invoice.paid", url=f"{APP}{PATH}")
    bare.listens(url=STAGING)
    repair = f"aura webhooks endpoints enable {own}"
    lacking = f"{APP}{PATH}: 11 missing of the events that are handled"
    assert bare.told(System.STRIPE, env=AT_APP) == [(State.FAIL, lacking, repair)]
    disable(bare, own)
    disabled = f"{APP}{PATH} is disabled: Stripe sends nothing there"
    assert bare.told(System.STRIPE, env=AT_APP) == [(State.FAIL, disabled, repair)]
    assert bare.told(System.STRIPE) == []  # nothing says that the web app is there


def test_a_listener_beside_the_web_app_s(bare: Stack) -> None:
    """Where aura grants the web app's is to be disabled: it is never to be enabled again, and AURA_PUBLIC_URL says who gets events."""
    listener = bare.listens(url=f"{LISTENER}{PATH}")
    disable(bare, bare.listens(url=f"{APP}{PATH}"))
    ((state, detail, fix),) = bare.told(System.STRIPE, env=AT_APP)
    assert (state, fix) == (State.WARN, "aura webhooks endpoints list")
    assert detail.startswith(f"events go to {LISTENER}{PATH}, and not to {APP}{PATH}: AURA_PUBLIC_URL ")
    both = {**AT_APP, "AURA_PUBLIC_URL": LISTENER}
    assert bare.told(System.STRIPE, env=both) == []
    bare.listens(url=STAGING)
    disable(bare, listener)  # the web app's, too, and that is the newer
    ((state, _, fix),) = bare.told(System.STRIPE, env=both)
    assert (state, fix) == (State.FAIL, f"aura webhooks endpoints enable {listener}")
