"""The root of the command tree: global options, groups loaded when they are needed, errors turned into exit codes."""

import errno
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from types import FrameType
from typing import Any, ClassVar, NoReturn

import typer
from typer._click import Command, Context
from typer._click.exceptions import ClickException, NoArgsIsHelpError, NoSuchOption
from typer._click.formatting import HelpFormatter
from typer.core import TyperGroup

from aura_cli import __version__, pages
from aura_cli.console import Console
from aura_cli.errors import AuraError, UnreachableError, UsageError
from aura_cli.paging import Pager
from aura_cli.runtime import Options, Runtime
from aura_cli.settings import surroundings

COMMANDS = {  # name → where it is (a Typer app, or a function to be one command), and its line in the help
    "demo": ("aura_cli.sandbox.commands:demo", "The tour: find and repair drift on a sandbox, in half a minute."),
    "sandbox": ("aura_cli.sandbox.commands:sandbox", "Run local stand-ins of the outside services, and a command inside them."),
    "doctor": ("aura_cli.insight.doctor_commands:doctor", "Look at every system at once; say what is wrong and how to mend it."),
    "status": ("aura_cli.insight.status_commands:status", "The service on one screen: people, money, webhooks, mails, jobs, limits."),
    "explain": ("aura_cli.insight.explain_commands:explain", "One person's story over all systems, from any id pasted."),
    "users": ("aura_cli.users.commands:app", "People: sync them from Privy, look them up, check their tokens."),
    "subscriptions": ("aura_cli.subscriptions.commands:app", "Subscriptions: reconcile with Stripe, list, count."),
    "balance": ("aura_cli.subscriptions.balance_commands:app", "Token balances and the grants behind them."),
    "apply": ("aura_cli.drift.commands:apply", "Apply a plan file that a reconcile saved."),
    "serve-webhooks": ("aura_cli.webhooks.serve_commands:serve_webhooks", "Receive Stripe's webhooks, store each once, work on them."),
    "webhooks": ("aura_cli.webhooks.commands:app", "What Stripe's webhooks brought: look, handle again, fetch, send, count."),
    "integrations": ("aura_cli.integrations.commands:app", "Connections to outside services: connect, keep alive, check, end them."),
    "chat": ("aura_cli.chat.commands:app", "Talk with the assistant; sessions are kept, searched and exported."),
    "email": ("aura_cli.mail.commands:app", "Mail to customers: templates, sending, what became of each."),
    "ratelimit": ("aura_cli.ratelimit.commands:app", "The web app's rate limits: look, try, reset."),
    "analytics": ("aura_cli.analytics.commands:app", "Google Analytics: send an event, check one."),
    "keys": ("aura_cli.vault.commands:app", "The key that seals tokens: where it is used, a new one, rotation."),
    "cron": ("aura_cli.cron.commands:app", "Jobs that a clock starts: run one, see how they fare, print them for cron."),
    "init": ("aura_cli.environment.init_commands:init", "Write a file of settings by asking; what is in it stays."),
    "env": ("aura_cli.environment.commands:app", "What is configured, whether it is right, and what this database belongs to."),
    "completions": ("aura_cli.completions.commands:app", "Completion in bash, zsh, fish and PowerShell; the manual page."),
    "db": ("aura_cli.db.commands:app", "The database: upgrade, status, check."),
}
ALIASES = {"serve": "serve-webhooks"}

