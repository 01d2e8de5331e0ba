"""Provider files: what is wrong in one is named with file, line and key; overriding ones change single keys; the index is current."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_cli.errors import ConfigurationError, NotFoundError
from aura_cli.integrations import template
from aura_cli.integrations.catalogue import FOLDER, INDEX, Catalogue, checked, index, load, merged
from aura_cli.integrations.provider import Category, Provider

GOOD = """id = "acme"
name = "Acme"
category = "crm"
provider = "acme"
kind = "oauth2_code"

[client]
id = "ACME_CLIENT_ID"
secret = "ACME_CLIENT_SECRET"

[fields.subdomain]
label = "Subdomain"
pattern = "[a-z0-9]+"

[oauth]
authorize_url = "https://{subdomain}.acme.test/authorize"
token_url = "https://acme.test/token"
redirect = { rule = "registered" }

[verify]
url = "https://{subdomain}.acme.test/me"
headers = { Authorization = "Bearer {access_token}" }
label = ["{email}"]
"""

File = Callable[[str], Path]


@pytest.fixture
def file(tmp_path: Path) -> File:
    """Writes the file of the provider `acme`."""

    def write(text: str) -> Path:
        path = tmp_path / "acme.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def read(path: Path, *, loopback: bool = False) -> Provider:
    return checked(tomllib.loads(path.read_text(encoding="utf-8")), path, loopback=loopback)


def test_a_good_file(file: File) -> None:
    """What a file leaves out has the usual value."""
    provider = read(file(GOOD))
    assert provider.oauth
    assert (provider.category, provider.oauth.refresh.mode, provider.oauth.token_body) == (Category.CRM, "never", "form")


@pytest.mark.parametrize(
    ("said", "instead", "line", "named"),
    [
        ('label = ["{email}"]', 'lable = ["{email}"]', 23, "verify.lable: Object contains unknown field"),
        ('category = "crm"', 'category = "cmr"', 3, "category: Invalid enum value"),
        ('id = "acme"', 'id = "amce"', 1, "its id is 'amce'"),
        ('rule = "registered"', 'rule = "anything"', 18, "oauth.redirect.rule"),
        ('token_url = "https://acme', 'token_url = "http://acme', 17, "is not https"),
        ('token_url = "https://acme', 'token_url = "https://me:pass@acme', 17, "no plain address"),
        ("/me", "/{account}/me", 21, "nothing declares {account}"),
        ("Bearer {access_token}", "Bearer {api_key}", 22, "nothing declares {api_key}"),
        ('pattern = "[a-z0-9]+"', "", 11, "needs a pattern or choices"),
        ('pattern = "[a-z0-9]+"', 'pattern = "[a-z"', 13, "no regular expression"),
        ('label = "Subdomain"', 'label = "Subdomain"\nsecret = true', 11, "says where it is stored"),
        ('label = "Subdomain"', 'label = "Subdomain"\nstored = "scopes"', 13, "is no place"),
        ('label = "Subdomain"', 'label = "Subdomain"\ndefault = "A/B"', 13, "does not match its own pattern"),
        ("[client]", "[oauth.refresh]\nmode = 'always'\nplace = 'metadata.x'\n[client]", 9, "no answer fills 'metadata.x'"),
        ('kind = "oauth2_code"', 'kind = "api_key"', 5, "api_key needs [credentials]"),
        ('kind = "oauth2_code"', 'kind = "device"', 15, "device needs device_url"),
    ],
)
def test_a_bad_file_is_named_with_its_line(file: File, said: str, instead: str, line: int, named: str) -> None:
    """Typing errors and unsafe addresses stop, with the place where they stand."""
    path = file(GOOD.replace(said, instead, 1))
    with pytest.raises(ConfigurationError) as stopped:
        read(path)
    assert f"{path}:{line}: " in str(stopped.value)
    assert named in str(stopped.value)


def test_no_toml(file: File) -> None:
    """A file that is no TOML is named with the parser's line."""
    path = file(GOOD + "\n[oauth\n")
    with pytest.raises(ConfigurationError, match=r"acme\.toml: .*line 25"):
        load(path.parent)


