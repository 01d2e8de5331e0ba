"""`aura keys`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aura_cli.runtime import Runtime

if TYPE_CHECKING:
    from aura_cli.vault.keyring import Key
    from aura_cli.vault.rotating import Step

app = typer.Typer(help="The key that seals tokens: where it is used, a new one, rotation.", rich_markup_mode=None, no_args_is_help=True)


@app.command()
def status(ctx: typer.Context) -> None:
    """Count connections and values by the key that opens them; what none opens, and what was never sealed.

    Exit 3 where something needs a person: values under a key that the web app has not, a key that is no good, a rotation under way.
    Example: aura keys status
    """
    from aura_cli.errors import AttentionNeeded
    from aura_cli.vault import telling
    from aura_cli.vault.status import look

    runtime: Runtime = ctx.obj
    tick = runtime.console.progress("connections")
    found = look(runtime.engine, runtime.vault, runtime.sealed_columns, tick)
    runtime.console.end_progress()
    runtime.console.result(found, lambda: telling.table(found), asked=True)
    if found.attention:
        raise AttentionNeeded(". ".join(found.attention), found.hint)


@app.command()
def generate(ctx: typer.Context) -> None:
    """Print a new key, 256 random bits, and nothing else.

    It is stored nowhere. Example: (umask 077; aura keys generate > new.key)
    """
    from secrets import token_urlsafe

    from aura_cli.console import dump

    runtime: Runtime = ctx.obj
    console = runtime.console
    if console.is_terminal:
        console.warn("This key stays in your terminal's memory; better: (umask 077; aura keys generate > new.key)")
    key = token_urlsafe(32)
    console.emit(dump({"key": key}) if console.as_json else key)


@app.command()
def rotate(
    ctx: typer.Context,
    stage: bool = typer.Option(False, "--stage", help="Seal every value under the new key, beside its row; the rows stay as they are."),
    switch: bool = typer.Option(False, "--switch", help="With the new key deployed: put what was staged into the rows. Again: sweep."),
    undo: bool = typer.Option(False, "--undo", help="Put the old values back."),
    new_key_file: Path | None = typer.Option(
        None, "--new-key-file", metavar="FILE", help="Where the new key is; else it is asked for, or read from standard input."
    ),
    seal_plaintext: bool = typer.Option(
        False, "--seal-plaintext", help="With --switch: seal tokens that stand unsealed, too. Whoever wrote them may not expect it."
    ),
) -> None:
    """Bring everything that is sealed under another key, in three steps: --stage, deploy it, --switch; --undo until you are content.

    Each step can be stopped or killed and run again, while the web app and refreshes go on.
    Example: aura keys rotate --stage --new-key-file new.key
    Example: aura keys rotate --switch
    """
    from aura_cli.errors import UsageError

    if stage + switch + undo != 1:
        raise UsageError("A rotation has three steps", "Take one of --stage, --switch, --undo")
    if (new_key_file and not stage) or (seal_plaintext and not switch):
        raise UsageError("--new-key-file belongs to --stage, --seal-plaintext to --switch")
    from aura_cli.vault.rotating import Step

    step = Step.STAGE if stage else Step.SWITCH if switch else Step.UNDO
    _take(ctx.obj, step, new_key_file, seal_plaintext)


def _take(runtime: Runtime, step: Step, file: Path | None, plaintexts: bool) -> None:
    from aura_cli.errors import AttentionNeeded
    from aura_cli.vault import rotating, telling
    from aura_cli.vault.rotating import Step
    from aura_cli.vault.steps import Work

    console, options = runtime.console, runtime.options
    new = _new_key(runtime, file) if step is Step.STAGE else None
    ring = runtime.vault.beside(new) if new else runtime.vault
    work = Work(runtime.engine, ring, runtime.settings.operator, runtime.sealed_columns, console.progress(f"{step}: connections"))
    found = rotating.ready(work, step, new)
    if options.dry_run:
        runtime.check_binding(found.keys)
        report = rotating.foresee(work, found, plaintexts=plaintexts)
    else:
        runtime.authorise(kinds=rotating.expected(work, found), keys=found.keys)
        report = rotating.take(work, step, new, plaintexts=plaintexts)
    console.end_progress()
    console.result(report, lambda: telling.told(report))
    for line in telling.then(report):
        console.say(line)
    if report.lost:
        raise AttentionNeeded(f"{report.lost:,} values are under keys that the web app will not have", "aura keys status shows where")


def _new_key(runtime: Runtime, file: Path | None) -> Key:
    """The key to rotate to, out of the file, from standard input or the prompt; a dry run that is given none makes one up."""
    from secrets import token_urlsafe

    from aura_cli.errors import UsageError
    from aura_cli.settings import Secret
    from aura_cli.vault.keyring import Key

    if file is None and runtime.options.dry_run:
        return Key("new", Secret(token_urlsafe(32)))
    if file is None or str(file) == "-":
        text = runtime.console.read_secret("New key")
    else:
        try:
            text = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise UsageError(f"--new-key-file {file} cannot be read: {why}") from None
        if file.stat().st_mode & 0o077 and file.is_file():
            runtime.console.warn(f"{file} can be read by others: chmod 600 {file}")
    runtime.console.secrets += (text,)
    return Key("new", Secret(text))
