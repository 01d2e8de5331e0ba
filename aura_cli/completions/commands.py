"""`aura completions`: what shells complete, shown or put in its place."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import typer

from aura_cli.runtime import Runtime

app = typer.Typer(help="Completion in bash, zsh, fish and PowerShell; the manual page.", rich_markup_mode=None, no_args_is_help=True)


class Shown(StrEnum):
    """What can be shown."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"
    MAN = "man"


@app.command()
def show(ctx: typer.Context, shell: Shown = typer.Argument(metavar="SHELL", help="bash, zsh, fish, powershell; man: the manual.")) -> None:
    """Print a shell's completion script, or the manual page.

    Example: source <(aura completions show bash)
    Example: aura completions show man | man -l -
    """
    from aura_cli.completions.scripts import MANUAL, SHELLS, read

    runtime: Runtime = ctx.obj
    content = read(MANUAL if shell is Shown.MAN else SHELLS[shell].file)
    if runtime.options.as_json:
        runtime.console.result({"shell": shell, "text": content.decode()}, list)
    else:
        runtime.console.raw(content)


@app.command()
def install(
    ctx: typer.Context,
    shell: Shown | None = typer.Argument(None, metavar="[SHELL]", help="Without: your login shell, and the manual page."),
) -> None:
    """Put a shell's completion script, and the manual page, where they are looked for; no start-up file is touched.

    Example: aura completions install
    Example: aura completions install zsh -n
    """
    from aura_cli.completions.scripts import Folders, Installed, install, install_manual, of_login_shell
    from aura_cli.errors import ConfigurationError
    from aura_cli.settings import own_folders

    runtime: Runtime = ctx.obj
    environ, dry_run, done = own_folders(), runtime.options.dry_run, list[Installed]()
    folders = Folders.of(environ)
    try:
        if shell is not Shown.MAN:
            done.append(install(shell or of_login_shell(environ.get("SHELL")), folders, dry_run=dry_run))
        if shell in (None, Shown.MAN):
            done.append(install_manual(folders, dry_run=dry_run))
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be written: {error.strerror}", "aura completions show SHELL > FILE") from error

    def lines() -> Iterator[str]:
        for one in done:
            state = "as it was" if not one.changed else "would be written" if dry_run else "written"
            yield f"{one.shell}: {one.path} ({state})"
            if one.then:
                yield f"  {one.then}"

    runtime.console.result({"installed": done}, lines)
