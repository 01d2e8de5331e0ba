"""`aura completions`: scripts and the manual page that are what the program is, shown whole, and put where shells look for them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from aura_cli.completions.scripts import SHELLS
from tests.parts import completions, manual
from tests.parts.program import Aura

PLACES = {
    "bash": ".local/share/bash-completion/completions/aura",
    "zsh": ".local/share/zsh/site-functions/_aura",
    "fish": ".config/fish/completions/aura.fish",
    "powershell": ".config/powershell/aura.ps1",
    "man": ".local/share/man/man1/aura.1",
}


def test_the_files_are_what_the_program_says() -> None:
    """The scripts and the manual page know every command as it is now; `make docs` writes them."""
    for path, content in {**completions.scripts(), **manual.page()}.items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name} is old: make docs"


@pytest.mark.parametrize("shell", [*SHELLS, "man"])
def test_show_is_the_file_and_install_puts_it_there(aura: Aura, shell: str) -> None:
    """Byte for byte; with -n nothing is written, a second time nothing changes, and a file that is not ours stays."""
    shown = aura("completions", "show", shell)
    assert (shown.exit, shown.err) == (0, "")
    assert aura("completions", "show", shell, "--json").json["text"] == shown.out
    place = aura.directory / "home" / PLACES[shell]
    done = aura("completions", "install", shell, "-n", "--json")
    assert done.json["installed"][0]["path"] == str(place)
    assert not place.parent.exists()
    assert aura("completions", "install", shell).exit == 0
    assert place.read_text(encoding="utf-8") == shown.out
    assert not aura("completions", "install", shell, "--json").json["installed"][0]["changed"]
    place.write_text("mine")
    assert aura("completions", "install", shell).exit == 6
    assert place.read_text() == "mine"


def test_install_takes_the_login_shell_and_says_what_is_left(aura: Aura) -> None:
    """Without a name it is $SHELL, and the manual page; the line for `.zshrc` is told until it is there, and not written."""
    env = {"SHELL": "/usr/bin/zsh", "ZDOTDIR": str(aura.work)}
    done = aura("completions", "install", env=env).out
    assert f"Add to {aura.work}/.zshrc:  fpath=(" in done
    assert (aura.directory / "home" / PLACES["man"]).is_file()
    assert not (aura.work / ".zshrc").exists()
    (aura.work / ".zshrc").write_text(done.split(".zshrc:  ")[1].splitlines()[0])
    assert "Add to" not in aura("completions", "install", env=env).out
    for env in ({"SHELL": "/bin/tcsh"}, {"SHELL": ""}):
        done_ = aura("completions", "install", env=env)
        assert (done_.exit, "bash, zsh, fish, powershell" in done_.err) == (2, True)


def test_install_without_a_place(aura: Aura) -> None:
    """No HOME, and a home that is a file: configuration, said in a line, and what to do instead."""
    assert aura("completions", "install", "fish", env={"HOME": ""}).exit == 4
    (aura.work / "file").touch()
    done = aura("completions", "install", "fish", env={"HOME": str(aura.work / "file")})
    assert done.exit == 4
    assert "completions show" in done.err


def test_a_wheel_carries_them(tmp_path: Path) -> None:
    """They are in the wheel: for `aura completions`, and where a prefix keeps the scripts of bash, zsh and fish and its manual."""
    import sys
    import zipfile

    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=completions.FOLDER.parent, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = {name.partition("/")[2] if ".data/" in name else name for name in wheel.namelist()}
    assert {f"aura_cli/_completions/{path.name}" for path in (*completions.scripts(), *manual.page())} <= names
    shared = "bash-completion/completions/aura", "zsh/site-functions/_aura", "fish/vendor_completions.d/aura.fish", "man/man1/aura.1"
    assert {f"data/share/{path}" for path in shared} <= names


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed (apt: man-db)")
def test_man_reads_the_page() -> None:
    """`man` has nothing to say against the page; what it shows names every group, at any width."""
    (page,) = manual.page()
    for width in ("40", "100"):
        env = {"PATH": "/usr/bin:/bin", "MANWIDTH": width, "LANG": "C.UTF-8", "TERM": "dumb"}
        done = subprocess.run(["man", "--warnings", "-l", str(page)], env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "EXIT STATUS" in done.stdout
        assert "aura users sync" in " ".join(done.stdout.replace("\b", "").split())
