"""A stand-in of OpenAI's chat completions: `make_app(state)` serves it, scripts order what it says and what goes wrong."""

from aura_cli.sandbox.openai.app import error_body, make_app
from aura_cli.sandbox.openai.state import OpenAIState

__all__ = ["OpenAIState", "error_body", "make_app"]
