"""What is written where: results on stdout in every form, words on stderr, secrets and control characters on neither."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from aura_cli.console import MASK, Console, Format, _fitting, cell, described, rfc3339
from aura_cli.errors import ConfigurationError, ConflictError, UsageError
from tests.parts.program import REPOSITORY
from tests.parts.terminal import on_a_terminal


@dataclass(frozen=True)
class Row:
    """One row of a list."""

    name: str
    count: int | None = 1
    seen: datetime | None = None
    tags: tuple[str, ...] = ()
    paid: bool = True


@dataclass(frozen=True)
class Report:
    """A result with a long part."""

    title: str
    rows: Iterator[Row]


WHEN = datetime(2026, 11, 22, 11, 0, 0, 5000, tzinfo=timezone(timedelta(hours=1)))
ROWS = [Row("a", seen=WHEN), Row('b "quoted", with\tcomma\nand line', None, tags=("x", "y"), paid=False), Row("ü😀")]


def console(**options: Any) -> Console:
    return Console(out=io.StringIO(), err=io.StringIO(), stdin=io.StringIO(), **options)


def out(used: Console) -> str:
    assert isinstance(used.out, io.StringIO)
    return used.out.getvalue()


def err(used: Console) -> str:
    assert isinstance(used.err, io.StringIO)
    return used.err.getvalue()


def listed(rows: Any, form: Format | None = None, chosen: str | None = None, **options: Any) -> str:
    used = console(**options)
    used.listing(rows, ("name", "count"), form=form, chosen=chosen)
    return out(used)


def test_json_is_one_array() -> None:
    """Every field of every row, in one valid array, an empty one too; `--json` and `--format json` are the same."""
    found = json.loads(listed(iter(ROWS), Format.JSON))
    assert found[0] == {"name": "a", "count": 1, "seen": "2026-11-22T10:00:00.005000Z", "tags": [], "paid": True}
    assert [row["name"] for row in found] == [row.name for row in ROWS]
    assert json.loads(listed([], Format.JSON)) == []
    assert listed(ROWS, as_json=True) == listed(ROWS, Format.JSON)


def test_json_lines_and_columns() -> None:
    """One object a line; `--columns` chooses and orders, in every form."""
    lines = listed(ROWS, Format.JSONL, "paid, name").splitlines()
    assert [list(json.loads(line)) for line in lines] == [["paid", "name"]] * 3
    assert list(json.loads(listed(ROWS, Format.JSON, "count"))[0]) == ["count"]


def test_csv_comes_back() -> None:
    """A reader of CSV gets the values, with a header."""
    found = list(csv.reader(io.StringIO(listed(ROWS, Format.CSV, "name,count,seen,tags,paid"))))
    assert found[0] == ["name", "count", "seen", "tags", "paid"]
    assert found[2] == [ROWS[1].name, "", "", '["x", "y"]', "no"]


def test_a_table_in_a_pipe_is_plain() -> None:
    """A line a row, a tab between cells, nothing cut, and no value that breaks the lines."""
    assert listed([Row(f"r{n}") for n in range(200)]).splitlines()[-1] == "r199\t1"
    assert listed(ROWS).splitlines() == ["a\t1", 'b "quoted", with comma and line\t', "ü😀\t1"]


@pytest.mark.parametrize("form", list(Format))
def test_an_unknown_column_writes_nothing(form: Format) -> None:
    """It is told before the first byte, with the columns that exist."""
    used = console()
    with pytest.raises(UsageError, match="No column nope") as refused:
        used.listing(ROWS, ("name",), form=form, chosen="name,nope")
    assert refused.value.hint == "There are: name, count, seen, tags, paid"
    assert out(used) == ""


def test_rows_are_streamed() -> None:
    """A row is written before the next one is asked for."""
    used = console()

    def rows() -> Iterator[Row]:
        for number in range(3):
            assert out(used).count('"name"') == max(0, number - 1) + (number > 0)
            yield Row(str(number))

    used.listing(rows(), ("name",), form=Format.JSONL)
    assert out(used).count("\n") == 3


def test_one_object() -> None:
    """A result is one object, its long part streamed; a mapping and a list stay what they are; text without --json, nothing with -q."""
    used = console(as_json=True)
    used.result(Report("t", iter(ROWS)), lambda: pytest.fail("text"))
    assert [row["name"] for row in json.loads(out(used))["rows"]] == [row.name for row in ROWS]
    for value in ({"a": 1, "when": WHEN.astimezone(UTC)}, [Row("x")], {}):
        used = console(as_json=True)
        used.result(value, list)
        assert type(json.loads(out(used))) is type(value)
    used = console()
    used.result(ROWS[0], lambda: ["one", "two \x1b[31m"])
    assert out(used) == "one\ntwo �[31m\n"
    used = console(quiet=True)
    used.result(ROWS[0], lambda: pytest.fail("text"))
    assert out(used) == ""


@given(some.text(max_size=80))
def test_no_text_drives_a_terminal(text: str) -> None:
    """Whatever is stored or answered, no control or direction character reaches stdout's tables or stderr."""
    used = console()
    used.listing([Row(text)], ("name",))
    used.warn(text)
    used.error(ConfigurationError(text, text))
    written = out(used) + err(used)
    assert not any(c in written for c in "\x1b\x07\x08\r\x9b\u202e\u2066\x00\x7f")
    assert out(used).count("\n") == 1


