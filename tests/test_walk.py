"""The walk over every command: its help, its examples, a bad option, `--json`, its exit code, and what it may load."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import pytest
from typer._click import Command, Context
from typer._click.exceptions import BadParameter

from aura_cli import errors
from aura_cli.app import COMMANDS, root, split_arguments
from aura_cli.pages import GROUPS, examples, in_numbers
from tests.parts.program import Aura
from tests.parts.sampling import sample
from tests.test_house import HEAVY

DOCUMENTED = {0, 130, 143, errors.AuraError.exit_code, *(kind.exit_code for kind in errors.AuraError.__subclasses__())}
UNENDING = {"demo", "sandbox", "serve-webhooks", "webhooks tail", "chat repl"}  # each has tests of its own
GOING = {  # what the walk calls them with, where the first example would not get far; {names} are what the sandbox has
    "apply": "{plan} -n",
    "balance grant": "{who} 500 --reason test",
    "balance show": "{who}",
    "chat delete": "{session} -n",
    "chat export": "{session} --format json",
    "chat search": "rain",
    "chat show": "{session}",
    "completions show": "zsh",
    "cron run": "prune",
    "db downgrade": "-n",
    "email invite": "--workspace {who} --email ravi@example.com -n",
    "email render": "welcome",
    "email send": "welcome --user {who}",
    "email suppressed": "",
    "explain": "{who}",
    "email templates": "",
    "integrations access-token": "telegram --user {who} --reveal",
    "integrations connect": "trello --user {who} -n",
    "integrations disconnect": "telegram --user {who} -n",
    "integrations providers": "",
    "integrations show": "{who} telegram",
    "integrations verify": "{who}",
    "keys rotate": "--switch -n",
    "subscriptions list": "",
    "subscriptions reconcile": "",
    "subscriptions show": "{who}",
    "users export": "",
    "users list": "",
    "users show": "{who}",
    "webhooks endpoints disable": "{endpoint} -n",
    "webhooks endpoints enable": "{endpoint}",
    "webhooks replay": "{event} -n",
    "webhooks show": "{event}",
}
ARRAYS = {
    "db check",
    "integrations verify",
    "subscriptions show",
    "users export",
}  # arrays, and no columns to choose
ENDS = {  # with another exit code than 0, in the sandbox and with what stands above
    "analytics send": {5},
    "analytics validate": {3},
    "db downgrade": {0, 6},
    "doctor": {0, 3},
    "keys rotate": {0, 6},
    "status": {0, 3},
    "subscriptions reconcile": {3},
    "users duplicates": {0, 3},
    "users sync": {0, 3},
    "users verify-token": {2},
    "webhooks send": {8},
    "webhooks stats": {0, 3},
}


@dataclass(frozen=True)
class Leaf:
    """One command: the words that call it, and Click's own of it."""

    words: str
    command: Command

    @property
    def lists(self) -> bool:
        """Whether it is a list, of which one chooses columns."""
        return any("--columns" in one.opts for one in self.command.params)


def leaves(words: str, command: Any) -> Iterator[Leaf]:
    """Every command of the tree."""
    if not hasattr(command, "list_commands"):
        yield Leaf(words, command)
        return
    context = command.context_class(command, info_name="aura")
    for name in command.list_commands(context):
        yield from leaves(f"{words} {name}".strip(), command.get_command(context, name))


LEAVES = {leaf.words: leaf for leaf in leaves("", root())}


