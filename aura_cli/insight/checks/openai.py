"""The assistant's model: the key, and whether it may use the model. No token is spent, so that an empty account is not seen."""

import json
from collections.abc import Iterator

from aura_cli.chat.model import DEFAULT, model_of
from aura_cli.errors import NotFoundError, ServiceError
from aura_cli.insight.finding import Finding, System, absent, fail, ok
from aura_cli.insight.pages import PAGES
from aura_cli.insight.surroundings import Surroundings, timed

KEYS = PAGES[System.OPENAI].keys


def check(about: Surroundings) -> Iterator[Finding]:
    """Ask OpenAI for the model (https://platform.openai.com/docs/api-reference/models/retrieve), OpenRouter for the key.

    Raises as `Service.get` does.
    """
    model = model_of(about.settings)
    if model is None:
        yield absent("key", "OPENAI_API_KEY; chats get canned answers", KEYS)
        return
    with about.asked(model.service) as service:
        try:
            answer, latency = timed(lambda: service.get("key" if model.routed else f"models/{DEFAULT}"))
        except NotFoundError as error:
            yield fail("model", error.message, KEYS)
            return
    if not _is_about(answer, "data" if model.routed else "id"):
        raise ServiceError(f"{service.name}'s answer is not what it should be", f"Is {service.base} its address?")
    yield ok("key", f"{service.name} takes the key{'' if model.routed else f' and has {DEFAULT}'}", latency)


def _is_about(answer: bytes, name: str) -> bool:
    try:
        return name in json.loads(answer)
    except (ValueError, TypeError):
        return False
