"""The completion scripts, out of the command tree: what `make docs` writes into `completions/`.

shtab reads argparse parsers, so the tree becomes one. Everything in the scripts is static: commands, options, and the values in
`VALUES`; nothing of a customer's, and no Python at a TAB.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import shtab

from aura_cli.app import COMMANDS, Root, root
from aura_cli.completions.scripts import SHELLS
from aura_cli.integrations.overview import tables
from aura_cli.mail import rendering
from aura_cli.pages import GLOBAL
from aura_cli.settings import Environment

FOLDER = Path(__file__).parents[2] / "completions"


def providers() -> list[str]:
    """The ids of the providers that come with aura."""
    return list(tables())


def templates() -> list[str]:
    """The names of the mail templates."""
    return list(rendering.TEMPLATES)


def jobs() -> list[str]:
    """The names of cron's jobs."""
    from aura_cli.cron import jobs

    return list(jobs.JOBS)


VALUES: dict[str, Callable[[], list[str]]] = {"PROVIDER": providers, "TEMPLATE": templates, "JOB": jobs}


def parser() -> argparse.ArgumentParser:
    """The command tree as argparse would have it."""
    made = argparse.ArgumentParser(prog="aura", add_help=False)
    _fill(made, root())
    return made


def scripts() -> dict[Path, str]:
    """What each script has to hold."""
    tree = parser()
    return {FOLDER / shell.file: _tidied(shtab.complete(tree, shell=name)) for name, shell in SHELLS.items()}


def _tidied(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip() + "\n"


def _fill(into: argparse.ArgumentParser, command: Any) -> None:
    """Everything that can be typed after the words that lead to `command`."""
    for written, about in GLOBAL.items():
        if written.endswith(" NAME"):
            made = into.add_argument(written.split()[0], help=_line(about))
            made.choices = [one for one in Environment if one != Environment.SANDBOX]
        elif written.endswith(" FILE"):
            _complete(into.add_argument(written.split()[0], help=_line(about)), shtab.FILE)
        else:
            into.add_argument(*written.split(", "), help=_line(about), action="store_true")
    for parameter in command.params:
        if parameter.param_type_name == "option":
            _add_option(into, parameter)
        else:
            several = "*" if parameter.nargs == -1 else "?"
            _add_values(into.add_argument(parameter.name, nargs=several, help=_line(getattr(parameter, "help", None))), parameter)
    if not any("--help" in action.option_strings for action in into._actions):
        into.add_argument("--help", help="Show what it does, its options and an example", action="store_true")
    if verbs := list(_verbs(command)):
        made = into.add_subparsers(dest="command")
        for name, verb in verbs:
            _fill(made.add_parser(name, help=_line(verb.short_help), add_help=False), verb)


def _verbs(command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "list_commands"):
        return
    context = command.context_class(command, info_name="aura")
    names = command.list_commands(context)
    for name in (*names, *(Root.aliases if isinstance(command, Root) else ())):
        verb = command.get_command(context, name)
        verb.short_help = COMMANDS[name][1] if isinstance(command, Root) and name in COMMANDS else verb.short_help
        if not verb.hidden:
            yield name, verb


def _add_option(into: argparse.ArgumentParser, parameter: Any) -> None:
    names = [*parameter.opts, *parameter.secondary_opts]
    if parameter.is_flag:
        into.add_argument(*names, dest=parameter.name, help=_line(parameter.help), action="store_true")
        return
    metavar = parameter.metavar or "VALUE"
    _add_values(into.add_argument(*names, dest=parameter.name, metavar=metavar, help=_line(parameter.help)), parameter)


def _add_values(action: argparse.Action, parameter: Any) -> None:
    """What can stand in the place of a value: one of a few words, or a file."""
    kind = (parameter.metavar or "").strip("[].").removeprefix("--").upper() or parameter.name.upper()
    words = parameter.type.choices if hasattr(parameter.type, "choices") else VALUES[kind]() if kind in VALUES else None
    if parameter.param_type_name == "option" and parameter.name == "provider":
        words = providers()
    if words:
        action.choices = [getattr(word, "value", word) for word in words]
    elif parameter.type.name in ("path", "file", "filename") or kind == "FILE":
        _complete(action, shtab.FILE)


def _complete(action: argparse.Action, how: Any) -> None:
    action.complete = how  # type: ignore[attr-defined]


def _line(about: str | None) -> str:
    """The first sentence, without what argparse would read as a place for a value."""
    text = " ".join((about or "").split())
    return re.split(r"(?<=[a-z0-9)])[.;] ", text)[0].rstrip(".").replace("%", "%%")