def called(line: str) -> list[str]:
    """What a line of shell calls `aura` with."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    words = list(reader)
    words = words[words.index("aura") + 1 :]
    end = next((number for number, word in enumerate(words) if set(word) <= set("|<>&;()")), len(words))
    return words[:end]


@pytest.mark.parametrize("words", LEAVES)
def test_examples_are_commands_that_parse(words: str) -> None:
    """Every command has one, of itself, and the parser takes each: no option that is gone, no argument too few."""
    shown = examples(LEAVES[words].command)
    assert shown, "its docstring ends without an Example:"
    for line in shown:
        arguments = split_arguments(called(line)).rest
        assert arguments[: len(words.split())] == words.split(), line
        with LEAVES[words].command.make_context(words, arguments[len(words.split()) :]) as context:
            assert isinstance(context, Context)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_helps_fit_the_terminal(aura: Aura, width: int) -> None:
    """No line of any help is wider than the terminal; nothing but text in it."""
    for words in ("", *LEAVES):
        with root().make_context("aura", [], resilient_parsing=True, terminal_width=width) as top:
            command = LEAVES[words].command if words else root()
            with command.make_context(f"aura {words}".strip(), [], parent=top, resilient_parsing=True) as context:
                text = context.get_help()
        assert "\x1b" not in text
        too_wide = [line for line in text.splitlines() if len(line) > width and len(line.split()) > 2 and "Usage" not in line]
        assert not too_wide, words
    env = {"COLUMNS": str(width)}
    done = aura("help", "users", "list", env=env)
    assert done.out == aura("users", "list", "--help", env=env).out == aura("users", "list", "-h", env=env).out
    assert (done.exit, max(map(len, done.out.splitlines())) <= width) == (0, True)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("usrs list", "'users'"),
        ("users lst", "'list'"),
        ("integrations refrsh", "'refresh'"),
        ("webhooks endpoints enabel", "'enable'"),
        ("users list --jsn", "'--json'"),
        ("db upgrade --dryrun", "'--dry-run'"),
        ("users list --formt csv", "--format"),
        ("integrations providers slak", "slack"),
        ("cron run reconcil", "reconcile"),
    ],
)
def test_did_you_mean(aura: Aura, words: str, meant: str) -> None:
    """A slip in a command, a verb, an option (the global ones too), a provider or a job leads to what there is."""
    done = aura(*words.split())
    assert done.exit in (2, 5), done.err
    assert re.search(rf"(Did you mean|Possible options:?) ?.*{meant}", done.err, re.DOTALL), done.err


def test_every_command_stands_in_a_group() -> None:
    """The help's groups name each command once, and none that is not there."""
    named = [name for names in GROUPS.values() for name in names]
    assert len(named) == len(set(named))
    assert set(COMMANDS) <= set(named)


@pytest.mark.parametrize("words", [words for words in LEAVES if words != "chat search"])  # which looks for words like -test
def test_a_bad_option_is_usage(aura: Aura, words: str) -> None:
    """2, and with --json one object on stderr; stdout stays empty."""
    done = aura(*words.split(), "--no-such-option", "--json")
    assert (done.exit, done.out) == (2, "")
    assert json.loads(done.err)["error"]["kind"] == "usage"


def test_a_number_that_is_none(aura: Aura) -> None:
    """Each option that takes a number says so, in words, of what is none and of one out of its range; exit 2."""
    numbers = [(leaf, one) for leaf in LEAVES.values() for one in leaf.command.params if one.type.name.startswith(("int", "float"))]
    assert len(numbers) > 20
    for leaf, one in numbers:
        for text in ("abc", "-1000000000000"):
            with pytest.raises(BadParameter) as refused:
                one.type_cast_value(Context(leaf.command), (text,) * one.nargs if one.nargs != 1 else text)
            assert re.search(r" is (no|no whole) number\.$| is less than [\d.]+\.$| is not between ", in_numbers(refused.value.message)), (
                leaf.words
            )
            if one.type.name in ("int", "float"):  # without a range
                break
    done = aura("users", "list", "--limit", "abc")
    assert (done.exit, done.out) == (2, "")
    assert done.err == "Error: Invalid value for '--limit': 'abc' is no whole number.\n  See: aura users list --help\n"


@dataclass(frozen=True)
class Walked:
    """A sandbox that runs, its environment, and the names of things in it."""

    aura: Aura
    env: Mapping[str, str]
    names: Mapping[str, str]

    def arguments(self, words: str) -> list[str]:
        """What a command is called with."""
        if words in GOING:
            return shlex.split(GOING[words].format(**self.names))
        line = re.sub(r" --(json|format \w+)\b", "", examples(LEAVES[words].command)[0])
        return called(line)[len(words.split()) :]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    """A sandbox in which there is one of everything."""
    aura = Aura(tmp_path_factory.mktemp("walk"))
    for name in ("home", "data", "work"):
        (aura.directory / name).mkdir()
    with aura.start("sandbox", "--users", "40", "--json") as process:
        assert process.stdout
        env: dict[str, str] = json.loads(process.stdout.readline())["env"]
        who = aura("users", "list", "--limit", "1", "--json", env=env).json[0]["id"]
        with urlopen(f"{env['AURA_SANDBOX_PROVIDERS']}/_sandbox/credentials/telegram") as answer:
            credentials = answer.read().decode()
        connected = aura("integrations", "connect", "telegram", "--user", who, "--credentials", "-", env=env, input=credentials)
        assert connected.exit == 0, connected.err
        assert aura("webhooks", "backfill", env=env).exit in (0, 3)
        event = aura("webhooks", "list", "--limit", "1", "--json", env=env).json[0]["id"]
        session = aura("chat", "ask", "Will there be rain?", "--json", env=env).json["session"]
        endpoint = aura("webhooks", "endpoints", "create", "https://hooks.example.com/stripe", "--json", env=env).json["id"]
        plan = str(aura.work / "plan.jsonl")
        assert aura("subscriptions", "reconcile", "--save-plan", plan, env=env).exit == 3
        yield Walked(aura, env, {"who": who, "event": event, "session": session, "endpoint": endpoint, "plan": plan})
        process.terminate()


