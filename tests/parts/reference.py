"""What `make docs` writes: the parts of the README that the program knows (commands, exit codes, settings), the providers' index,
the completion scripts and the manual page."""

import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from aura_cli import errors
from aura_cli.app import root
from aura_cli.integrations.catalogue import INDEX, index
from aura_cli.settings import KNOWN, SURROUNDINGS
from aura_cli.subscriptions.kinds import KINDS
from tests.parts import completions, manual, pictures

_BRACES = str.maketrans("", "", "{}")
README = Path(__file__).parents[2] / "README.md"
_SECTION = re.compile(r"(<!-- generated: (?P<name>[0-9a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def commands() -> Iterator[str]:
    """A table of all commands with their arguments, what they do and their own options."""
    yield "| command | does | options |"
    yield "|---|---|---|"
    for words, command in _leaves("aura", root()):
        arguments = " ".join(piece for param in command.params for piece in param.get_usage_pieces(_context(command))).translate(_BRACES)
        options = " ".join(f"`{max(p.opts, key=len)}`" for p in command.params if p.param_type_name == "option" and p.name != "help")
        about = (command.help or "").strip().split("\n\n")[0].replace("\n", " ")
        yield f"| `{' '.join(f'{words} {arguments}'.split()).replace('|', chr(92) + '|')}` | {about} | {options} |"


def exit_codes() -> Iterator[str]:
    """A table of the exit codes, out of the error classes."""
    yield "| exit | meaning |"
    yield "|--:|---|"
    yield "| 0 | Done; an empty list too. |"
    known = [kind for kind in errors.AuraError.__subclasses__() if kind.__module__ == errors.__name__]  # not those of rooms
    kinds: list[type[errors.AuraError]] = [errors.AuraError, *known]
    for kind in kinds:
        about = (kind.__doc__ or "").split("\n")[0]
        yield f"| {kind.exit_code} | {'Unforeseen: a bug; `--debug` shows where.' if kind is errors.AuraError else about} |"
    yield "| 130, 143 | SIGINT, SIGTERM: stopped at a safe point. |"


def settings() -> Iterator[str]:
    """A table of all settings."""
    yield "| name | what it is | |"
    yield "|---|---|---|"
    for name, known in KNOWN.items():
        remark = f"with `{known.credential}`" if known.credential else "secret" * known.secret
        yield f"| `{name}` | {known.purpose} | {remark} |"
    for name, purpose in SURROUNDINGS.items():
        yield f"| `{name}` | {purpose} | process environment only |"


def drift() -> Iterator[str]:
    """A table of the kinds of drift and what `--apply` does about each."""
    yield "| kind | found | `--apply` |"
    yield "|---|---|---|"
    for kind in KINDS.values():
        where = f"`{kind.table.name}`" if kind.table is not None else ""
        deed = {"UPDATE": f"updates {where}", "INSERT": f"adds to {where}", "GRANT": "grants through the ledger", "REPORT": "reports only"}
        yield f"| `{kind.name}` | {kind.means} | {deed[kind.deed.name]} |"


def night() -> Iterator[str]:
    """What is typed in the pictures of one night, a line each."""
    yield "```sh"
    yield "aura sandbox -- bash"
    yield from (f"{scene.line:<64}  # exit {scene.ends}" if scene.ends else scene.line for scene in pictures.NIGHT)
    yield "exit"
    yield "```"


def picture(name: str) -> Iterator[str]:
    """The words of a picture."""
    yield "```"
    yield from pictures.text((pictures.FOLDER / f"{name}.svg").read_text(encoding="utf-8"))
    yield "```"


def written(text: str) -> str:
    """The README's text with its generated sections as the program now has them."""
    made: dict[str, Callable[[], Iterator[str]]] = {
        "commands": commands,
        "exit-codes": exit_codes,
        "settings": settings,
        "drift": drift,
        "night": night,
    }
    made |= {scene.name: partial(picture, scene.name) for scene in pictures.NIGHT}
    return _SECTION.sub(lambda found: found[1] + "\n".join(made[found["name"]]()) + "\n" + found[3], text)


def _context(command: Any) -> Any:
    return command.context_class(command, info_name="aura")


def _leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "list_commands"):
        yield words, command
        return
    context = _context(command)
    for name in command.list_commands(context):
        yield from _leaves(f"{words} {name}", command.get_command(context, name))


if __name__ == "__main__":
    INDEX.write_bytes(index())
    for path, content in {**completions.scripts(), **manual.page()}.items():
        path.write_text(content, encoding="utf-8")
    before = README.read_text(encoding="utf-8")
    README.write_text(written(before), encoding="utf-8")
    sys.stderr.write("README.md is up to date\n" if written(before) == before else "README.md written\n")
