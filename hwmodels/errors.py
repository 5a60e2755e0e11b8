"""The one exception that users of Gossamer see, and its stable codes (docs/reference/errors/)."""

from functools import partial
from typing import Any, Self


class GossamerError(Exception):
    """An input, a file or a call that Gossamer refuses, told so that the reader can mend it.

    Args:
        code: Stable code such as "GSM-201"; `docs/reference/errors/GSM-201.md` explains it.
            GSM-1xx files, 2xx networks, 3xx compiling, 4xx simulating, 5xx hardware, 6xx data and training,
            7xx command line and environment.
        what: What is wrong, one clause without a full stop.
        where: The file, population, connection or field at fault.
        found: The value that was met.
        expected: What would have been accepted.
        remedy: What to do about it.
    """

    def __init__(
        self, code: str, what: str, *, where: str = "", found: object = "", expected: str = "", remedy: str = ""
    ) -> None:
        self.code, self.what, self.where = code, what, where
        self.found, self.expected, self.remedy = str(found), expected, remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.code}: {self.where + ': ' if self.where else ''}{self.what}"
        for label, value in (("found", self.found), ("expected", self.expected), ("remedy", self.remedy)):
            if value:
                text += f"; {label}: {value}"
        return text

    def within(self, place: str) -> Self:
        """The same, of something that lies in `place`."""
        parts = self.to_dict() | {"where": f"{place}, {self.where}" if self.where else place}
        return type(self)(**parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self.to_dict()), ()  # from process to process: by default only the text would go

    def to_dict(self) -> dict[str, str]:
        """The parts by name, for `--json`."""
        return {k: getattr(self, k) for k in ("code", "what", "where", "found", "expected", "remedy")}


class HardwareError(GossamerError):
    """A chip description or a pricing call that is refused (GSM-5xx)."""