@pytest.mark.parametrize("words", [words for words in LEAVES if words not in UNENDING])
def test_json_and_nothing_else(walked: Walked, words: str) -> None:
    """stdout is one JSON value (of a list an array), or empty where the command failed, and then stderr ends with the error as
    one object; the exit code is the one that is meant."""
    done = walked.aura(*words.split(), *walked.arguments(words), "--json", env=walked.env)
    assert done.exit in DOCUMENTED - {1}, done.err
    if words in GOING or words in ENDS:
        assert done.exit in ENDS.get(words, {0}), done.err
    if done.out:
        assert isinstance(done.json, list if LEAVES[words].lists or words in ARRAYS else dict)
    if done.exit and not (done.exit == 3 and done.out):  # what a result says of drift needs no error beside it
        assert set(json.loads(done.err.splitlines()[-1])["error"]) == {"kind", "message", "hint"}
    else:
        assert done.out, "it worked, and said nothing"


NOTHING = set[str]()
FILES = {"msgspec"}  # catalogues and templates
STORE = {"sqlalchemy", "psycopg", "msgspec"}
SEALED = STORE | {"cryptography"}
SERVICES = STORE | {"httpx"}
EVERYTHING = SERVICES | SEALED | {"authlib", "jwt", "aiohttp", "jinja2"}
MAY_LOAD = {  # of what is heavy; nobody loads openai, stripe or pydantic, and sentry_sdk only who has something to report
    "completions show, completions install, keys generate, cron print": NOTHING,
    "integrations providers, email templates, env show": FILES,
    "init": {"cryptography"},
    "email render": FILES | {"jinja2"},
    "users list, users show, users export, users duplicates": STORE,
    "subscriptions list, subscriptions show, subscriptions stats, balance show": STORE,
    "webhooks list, webhooks show, email log, email suppressed": STORE,
    "chat list, chat show, chat search, chat export, chat delete": STORE,
    "cron list, db status, db check": STORE,
    "db upgrade, db downgrade": SERVICES | {"alembic"},
    "integrations list, integrations show, keys status, users takeout": SEALED,
    "status, users sync, subscriptions reconcile, balance grant, chat ask, chat prune": SERVICES,
    "webhooks replay, webhooks stats, webhooks prune, webhooks backfill": SERVICES,
    "webhooks endpoints list, webhooks endpoints create, webhooks endpoints enable, webhooks endpoints disable": SERVICES,
    "email retry, email suppress, email prune, env bind": SERVICES,
    "ratelimit show, ratelimit try, ratelimit reset, analytics send, analytics validate": SERVICES,
    "email send, email invite": SERVICES | {"jinja2"},
    "webhooks work": SERVICES | SEALED | {"jinja2"},
    "webhooks send": SERVICES | {"aiohttp"},
    "users verify-token": SEALED | {"httpx", "jwt"},
    "keys rotate, explain, env check, users erase": SEALED | {"httpx"},
    "integrations connect, integrations verify, integrations refresh, integrations access-token, integrations disconnect": EVERYTHING,
    "users merge, apply, doctor, cron run": EVERYTHING,
}
NOTED = (  # the program, which writes down at its end what it has loaded
    "import atexit, pathlib, runpy, sys; place = pathlib.Path(sys.argv.pop(1))\n"
    "atexit.register(lambda: place.write_text(' '.join({name.split('.')[0] for name in sys.modules})))\n"
    "runpy.run_module('aura_cli', run_name='__main__', alter_sys=True)"
)


def test_every_command_has_a_row() -> None:
    """The table of what may be loaded names every command that ends by itself, once."""
    named = [words for row in MAY_LOAD for words in row.split(", ")]
    assert sorted(named) == sorted(LEAVES.keys() - UNENDING)


@pytest.mark.parametrize("words", sample([words for row in MAY_LOAD for words in row.split(", ")], 12))
def test_what_a_command_loads(walked: Walked, words: str) -> None:
    """At work, with everything configured, it loads no more of what is heavy than its row of the table allows."""
    place = walked.aura.directory / "loaded"
    command = [sys.executable, "-c", NOTED, str(place), *words.split(), *walked.arguments(words)]
    env = {**walked.aura.environment, **walked.env}
    subprocess.run(command, cwd=walked.aura.work, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    allowed = next(allowed for row, allowed in MAY_LOAD.items() if words in row.split(", "))
    assert set(place.read_text().split()) & (HEAVY | {"authlib", "jinja2"}) <= allowed