WIDE_ENOUGH = 60  # characters of a line: for one column of names through all groups
_FLAGS = {"--json": "as_json", "--quiet": "quiet", "--yes": "yes", "--dry-run": "dry_run", "--debug": "debug"}
_LETTERS = {"q": "quiet", "y": "yes", "n": "dry_run"}


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: unwinds as Ctrl-C does, on which psycopg cancels what it waits for; transactions roll back, leases are given up."""

    exit_code: ClassVar[int] = 143


@dataclass
class Arguments:
    """The command line, split into the global options and what Typer gets."""

    options: dict[str, Any] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)


def split_arguments(argv: Sequence[str]) -> Arguments:
    """Take the global options out of `argv`, wherever they stand before a `--`. Raises UsageError for a missing value."""
    found = Arguments()
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--":
            found.rest += [word, *words]
        elif word in _FLAGS:
            found.options[_FLAGS[word]] = True
        elif name in ("--env", "--env-file"):
            text = value if equals else next(words, "")
            if not text or text.startswith("-"):
                raise UsageError(f"{name} needs a value")
            found.options["environment" if name == "--env" else "env_file"] = text
        elif len(word) > 1 and word[0] == "-" and set(word[1:]) <= set(_LETTERS):
            found.options.update(dict.fromkeys((_LETTERS[letter] for letter in word[1:]), True))
        else:
            found.rest.append(word)
    return found


class LazyGroup(TyperGroup):
    """A group that knows its commands from a table, name → where it is, and imports one only when it is called."""

    table: ClassVar[Mapping[str, str]] = {}
    aliases: ClassVar[Mapping[str, str]] = {}

    def list_commands(self, ctx: Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        cmd_name = self.aliases.get(cmd_name, cmd_name)
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name].partition(":")
        target = getattr(import_module(module), attribute)
        if isinstance(target, typer.Typer):
            command: Command = typer.main.get_group(target)
        else:
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command(cmd_name, context_settings=getattr(target, "context_settings", None))(target)
            command = typer.main.get_command(single)
        command.name = cmd_name
        pages.in_plain_words(command)
        return command

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except ClickException as error:
            error.message = f"{error.message.rstrip('.')}.{pages.near(args[0], [*self.table])}"
            raise


class Root(LazyGroup):
    """All groups; its help names them without importing any."""

    table: ClassVar[Mapping[str, str]] = {name: place for name, (place, _) in COMMANDS.items()}
    aliases: ClassVar[Mapping[str, str]] = ALIASES

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        widest = max(map(len, COMMANDS)) if formatter.width >= WIDE_ENOUGH else 0
        for heading, rows in pages.grouped({name: line for name, (_, line) in COMMANDS.items()}):
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(widest), line) for name, line in rows])

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        with formatter.section("Options of every command"):
            formatter.write_dl([*pages.GLOBAL.items()])
        formatter.write_paragraph()
        formatter.write_text(pages.EXITS)


def _print_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"aura {__version__}\n")
        raise typer.Exit


def root() -> Command:
    """The whole command tree as one Click command."""
    app = typer.Typer(cls=Root, add_completion=False, rich_markup_mode=None, no_args_is_help=True)

    @app.callback()
    def aura(
        version: bool = typer.Option(False, "--version", "-V", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ) -> None:
        """The operators' command line of AURA: users, money, mail, chats and connections, kept in order.

        Example: aura doctor
        Example: aura explain someone@example.com
        Example: aura users list --help
        """

    command = typer.main.get_command(app)
    pages.in_plain_words(command)
    return command


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error has been told to the person by then."""
    _mend_streams()
    console = Console(as_json="--json" in argv)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        arguments = split_arguments(argv)
        options = Options(**arguments.options)
        console = Console(as_json=options.as_json, quiet=options.quiet, yes=options.yes, pager=Pager.of(surroundings()))
        _log_to(console, logging.DEBUG if options.debug else logging.WARNING)
        with Runtime(options, console) as runtime:
            threading.excepthook = partial(_of_a_thread, runtime, arguments.rest)
            try:
                return _invoke(arguments.rest, runtime)
            except Exception as error:
                _forget_details(error)
                if not isinstance(error, (AuraError, BrokenPipeError)) and not _known(error):
                    runtime.report(error, _verb(arguments.rest))
                raise
    except (KeyboardInterrupt, Terminated) as stop:
        console.warn(str(stop) or "Stopped at a safe point; nothing is half-written.")
        return getattr(stop, "exit_code", 130)
    except BrokenPipeError:  # whoever reads what comes as it happens has read enough
        console.drop_output()
        return 0
    except Exception as error:  # noqa: BLE001 (the last place that can tell the person)
        return _tell(error, console, debug="--debug" in argv)


