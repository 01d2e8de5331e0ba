"""`.env` files mean to us what they mean to the web app.

`contracts/next_env.json` holds what `@next/env` 16.4.6 made of each file (with dotenv 16.3.1 and dotenv-expand 10 inside).
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from aura_cli.dotenv import expand, parse

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "contracts" / "next_env.json").read_text())
names = some.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
texts = some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\r\u2028\u2029"), max_size=40)


def read(files: list[str], environ: dict[str, str]) -> dict[str, str]:
    """The files, strongest first, as `settings` reads them: what the environment does not say."""
    outer = dict(environ)
    for text in files:
        outer = expand(parse(text), outer) | outer
    return {name: text for name, text in outer.items() if name not in environ}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["what"])
def test_as_next_reads_it(case: dict[str, Any]) -> None:
    """Each file gives the names and values that Next.js gives; one that Next.js gives up on is refused."""
    if case.get("circular"):
        with pytest.raises(ValueError, match="refers to itself"):
            read(case["files"], case["environ"])
    else:
        assert read(case["files"], case["environ"]) == case["next"]


@given(some.dictionaries(names, texts.filter(lambda text: "'" not in text and not text.endswith("\\"))))
def test_what_is_quoted_comes_back(values: dict[str, str]) -> None:
    """Whatever stands in single quotes, its dollars escaped, is read verbatim."""
    written = "".join(f"{name}='{text}'\n" for name, text in values.items())
    assert parse(written) == values
    escaped = {name: text.replace("$", "\\$") for name, text in values.items() if "\\$" not in text}
    assert expand(escaped, {}) == {name: values[name] for name in escaped}


@given(some.text(max_size=300), some.dictionaries(names, texts, max_size=3))
def test_any_text_is_read(text: str, environ: dict[str, str]) -> None:
    """No file makes the reader fail in another way than it says."""
    with suppress(ValueError):  # of expand's, where a value refers to itself
        read([text], environ)
    parse(text)
