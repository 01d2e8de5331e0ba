"""Reads a mail's HTML as a parser does: which tags with which attributes, and which words are seen."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

UNSEEN = {"style", "title"}
VOID = {"meta", "br"}


@dataclass
class Seen:
    """What a document consists of. `shape`: each start tag with its attributes' names, in order; `text`: what stands between."""

    shape: list[tuple[str, ...]] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)  # tag, name, value
    text: str = ""
    isolated: list[str] = field(default_factory=list)  # in a <bdi>

    @property
    def links(self) -> list[str]:
        return [value for _, name, value in self.attributes if name == "href"]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.shape.append((tag, *(name for name, _ in attrs)))
        self.seen.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if not UNSEEN & set(self.open):
            self.seen.text += data
        if self.open[-1:] == ["bdi"]:
            self.seen.isolated.append(data)


def read(html: str) -> Seen:
    """The document; its tags must be closed in their order."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open, reader.open
    return reader.seen
