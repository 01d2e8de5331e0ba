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

from aura_cli.dotenv import expand, merged, parse

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


few = some.sampled_from(["A", "B", "AB"])
awkward = some.text(some.sampled_from("ab '\"`#$\\n\t=:{}\n-é"), max_size=8)
entries = some.tuples(
    some.sampled_from(["", "export ", "# "]), few, some.sampled_from(["=", " = ", ": "]), awkward, some.sampled_from(["", " # c"])
)
files = some.lists(some.one_of(entries.map("".join), awkward), max_size=6).map("\n".join)


@given(files, some.dictionaries(few, awkward, max_size=2))
def test_what_is_merged_comes_back(text: str, values: dict[str, str]) -> None:
    """Into whatever file: the values are read verbatim, every other entry as before; what no file can hold is refused."""
    try:
        after = merged(text, values)
    except ValueError:
        return
    others = {name: value for name, value in parse(text).items() if name not in values}
    assert {name: value for name, value in parse(after).items() if name not in values} == others
    assert {name: value for name, value in expand(parse(after), {}).items() if name in values} == values


def test_what_a_merge_leaves_alone() -> None:
    """Comments, order, `export`, blanks and line ends; of two entries of a name the last counts, and is the one that changes."""
    text = '# head\r\nexport A = old # keep\r\nB="x\r\ny"\r\nA=second\r\n\r\n# C=\r\nC=\r\nD: q\r\nlast=1'
    assert merged(text, {"A": "n#w", "B": "z", "C": "set", "D": "$d", "E": "new"}) == (
        "# head\r\nexport A = old # keep\r\nB=z\r\nA='n#w'\r\n\r\n# C=\r\nC=set\r\nD: \\$d\r\nlast=1\r\nE=new\r\n"
    )
    assert merged("", {"A": "1"}) == "A=1\n"
    assert merged(text, {}) == text


@given(some.text(max_size=300), some.dictionaries(names, texts, max_size=3))
def test_any_text_is_read(text: str, environ: dict[str, str]) -> None:
    """No file makes the reader fail in another way than it says."""
    with suppress(ValueError):  # of expand's, where a value refers to itself
        read([text], environ)
    parse(text)
