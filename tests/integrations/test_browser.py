"""Whether a browser is opened, and which: never in the terminal, never where nobody would see it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from aura_cli.integrations.browser import Screen, opened


def screen(said: Mapping[str, str], *installed: str, machine: str = "linux", container: bool = False) -> Screen:
    return Screen(said, machine, lambda name: f"/usr/bin/{name}" if name in installed else None, lambda: container)


@pytest.mark.parametrize(
    ("said", "machine", "container", "why"),
    [
        ({"DISPLAY": ":0"}, "linux", False, None),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", False, None),
        ({}, "darwin", False, None),
        ({"WSL_DISTRO_NAME": "Debian"}, "linux", False, None),
        ({}, "linux", False, "there is no display"),
        ({"DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}, "linux", False, "this is an SSH session"),
        ({"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.8 22"}, "darwin", False, "this is an SSH session"),
        ({"DISPLAY": ":0"}, "linux", True, "this is a container"),
        ({"DISPLAY": ":0", "container": "podman"}, "linux", False, "this is a container"),
    ],
)
def test_where_one_may_be_opened(said: dict[str, str], machine: str, container: bool, why: str | None) -> None:
    """Where somebody sits in front of it; else it is said why not."""
    assert screen(said, machine=machine, container=container).why_not() == why


@pytest.mark.parametrize(
    ("said", "installed", "machine", "command"),
    [
        ({"DISPLAY": ":0"}, ("xdg-open", "firefox"), "linux", ["xdg-open"]),
        ({"DISPLAY": ":0", "BROWSER": "firefox -P work %s"}, ("xdg-open", "firefox"), "linux", ["firefox", "-P", "work"]),
        ({"DISPLAY": ":0", "BROWSER": "w3m:lynx:chromium"}, ("w3m", "lynx", "chromium"), "linux", ["chromium"]),
        ({"DISPLAY": ":0", "BROWSER": "lynx"}, ("lynx", "xdg-open"), "linux", ["xdg-open"]),
        ({"DISPLAY": ":0", "BROWSER": "'"}, ("firefox",), "linux", ["firefox"]),
        ({}, ("xdg-open", "firefox"), "linux", ["firefox"]),  # without a display xdg-open falls back to lynx
        ({}, ("xdg-open",), "linux", None),
        ({}, ("open",), "darwin", ["open"]),
        ({"WSL_INTEROP": "/run/WSL/1"}, ("wslview", "firefox"), "linux", ["wslview"]),
        ({"WSL_INTEROP": "/run/WSL/1"}, ("rundll32.exe",), "linux", ["rundll32.exe", "url.dll,FileProtocolHandler"]),
    ],
)
def test_which_one(said: dict[str, str], installed: tuple[str, ...], machine: str, command: list[str] | None) -> None:
    """The person's own first; none that runs in the terminal, by whatever name it goes."""
    assert screen(said, *installed, machine=machine).launcher() == command


def test_a_text_browser_by_another_name(tmp_path: Path) -> None:
    """An alternative that leads to lynx is lynx."""
    (tmp_path / "lynx").touch()
    (tmp_path / "x-www-browser").symlink_to(tmp_path / "lynx")
    named = Screen({"DISPLAY": ":0"}, "linux", lambda name: str(tmp_path / name) if name == "x-www-browser" else None)
    assert named.launcher() is None


def test_whether_it_took_the_address() -> None:
    """What fails, or is not there, did not."""
    assert opened(["true"], "http://127.0.0.1/", {})
    assert not opened(["false"], "http://127.0.0.1/", {})
    assert not opened(["/nonexistent/browser"], "http://127.0.0.1/", {})
