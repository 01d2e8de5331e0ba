"""Answers, built from the paths at which a provider's file looks for things in them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aura_cli.integrations.provider import Answer, Provider, Request, Verify
from aura_cli.integrations.template import filled, names
from aura_cli.sandbox.providers.addresses import fields_of

_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")

Paths = Mapping[str, Any]  # path → what stands there


def document(paths: Iterable[tuple[str, Any]]) -> Any:
    """A document that holds each value at its path. A later one replaces an earlier, what leads deeper stays."""
    whole: dict[str, Any] = {}
    for path, value in sorted(paths, key=lambda pair: len(_STEP.findall(pair[0]))):
        place, step = whole, ""
        for index, name in _STEP.findall(path):
            place = place.setdefault(step, {}) if isinstance(place.get(step, {}), dict) else place.update({step: {}}) or place[step]
            step = f"[{index}]" if index else name
        place[step] = value
    return _lists(whole.get("", {}))


def _lists(tree: Any) -> Any:
    """`tree` with lists where its keys are indexes."""
    if not isinstance(tree, dict):
        return tree
    if tree and all(str(key).startswith("[") for key in tree):
        return [_lists(tree[key]) for key in sorted(tree, key=lambda key: int(key[1:-1]))]
    return {key: _lists(value) for key, value in tree.items()}


def good(ok: Paths, values: Mapping[str, str]) -> list[tuple[str, Any]]:
    """What an answer holds to count as a good one."""
    return [(path, "sandbox" if wanted == "*" else filled(wanted, values)) for path, wanted in ok.items() if path]


def account_facts(provider: Provider, verify: Verify, account: str, values: Mapping[str, str]) -> dict[str, Any]:
    """What a verify answer says of an account: path → value, for its label and its id; what the file prescribes is so."""
    known = {name for _, fields in fields_of(provider) for name in fields}
    paths = [*names(verify.label[:1]), *names(verify.account or "")]
    made = {path: fact(provider.provider, path, account) for path in paths if path not in known}
    return made | {path: filled(wanted, values) for path, wanted in verify.ok.items() if path in made and wanted != "*"}


def fact(provider: str, path: str, account: str) -> str:
    """What stands at a path of an answer about an account: an e-mail address where the path says so. `provider`: the row's value."""
    last = path.rpartition(".")[2].lower()
    if "mail" in last or last in ("login", "username", "userprincipalname"):
        return f"{account}@{provider}.example.com"
    return f"{account} of {provider}" if "name" in last else f"sandbox-{account}-{last.strip('[]')}"


def verify_answer(provider: Provider, verify: Verify, account: str, scopes: Iterable[str], kept: Paths, values: Mapping[str, str]) -> Any:
    """What the provider says of an account. `kept`: path → what the web app needs of it; `values`: what stands in placeholders."""
    paths = [*good(verify.ok, values), *kept.items(), *account_facts(provider, verify, account, values).items()]
    if verify.scopes:
        paths.append((verify.scopes, list(scopes)))
    first = verify.prefer
    return _behind_another(document([*paths, (f"{first.of}[0].{first.by}", first.word)]), first.of) if first else document(paths)


def _behind_another(whole: Any, path: str) -> Any:
    """`whole` with another element in front of the list at `path`: the one that is preferred is not always the first."""
    name, _, rest = path.partition(".")
    return {**whole, name: _behind_another(whole[name], rest)} if name else [_other(whole[0]), *whole]


def _other(value: Any) -> Any:
    return {name: _other(one) for name, one in value.items()} if isinstance(value, dict) else "another"


def label(provider: Provider, verify: Verify, account: str, values: Mapping[str, str]) -> str | None:
    """What the account is called by the first of the file's labels that has all it needs."""
    known = {**values, **account_facts(provider, verify, account, values)}
    return next((str(filled(one, known)) for one in verify.label if all(known.get(name) for name in names(one))), None)


def token_answer(answer: Answer, secrets: Mapping[str, str], kept: Paths, *, expires_in: Any, scope: Any) -> dict[str, Any]:
    """A token answer in the provider's own shape. `secrets`: place → token; `kept`: path → value; None: it does not say."""
    paths = [("token_type", "Bearer"), *good(answer.ok, {}), *kept.items()]
    paths += [(path, secrets[place]) for place, path in answer.secrets.items() if place in secrets]
    paths += [(path, value) for path, value in ((answer.expires_in, expires_in), (answer.scope, scope)) if value is not None]
    found: dict[str, Any] = document(paths)
    return found


def done(request: Request, values: Mapping[str, str]) -> Any:
    """The answer to a request that only says that something was done."""
    return document(good(request.ok, values))
