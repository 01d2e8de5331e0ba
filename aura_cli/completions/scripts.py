"""The scripts, and where each shell looks for its own.

They are files that `make docs` writes (`completions/` of the repository, `aura_cli/_completions` of a wheel): a TAB runs no Python.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from aura_cli.errors import ConfigurationError, ConflictError, UsageError

MARK = b"AUTOMATICALLY GENERATED"  # stands in each of ours, so that nobody else's file is written over
MANUAL = "aura.1"


@dataclass(frozen=True)
class Folders:
    """Where a person keeps programs' data and configuration (XDG Base Directory Specification), and zsh its `.zshrc`."""

    home: Path
    data: Path
    config: Path
    zsh: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Those that an environment names or implies. Raises ConfigurationError where there is no home directory."""
        named = environ.get("HOME") or environ.get("USERPROFILE")
        if not named:
            raise ConfigurationError("There is no home directory: HOME is not set", "aura completions show SHELL > FILE")
        home = Path(named)
        data, config = (
            Path(environ.get(name) or home / usual) for name, usual in (("XDG_DATA_HOME", ".local/share"), ("XDG_CONFIG_HOME", ".config"))
        )
        return cls(home, data, config, Path(environ.get("ZDOTDIR") or home))


@dataclass(frozen=True)
class Shell:
    """One shell: the file that it reads, the place where it looks for that, and what makes it look there.

    `rc` and `line`: the start-up file, and the line in it that makes the shell look there, for those that may not do so by themselves.
    """

    file: str
    place: Callable[[Folders], Path]
    rc: Callable[[Folders], Path] | None = None
    line: Callable[[Path], str] = str


@dataclass(frozen=True)
class Installed:
    """A file that was put in its place: `changed` unless it stood there already, `then` what is left to do by hand."""

    shell: str
    path: str
    changed: bool
    then: str | None
    dry_run: bool


SHELLS: Mapping[str, Shell] = {
    "bash": Shell(
        "aura.bash",
        lambda folders: folders.data / "bash-completion" / "completions" / "aura",
        lambda folders: folders.home / ".bashrc",
        lambda path: f". {_quoted(path)}  # not needed where the package bash-completion is installed",
    ),
    "zsh": Shell(
        "_aura",
        lambda folders: folders.data / "zsh" / "site-functions" / "_aura",
        lambda folders: folders.zsh / ".zshrc",
        lambda path: f"fpath=({_quoted(path.parent)} $fpath); autoload -U compinit; compinit",
    ),
    "fish": Shell("aura.fish", lambda folders: folders.config / "fish" / "completions" / "aura.fish"),
    "powershell": Shell(
        "aura.ps1",
        lambda folders: folders.config / "powershell" / "aura.ps1",
        lambda folders: folders.config / "powershell" / "Microsoft.PowerShell_profile.ps1",
        lambda path: f". '{path}'",
    ),
}


def of_login_shell(path: str | None) -> str:
    """Which of SHELLS the path of a login shell ($SHELL) is. Raises UsageError where it is none of them."""
    name = Path(path or "").name.removesuffix(".exe").replace("pwsh", "powershell")
    if name not in SHELLS:
        raise UsageError(f"There is no telling which shell this is ({path or 'SHELL is not set'})", f"Name one: {', '.join(SHELLS)}")
    return name


def read(file: str) -> bytes:
    """A script, or the manual page. Raises ConfigurationError where it was not made."""
    room = Path(__file__).parent.parent
    for folder in (room / "_completions", room.parent / "completions"):
        if (folder / file).is_file():
            return (folder / file).read_bytes()
    raise ConfigurationError(f"{file} is not there", "In a clone of the repository: make docs")


def install(shell: str, folders: Folders, *, dry_run: bool) -> Installed:
    """Put a shell's script where it looks for it. Raises ConflictError for a file there that is not ours, OSError."""
    kind = SHELLS[shell]
    path = kind.place(folders)
    changed = _put(path, read(kind.file), dry_run=dry_run)
    rc = kind.rc(folders) if kind.rc else None
    missing = rc is not None and str(path.parent) not in _text(rc)
    then = f"Add to {rc}:  {kind.line(path)}" if missing else None
    return Installed(shell, str(path), changed, then, dry_run)


def install_manual(folders: Folders, *, dry_run: bool) -> Installed:
    """Put the manual page where `man` looks for those of programs in ~/.local/bin. Raises ConflictError, OSError."""
    path = folders.data / "man" / "man1" / MANUAL
    return Installed("man", str(path), _put(path, read(MANUAL), dry_run=dry_run), None, dry_run)


def _put(path: Path, content: bytes, *, dry_run: bool) -> bool:
    before = path.read_bytes() if path.exists() else None
    if before is not None and MARK not in before:
        raise ConflictError(f"{path} was not written by aura", "Move it away, or: aura completions show SHELL > FILE")
    if before != content and not dry_run:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.new").write_bytes(content)
        path.with_name(f".{path.name}.new").replace(path)
    return before != content


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _quoted(path: Path) -> str:
    """A path as a POSIX shell reads it back."""
    import shlex

    return shlex.quote(str(path))
