"""The README's pictures show what the program says today, and need nothing but themselves."""

import re
from pathlib import Path

from tests.parts.pictures import FOLDER, NIGHT, night, told


def test_the_night_is_as_it_was_drawn(tmp_path: Path) -> None:
    """The five commands, run again in a sandbox, end as they did and say the same words; `make pictures` draws them anew."""
    for scene, svg in night(tmp_path):
        kept = (FOLDER / f"{scene.name}.svg").read_text(encoding="utf-8")
        assert told(kept) == told(svg), f"{scene.name} is old: make pictures"


def test_nothing_is_fetched() -> None:
    """No font, picture or style sheet from elsewhere."""
    assert {path.stem for path in FOLDER.glob("*.svg")} == {scene.name for scene in NIGHT}
    for path in FOLDER.glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"url\((?!#)|@import|@font-face|<image|<script|href", text)
