"""What a route is: a method, a path, the parameters it takes, and a function from a call to an answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aura_cli.sandbox.stripe.pages import Page
from aura_cli.sandbox.stripe.params import Fields
from aura_cli.sandbox.stripe.records import Metadata, Record
from aura_cli.sandbox.stripe.shapes import JSON
from aura_cli.sandbox.stripe.state import StripeState


@dataclass(frozen=True)
class Call:
    """A request that has passed: `id` from the path, the values of the parameters that were given."""

    state: StripeState
    id: str
    given: Mapping[str, Any]


Answer = Record | Page | JSON
Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    handler: Handler
    fields: Fields
    required: tuple[str, ...] = ()


def merged(old: Metadata, given: Mapping[str, str] | None) -> Metadata:
    """Metadata after an update: an empty value removes its key, None removes everything."""
    if given is None:
        return {}
    return {key: value for key, value in {**old, **given}.items() if value != ""}


def changes(call: Call, *names: str) -> dict[str, Any]:
    """Those of the given parameters that are attributes of the record under the same name."""
    return {name: call.given[name] for name in names if name in call.given}
