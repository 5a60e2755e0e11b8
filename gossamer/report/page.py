"""A self-contained HTML page: text, tables, pictures; nothing is loaded from elsewhere."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..compiler import write_text
from .optional import optional_package


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page: a heading, then whatever of the rest is there.

    columns, rows: a table; a heading that begins with ">" is set to the right. checks: (passed, text) each.
    """

    heading: str
    paragraphs: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    checks: Sequence[tuple[bool, str]] = ()
    png: bytes | None = None
    notes: Sequence[str] = ()

    @property
    def picture(self) -> str:
        """The picture as text that a page can hold."""
        return b64encode(self.png or b"").decode("ascii")


def write_page(path: str | Path, *, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Write the page atomically.

    Raises: GossamerError: GSM-701 without jinja2, GSM-106 if the file cannot be written.
    """
    jinja2 = optional_package("jinja2", extra="viz", needed_for="an HTML page")
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    write_text(path, environment.from_string(template).render(title=title, lead=lead, sections=sections) + "\n")
