"""The pictures of one night in five commands: the real program on a sandbox, on a terminal, drawn by rich as SVG.

`make pictures` writes them. They need nothing but themselves: no font and no address is fetched by whoever looks at them.
"""

import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.text import Text

from tests.parts.program import Aura
from tests.parts.terminal import on_a_terminal

FOLDER = Path(__file__).parents[1] / "pictures"
CUSTOMER = "cus_DZuRSueCyNcE8C"  # whom the sandbox's seed makes, and whose subscription has not arrived
WIDTH = 100
_CHARACTER = 12.2  # units of a picture, which rich draws so wide
TRIES = 5  # on a machine that has much to do answers come late, which the doctor says


@dataclass(frozen=True)
class Scene:
    """One command of the night: its picture's name, what is typed, how it ends, and what is wrong in its surroundings."""

    name: str
    words: str
    ends: int
    wrong: Mapping[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """What is typed, as a shell takes it."""
        return " ".join([*(f"{name}={value}" for name, value in self.wrong.items()), "aura", self.words])


NIGHT = (
    Scene("1-status", "status", 0),
    Scene("2-doctor", "doctor", 3, {"OPENAI_API_KEY": "sk-sandbox-that-was-replaced"}),
    Scene("3-explain", f"explain {CUSTOMER}", 3),
    Scene("4-reconcile", f"subscriptions reconcile {CUSTOMER} --apply", 0),
    Scene("5-explain", f"explain {CUSTOMER}", 0),
)


def night(folder: Path) -> Iterator[tuple[Scene, str]]:
    """Each scene and its picture, in one sandbox. `folder` is empty. Raises AssertionError where one ends otherwise."""
    aura = Aura(folder, fresh=True)
    for name in ("home", "data", "work"):
        (folder / name).mkdir()
    with aura.start("sandbox", "--json") as process:
        assert process.stdout
        try:
            env = {**aura.environment, **json.loads(process.stdout.readline())["env"], "AURA_OPERATOR": "night", "AURA_PAGER": "cat"}
            env |= {"TERM": "xterm-256color", "COLUMNS": str(WIDTH), "LINES": "60"}
            env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
            for scene in NIGHT:
                for _ in range(TRIES):
                    code, shown = on_a_terminal(["bash", "-c", scene.line], env, aura.work)
                    if "slow: " not in shown:
                        break
                assert code == scene.ends, shown
                yield scene, drawn(scene.line, re.sub(r"/\S*/aura-sandbox-\w+", "/tmp/aura-sandbox", shown))
        finally:
            process.terminate()


def drawn(line: str, shown: str) -> str:
    """A terminal in which `line` was typed and `shown` came, as SVG."""
    terminal = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    terminal.print(Text.assemble(("$ ", "dim"), (line, "bold")))
    terminal.print(Text.from_ansi(shown.rstrip()))
    svg = terminal.export_svg(title="aura", unique_id="aura")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL) + "\n"


def told(svg: str) -> list[str]:
    """The words of a picture, without numbers, times and bars, which no two nights have alike."""
    texts = [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    return re.findall(r"[A-Za-z][A-Za-z_-]+", " ".join(texts))


def text(svg: str) -> list[str]:
    """The lines of a picture as they stood on the terminal."""
    lines: dict[int, str] = {}
    for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        if found := re.search(r"line-(\d+)", element.get("clip-path", "")):
            number, column = int(found[1]), round(float(element.get("x", "0")) / _CHARACTER)
            lines[number] = lines.get(number, "").ljust(column) + (element.text or "").replace("\xa0", " ")
    return [lines.get(number, "").rstrip() for number in range(max(lines) + 1)]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        for scene, svg in night(Path(place)):
            (FOLDER / f"{scene.name}.svg").write_text(svg, encoding="utf-8")