def _mend_streams() -> None:
    """Give the program the streams that its caller closed (`>&-`); no character is an error where the terminal lacks it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 (open until the process ends)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _invoke(words: list[str], runtime: Runtime) -> int:
    """Parse and run as Click's `main` does, which would turn a closed pipe and Ctrl-C into exit codes of its own."""
    command = root()
    words = [*words[1:], "--help"] if words[:1] == ["help"] else words
    try:
        with command.make_context("aura", words, obj=runtime, terminal_width=pages.width(), help_option_names=["-h", "--help"]) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    except NoArgsIsHelpError as help_text:
        runtime.console.out.write(help_text.format_message() + "\n")
        return 2
    except ClickException as error:
        raise UsageError(_said(error), _usage(error)) from None
    except typer.Abort:
        raise KeyboardInterrupt from None
    return 0


def _verb(words: Sequence[str]) -> str:
    """The command's name out of a command line, without anything that a person gave it."""
    command, names = root(), ["aura"]
    with suppress(Exception):  # what could not be imported before cannot be now
        for word in words:
            if not isinstance(command, TyperGroup) or (found := command.get_command(Context(command), word)) is None:
                break
            command, names = found, [*names, word]
    return " ".join(names)


def _said(error: ClickException) -> str:
    """Click's message; of an option that it does not know also which of the global ones may be meant."""
    if isinstance(error, NoSuchOption) and not error.possibilities:
        return error.format_message().rstrip(".") + "." + pages.near(error.option_name, [*_FLAGS, "--env", "--env-file"])
    return pages.in_numbers(error.format_message())


def _usage(error: ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"See: {context.command_path} --help" if context else ""


def _tell(error: Exception, console: Console, *, debug: bool) -> int:
    """Tell the person of an error, with --debug of where it comes from, and return its exit code."""
    if debug:
        import traceback

        console.warn("".join(traceback.format_exception(error)).rstrip())
    told = error if isinstance(error, AuraError) else _known(error)
    if told and not isinstance(error, AuraError) and isinstance(error, OSError):
        console.drop_output()
    if not told:
        told = AuraError(f"Unforeseen: {type(error).__name__}: {error}", "This is a bug in aura; --debug shows where")
    console.error(told)
    return told.exit_code


def _forget_details(error: Exception) -> None:
    """What a database's error says of people's rows reaches neither the terminal nor Sentry."""
    if "sqlalchemy" in sys.modules:
        from aura_cli.db.failures import forget_details

        forget_details(error)


def _known(error: Exception) -> AuraError | None:
    """A full disk, and database errors, which reach this point untranslated, from wherever a statement ran."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnreachableError(f"There is no room to write: {error.strerror}", "Make room and run it again")
    if "sqlalchemy" not in sys.modules:
        return None
    from aura_cli.db.failures import translate

    return translate(error)


def _log_to(console: Console, level: int) -> None:
    class Redacted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            console.warn(self.format(record))

    handler = Redacted()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)  # Python's own handler would write them past the redaction
    logging.getLogger("httpcore").setLevel(logging.WARNING)  # each byte on the wire is nobody's question
    logging.getLogger("httpx").addFilter(_origin_alone)  # it logs whole addresses, in which tokens may stand


def _of_a_thread(runtime: Runtime, words: Sequence[str], failed: threading.ExceptHookArgs) -> None:
    """An error that ended a thread: Python's own handler would write it past the redaction."""
    error = failed.exc_value
    if isinstance(error, Exception):
        _forget_details(error)
        trace = (failed.exc_type, error, failed.exc_traceback) if runtime.options.debug else None
        logging.getLogger("aura_cli").error("A thread ended: %s: %s", type(error).__name__, error, exc_info=trace)
        runtime.report(error, _verb(words))


def _origin_alone(record: logging.LogRecord) -> bool:
    import httpx  # whoever logs has loaded it

    if isinstance(record.args, tuple):
        record.args = tuple(f"{part.scheme}://{part.netloc.decode()}/…" if isinstance(part, httpx.URL) else part for part in record.args)
    return True


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
