"""The two small notations of provider files: here the elements of a list that come first."""

from aura_cli.integrations.template import at, preferring

SITES = [
    {"id": "1", "name": "wiki", "scopes": ["read:confluence-user", "search:confluence"]},
    {"id": "2", "name": "tickets", "scopes": ["read:jira-work"]},
    {"id": "3", "name": "more tickets", "scopes": ["write:jira-work", "read:jira-user"]},
]


def test_elements_that_hold_the_word_come_first_and_none_is_lost() -> None:
    """The first site of a product names the connection, whatever order the answer has; the order stays otherwise."""
    assert [site["id"] for site in preferring(SITES, "", "scopes", "jira")] == ["2", "3", "1"]
    assert [site["id"] for site in preferring(SITES, "", "scopes", "confluence")] == ["1", "2", "3"]


def test_where_no_element_holds_the_word_nothing_changes() -> None:
    """A preference refuses nothing."""
    assert preferring(SITES, "", "scopes", "trello") == SITES
    assert preferring([{"name": "x"}], "", "scopes", "jira") == [{"name": "x"}]


def test_the_list_may_stand_inside_the_answer() -> None:
    """The rest of the answer is kept, and the answer itself is not changed."""
    answer = {"identity": {"id": 1}, "of": {"accounts": [{"product": "bcx"}, {"product": "bc3"}]}}
    preferred = preferring(answer, "of.accounts", "product", "bc3")
    assert at(preferred, "of.accounts[0].product") == "bc3"
    assert at(preferred, "identity.id") == 1
    assert at(answer, "of.accounts[0].product") == "bcx"


def test_an_answer_without_the_list_stays_as_it_is() -> None:
    """Another shape, or none at all, is left to the conditions."""
    answers: list[object] = [None, "text", {"error": "no"}, {"accounts": "none"}, []]
    for answer in answers:
        assert preferring(answer, "accounts", "product", "bc3") == answer
