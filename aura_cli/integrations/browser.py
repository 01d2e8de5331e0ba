"""Whether a browser can be opened here, and with what. Never one that runs in the terminal: it would take the prompt away."""

import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_IN_THE_TERMINAL = {"lynx", "w3m", "links", "links2", "elinks", "www-browser", "browsh", "carbonyl", "edbrowse"}
_GRAPHICAL = "xdg-open", "x-www-browser", "firefox", "chromium", "google-chrome", "chromium-browser"
_WINDOWS = ["wslview"], ["rundll32.exe", "url.dll,FileProtocolHandler"]
_OF_CONTAINERS = "/.dockerenv", "/run/.containerenv"
_SECONDS = 3.0  # within which a launcher says that it cannot


@dataclass(frozen=True)
class Screen:
    """What this terminal says of where it runs: `said` are the variables that tell, `machine` the platform's name."""

    said: Mapping[str, str]
    machine: str = sys.platform
    which: Callable[[str], str | None] = shutil.which
    in_container: Callable[[], bool] = lambda: any(Path(path).exists() for path in _OF_CONTAINERS)

    @property
    def is_remote(self) -> bool:
        return any(self.said.get(name) for name in ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"))

    @property
    def is_windows_below(self) -> bool:
        return bool(self.said.get("WSL_DISTRO_NAME") or self.said.get("WSL_INTEROP"))

    def why_not(self) -> str | None:
        """Why a browser should not be opened unasked; None where it may."""
        if self.is_remote:
            return "this is an SSH session"
        if self.machine == "darwin" or self.is_windows_below:
            return None
        if self.said.get("container") or self.in_container():
            return "this is a container"
        return None if self._has_display else "there is no display"

    def reached_as(self) -> str:
        """How ssh reaches this machine, as far as it can be known."""
        server = self.said.get("SSH_CONNECTION", "").split()
        return server[2] if len(server) == 4 else socket.gethostname()

    def launcher(self) -> list[str] | None:
        """The command that opens an address, which is its last word; None where there is none."""
        known = [shlex.split(named) for named in self.said.get("BROWSER", "").split(":") if _is_balanced(named)]
        if self.machine == "darwin":
            known.append(["open"])
        elif self.is_windows_below:
            known += _WINDOWS
        else:
            known += [[name] for name in _GRAPHICAL if name != "xdg-open" or self._has_display]  # without one it falls back to lynx
        return next(([word for word in words if word != "%s"] for words in known if words and self._shows(words[0])), None)

    @property
    def _has_display(self) -> bool:
        return bool(self.said.get("DISPLAY") or self.said.get("WAYLAND_DISPLAY"))

    def _shows(self, program: str) -> bool:
        """Whether it is there, and does not run in the terminal, by whatever name."""
        found = self.which(program)
        return found is not None and not {Path(program).name, Path(found).resolve().name} & _IN_THE_TERMINAL


def _is_balanced(text: str) -> bool:
    return not (text.count('"') % 2 or text.count("'") % 2)


def opened(command: list[str], address: str, environ: Mapping[str, str]) -> bool:
    """Whether `command` took the address; a browser goes on by itself, in `environ`."""
    quiet = subprocess.DEVNULL
    try:
        started = subprocess.Popen(  # noqa: S603 (words, no shell)
            [*command, address], stdin=quiet, stdout=quiet, stderr=quiet, env=dict(environ), start_new_session=True
        )
        return started.wait(_SECONDS) == 0
    except subprocess.TimeoutExpired:  # it is the browser itself
        started.returncode = 0  # nobody waits for it
        return True
    except OSError:
        return False