def test_loopback_is_for_overriding_files(file: File) -> None:
    """http leads to this machine alone, and only from a folder that a person named."""
    path = file(GOOD.replace("https://acme.test/token", "http://127.0.0.1:8080/token"))
    with pytest.raises(ConfigurationError, match="is not https"):
        read(path)
    assert read(path, loopback=True)
    assert load(path.parent).get("acme")
    with pytest.raises(ConfigurationError, match="is not https"):
        load(file(GOOD.replace("https://acme.test/token", "http://10.0.0.8/token")).parent)


def test_an_overriding_file_changes_single_keys(file: File) -> None:
    """The rest stays what it was; a new file is a new provider; what it makes wrong is told of it."""
    path = file(GOOD)
    slack = path.with_name("slack.toml")
    slack.write_text('[oauth]\nscopes = ["chat:write"]\n', encoding="utf-8")
    mine, theirs = load(path.parent).get("slack"), load().get("SLACK")
    assert mine.oauth
    assert theirs.oauth
    assert mine.oauth.scopes == ["chat:write"]
    assert mine.oauth.token_url == theirs.oauth.token_url
    slack.write_text("[oauth]\nscops = []\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"slack\.toml:2: oauth\.scops"):
        load(path.parent)


def test_not_there(tmp_path: Path) -> None:
    """A folder that is none, and a provider that is none, with what it may have been meant to be."""
    with pytest.raises(ConfigurationError, match="is no folder"):
        load(tmp_path / "none")
    with pytest.raises(NotFoundError) as stopped:
        load().get("hubspto")
    assert "hubspot" in (stopped.value.hint or "")


def test_the_index_is_current() -> None:
    """`make docs` was run after the last change of a provider file."""
    assert INDEX.read_bytes() == index(), "run: make docs"


def test_all_of_them() -> None:
    """64 providers, every category among them, each with where its facts are from."""
    catalogue = load()
    assert len(catalogue.providers) == len(list(FOLDER.glob("*.toml"))) == 64
    assert {one.category for one in catalogue.providers.values()} == set(Category)
    assert not [name for name, one in catalogue.providers.items() if not one.sources]
    assert not [name for name, one in catalogue.providers.items() if one.confidence == "medium" and not one.looked_up]


def test_of_a_row() -> None:
    """The web app's value leads to a provider; Google's row, which two share, to one of them."""
    catalogue: Catalogue = load()
    google = catalogue.of_row("google")
    assert google is not None
    assert google.id in ("google-calendar", "google-docs")
    assert catalogue.of_row("llm-openai") is None


leaf = st.none() | st.booleans() | st.integers() | st.text()
document = st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3))


@given(document, st.text(max_size=12))
def test_a_path_leads_somewhere_or_nowhere(answer: object, path: str) -> None:
    """Whatever a provider answers and a file asks: no path breaks anything."""
    template.at(answer, path)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), st.text(), min_size=1))
def test_what_is_filled_in_is_not_read_again(values: dict[str, str]) -> None:
    """A value that looks like a placeholder stays what it is."""
    text = " ".join(f"{{{name}}}" for name in values)
    assert template.filled(text, values) == " ".join(values.values())


@given(document, document)
def test_merging_twice_is_merging_once(base: object, over: object) -> None:
    """An overriding file counts once, however often it is read."""
    if isinstance(base, dict) and isinstance(over, dict):
        assert merged(merged(base, over), over) == merged(base, over)


def test_labels() -> None:
    """The first label that can be filled, a path or a known value; none where nothing is known."""
    answer = msgspec.json.decode(b'{"team": "Acme", "user": "", "list": [{"name": "One"}], "id": 0}')
    assert template.spelt(["{team} / {user}", "{team}"], answer, {}) == "Acme"
    assert template.spelt(["{list[0].name} {id}"], answer, {}) == "One 0"
    assert template.spelt(["{site}"], answer, {"site": "eu"}) == "eu"
    assert template.spelt(["{nobody}"], answer, {}) is None
