"""A small terminal: what stands on its lines after what was written to it, with what has scrolled away above."""

import re
import unicodedata

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|(.)", re.DOTALL)


class Screen:
    """Knows what `rendering.Live` writes: text, line feeds (that begin a line), returns, cursor up, erase to the line's or screen's end."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.lines: list[list[str]] = [[]]
        self.row = self.column = self.written = 0

    def write(self, text: str) -> int:
        for token in _TOKEN.finditer(text):
            number, command, move, letter = token.groups()
            if command:
                self._obey(command, number)
            elif move == "\r":
                self.column = 0
            elif move == "\n":
                self.row, self.column = self.row + 1, 0
                if self.row == len(self.lines):
                    self.lines.append([])
            else:
                self._put(letter)
        self.written += len(text)
        return len(text)

    def flush(self) -> None:
        """Everything is there already."""

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        return "\n".join("".join(line).rstrip() for line in self.lines)

    def _put(self, letter: str) -> None:
        line = self.lines[self.row]
        line.extend(" " * (self.column - len(line)))
        line[self.column : self.column + 1] = [letter]
        self.column += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        assert self.column <= self.columns, f"a line is too long: {''.join(line)!r}"

    def _obey(self, command: str, number: str) -> None:
        if command == "A":
            self.row -= int(number)
            assert self.row >= max(0, len(self.lines) - self.rows), "the cursor cannot go where lines have scrolled away"
        elif command == "K":
            del self.lines[self.row][self.column :]
        elif command == "J":
            del self.lines[self.row][self.column :], self.lines[self.row + 1 :]
        else:
            assert command == "m", command
