"""Every command that doctor gives to paste is one: it is in the command tree, with its options."""

import ast
import shlex
from collections.abc import Iterator

import pytest
from typer._click import Context
from typer.core import TyperGroup

from aura_cli.app import root, split_arguments
from tests.test_house import MODULES, Module

ANYTHING = "anything"


def texts(module: Module) -> Iterator[str]:
    """Every text in a module, what is filled in at run time replaced by a word."""
    inside = {id(part) for node in ast.walk(module.tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else ANYTHING for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


DOCTORS = [module for module in MODULES if module.name.startswith(("insight/checks/", "insight/doctor"))]
COMMANDS = sorted({text for module in DOCTORS for text in texts(module) if text.startswith("aura ")})


@pytest.mark.parametrize("command", COMMANDS)
def test_a_fix_is_a_command(command: str) -> None:
    """Its verbs are there, and so are its options."""
    words = split_arguments(shlex.split(command)[1:]).rest
    found = root()
    context = Context(found)
    while isinstance(found, TyperGroup):
        verb = found.get_command(context, words.pop(0))
        assert verb, command
        found = verb
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_there_are_some() -> None:
    """The texts are found."""
    assert len(COMMANDS) > 10
    assert {"aura db upgrade", "aura integrations list --expiring anythingd"} <= {*COMMANDS}
