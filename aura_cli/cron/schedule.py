"""When a job is due, in the words of crontab(5) and systemd.time(7), and to whoever waits for it. All times are UTC."""

from dataclasses import dataclass
from datetime import datetime, timedelta

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_MINUTE = timedelta(minutes=1)
_FURTHEST = 8 * 24 * 60  # minutes: every schedule comes round within a week


@dataclass(frozen=True)
class Schedule:
    """Its fields as crontab(5) has them, each `*`, `*/5`, `7` or `7,37`; weekdays count from 0, Sunday."""

    minute: str
    hour: str = "*"
    weekday: str = "*"

    @property
    def cron(self) -> str:
        """The five fields of a crontab."""
        return f"{self.minute} {self.hour} * * {self.weekday}"

    @property
    def calendar(self) -> str:
        """An OnCalendar of systemd's."""
        days = "" if self.weekday == "*" else ",".join(_DAYS[int(day)] for day in self.weekday.split(",")) + " "
        return f"{days}*-*-* {_padded(self.hour)}:{_padded(self.minute)}:00 UTC"

    def takes(self, moment: datetime) -> bool:
        """Whether a minute is one of its own."""
        fields = (self.minute, moment.minute), (self.hour, moment.hour), (self.weekday, moment.isoweekday() % 7)
        return all(_takes(words, value) for words, value in fields)

    def following(self, moment: datetime) -> datetime:
        """The first of its minutes after `moment`. Raises ValueError for a schedule that never comes."""
        minute = moment.replace(second=0, microsecond=0)
        for _ in range(_FURTHEST):
            minute += _MINUTE
            if self.takes(minute):
                return minute
        raise ValueError(f"{self.cron} never comes")


def _takes(words: str, value: int) -> bool:
    if words.startswith("*"):
        return value % int(words.partition("/")[2] or 1) == 0
    return value in map(int, words.split(","))


def _padded(words: str) -> str:
    if words.startswith("*/"):
        return f"00/{words[2:]}"
    return words if words == "*" else ",".join(f"{int(number):02}" for number in words.split(","))
