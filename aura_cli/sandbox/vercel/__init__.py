"""A stand-in of Vercel's REST API as far as a project's variables go; `make_app(state)` serves it, `plant` sets what a project has."""

from aura_cli.sandbox.vercel.app import error_body, make_app
from aura_cli.sandbox.vercel.state import VercelState, plant

__all__ = ["VercelState", "error_body", "make_app", "plant"]
