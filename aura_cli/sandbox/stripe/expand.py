"""`expand[]`: ids in an answer replaced by the objects they name (https://docs.stripe.com/api/expanding_objects)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aura_cli.sandbox.stripe import records
from aura_cli.sandbox.stripe.errors import invalid_parameter
from aura_cli.sandbox.stripe.render import Renderer, deleted, listing
from aura_cli.sandbox.stripe.shapes import JSON

_DEEPEST = 4


def expand(answer: JSON, paths: Iterable[str], render: Renderer) -> JSON:
    """The answer, changed in place. Raises ApiError 400 for a path that is too deep or leads nowhere."""
    for path in sorted(set(paths)):
        parts = path.split(".")
        if len(parts) > _DEEPEST + (parts[0] == "data"):
            raise invalid_parameter(
                "expand", f"You cannot expand more than {_DEEPEST} levels of a property. You attempted to expand {path}."
            )
        _follow(answer, parts, path, render)
    return answer


def _follow(node: Any, parts: list[str], path: str, render: Renderer) -> None:
    for owner in _objects(node):
        name = parts[0]
        if name not in owner and (addition := _HIDDEN.get((str(owner.get("object")), name))) is not None:
            owner[name] = addition(render, owner["id"])
        if name not in owner:
            if owner.get("deleted"):
                continue
            raise invalid_parameter("expand", f"This property cannot be expanded ({path}).")
        value = owner[name]
        if isinstance(value, str):
            owner[name] = value = _named(value, render)
        if len(parts) > 1:
            owner[name] = _copied(value)
            _follow(owner[name], parts[1:], path, render)
        elif not isinstance(value, dict | list | None):
            raise invalid_parameter("expand", f"This property cannot be expanded ({path}).")


def _objects(node: Any) -> Iterator[JSON]:
    if isinstance(node, list):
        for element in node:
            yield from _objects(element)
    elif isinstance(node, dict):
        yield node


def _copied(value: Any) -> Any:
    """Default shapes are shared: what is about to be changed gets its own copy."""
    return dict(value) if isinstance(value, dict) else value


def _named(identifier: str, render: Renderer) -> Any:
    record = render.state.find(identifier)
    if isinstance(record, records.Customer) and record.deleted:
        return deleted("customer", record.id)
    return identifier if record is None else render(record)


def _subscriptions(render: Renderer, customer: str) -> JSON:
    wanted = {"customer": [customer], "standing": ["not_canceled"]}
    found = [render(record) for record in render.state.subscriptions.select(wanted)]
    return listing(found[:10], f"/v1/customers/{customer}/subscriptions", len(found) > 10)


def _line_items(render: Renderer, session: str) -> JSON | None:
    record = render.state.sessions.get(session)
    return None if record is None else render.session_lines(record)


_HIDDEN: dict[tuple[str, str], Callable[[Renderer, str], JSON | None]] = {
    ("customer", "subscriptions"): _subscriptions,
    ("checkout.session", "line_items"): _line_items,
}