SECRETS = [
    "sk_" + "live_abcdef123456",
    "rk_test_abcdef123456",
    "whsec_abcdef123456",
    "re_abcdef123456",
    "sk-proj-abcdef123456",
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJkaWQifQ.c2lnbmF0dXJl",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_key_is_masked(secret: str) -> None:
    """A credential is known by its shape wherever it stands, configured or not."""
    used = console()
    used.warn(f"it said '{secret}' and key={secret}.")
    assert secret not in err(used)
    assert err(used).count(MASK) == 2


def test_passwords_in_addresses_and_headers_are_masked() -> None:
    """Whatever stands between `://` and the last `@` of a word, and behind Bearer and Basic."""
    used = console()
    used.warn(
        "postgresql://aura:p@ss/w:rd@host/db redis://:pw@h https://example.com/a@b Bearer abcdefghijklmnop123 Basic YXVyYTpwYXNzd29yZA=="
    )
    assert err(used) == f"postgresql://{MASK}@host/db redis://{MASK}@h https://example.com/a@b Bearer {MASK} Basic {MASK}\n"


def test_ordinary_words_stay() -> None:
    """What only resembles a key is shown."""
    used = console()
    words = "store_subscription_items pre_release_notes Basic authentication Bearer token task_live_stream https://example.com:443/x"
    used.warn(words)
    assert err(used) == f"{words}\n"


def test_configured_secrets_are_masked() -> None:
    """The longest first, in JSON errors too, however JSON would write them; a very short one is no secret."""
    used = console(as_json=True, secrets=("secret-1", "secret-1-longer", 'with"quote\\', "abc"))
    used.error(ConfigurationError('secret-1-longer with"quote\\ abc', "secret-1"))
    assert json.loads(err(used)) == {"error": {"kind": "configuration", "message": f"{MASK} {MASK} abc", "hint": MASK}}


def test_words_of_errors() -> None:
    """An error is its message and its hint, even with -q; what is only said is not."""
    used = console(quiet=True)
    used.error(ConfigurationError("message", "hint"))
    used.say("nothing")
    assert err(used) == "Error: message\n  hint\n"
    assert out(used) == ""


def test_nobody_to_ask() -> None:
    """Without a terminal a confirmation is a conflict; --yes needs none."""
    with pytest.raises(ConflictError, match="Nobody is here"):
        console().confirm("Write?")
    console(yes=True).confirm("Write?")


def test_cells() -> None:
    """How values look in a table."""
    assert [cell(value) for value in (None, True, False, 0, WHEN, [1], {"a": None}, "")] == [
        "",
        "yes",
        "no",
        "0",
        "2026-11-22T10:00:00.005000Z",
        "[1]",
        '{"a": null}',
        "",
    ]
    assert rfc3339(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"


SCRIPT = """
import sys, time
from dataclasses import dataclass
from aura_cli.console import Console
@dataclass
class Row:
    name: str
    note: str = "x\\x1b[31mred\\nline"
console = Console()
if sys.argv[1] == "list":
    console.listing((Row(f"row{n}") for n in range(int(sys.argv[2]))), ("name", "note"), total=lambda: 4812)
elif sys.argv[1] == "ask":
    console.confirm("Write?")
else:
    tick = console.progress("Read", 100)
    for n in range(12):
        time.sleep(0.25)
        tick(n + 1)
    console.end_progress()
    print("done")
"""


def terminal(tmp_path: Path, *args: str, keys: str = "", **env: str) -> tuple[int, str]:
    plain = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": "100"}
    return on_a_terminal([sys.executable, "-c", SCRIPT, *args], {**plain, **env}, tmp_path, keys)


def test_a_table_on_a_terminal(tmp_path: Path) -> None:
    """Fifty rows and how many there are; fewer are all, without a remark."""
    code, shown = terminal(tmp_path, "list", "60")
    assert code == 0
    assert shown.count("row") == 50
    assert "50 of 4,812" in shown
    assert "x�[31mred line" in shown
    _, shown = terminal(tmp_path, "list", "49")
    assert shown.count("row") == 49
    assert " of " not in shown


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_plain_where_asked(tmp_path: Path, env: dict[str, str]) -> None:
    """NO_COLOR and a dumb terminal get text without a single escape, progress included."""
    assert "\x1b" not in terminal(tmp_path, "list", "3", **env)[1]
    if "TERM" in env:
        _, shown = terminal(tmp_path, "progress", **env)
        assert "\x1b" not in shown
        assert "Read: 9" in shown
        assert shown.endswith("\rdone\n")


@pytest.mark.parametrize(("keys", "code"), [("y\n", 0), ("yes\n", 0), ("\n", 1), ("n\n", 1), ("what\n", 1), ("\x04", 1)])
def test_the_answer_is_no(tmp_path: Path, keys: str, code: int) -> None:
    """Only an explicit yes is one."""
    found, shown = terminal(tmp_path, "ask", keys=keys)
    assert (found, "Write? [y/N]" in shown, "Not confirmed; nothing was changed" in shown) == (code, True, bool(code))


def test_what_is_known_of_one_thing() -> None:
    """Two columns; times, numbers, yes and no as tables have them; nothing for what is empty."""
    facts = {
        "id": "sub_1",
        "created_at": datetime(2026, 11, 22, 10, 0, tzinfo=UTC),
        "tokens": 10_000,
        "paid": True,
        "name": None,
        "seen": 0,
    }
    assert list(described(facts)) == [
        "id          sub_1",
        "created at  2026-11-22 10:00Z",
        "tokens      10,000",
        "paid        yes",
        "seen        0",
    ]


WIDE = [{"id": "sub_1234567890", "when": datetime(2026, 11, 22, 10, 0, tzinfo=UTC), "who": "x" * 40}]


@pytest.mark.parametrize(
    ("width", "columns"), [(200, ["id", "when", "who"]), (79, ["id", "when", "who"]), (78, ["id", "when"]), (20, ["id"]), (3, ["id"])]
)
def test_a_table_shows_whole_values_or_leaves_a_column_out(width: int, columns: list[str]) -> None:
    """What does not fit is left out from the end, never cut; the first column stays."""
    assert _fitting(("id", "when", "who"), WIDE, width) == (tuple(columns), width)


@pytest.mark.parametrize(("width", "columns", "room"), [(80, ["id", "error"], 61), (34, ["id"], 34), (35, ["id", "error"], 16)])
def test_a_sentence_is_cut(width: int, columns: list[str], room: int) -> None:
    """Its beginning says more than nothing; what follows it is left out."""
    rows = [{"id": "sub_1234567890", "error": "no such user " * 9, "when": None}]
    assert _fitting(("id", "error", "when"), rows, width) == (tuple(columns), room)


def test_a_long_line_of_addresses() -> None:
    """What masks credentials takes a time that grows with the text, and not with its square: a question may hold a megabyte."""
    line = '"u":"http://localhost:3000/path",'

    def taken(times: int) -> float:
        begun = process_time()
        Console().redact(line * times)
        return process_time() - begun

    assert min(taken(8_000) for _ in range(3)) < 24 * min(taken(1_000) for _ in range(3))
    assert Console().redact("https://user:pa@ss@host.example/x") == f"https://{MASK}@host.example/x"
