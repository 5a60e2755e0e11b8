"""Find, read and check chip files. Every file is untrusted."""

import tomllib
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .chip import Chip, PriceList
from .errors import HardwareError
from .events import shown

MAX_FILE_BYTES: Final = 1_000_000
"""No chip file is larger; whatever is was not meant to be one."""


def list_chips() -> tuple[str, ...]:
    """Names of the bundled chips, sorted. A new TOML file in `chips/` is found by being there."""
    folder = resources.files(f"{__package__}.chips")
    return tuple(sorted(entry.name[: -len(".toml")] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_chip(name_or_path: str | Path) -> Chip:
    """Load a bundled chip by name, or a chip file by its path, which ends in ".toml".

    Raises: HardwareError: GSM-501 if there is no such chip or file; GSM-502 if the file is no valid chip (the message
        names file, field, what was found and what was expected).
    """
    return _parse(*_contents(str(name_or_path)))


def _contents(text: str) -> tuple[bytes, str]:
    """What is in a chip's file, and what to call the file."""
    if text.endswith(".toml"):
        return _read_file(Path(text)), text
    if text not in list_chips():
        raise HardwareError(
            "GSM-501",
            "unknown chip",
            found=shown(text),
            expected="one of " + ", ".join(list_chips()) + ", or a path that ends in .toml",
        )
    return resources.files(f"{__package__}.chips").joinpath(f"{text}.toml").read_bytes(), f"{text}.toml"


def chip_and_prices(spec: str | Path) -> tuple[Chip, PriceList]:
    """Resolve "chip" or "chip:price-list", such as "cmos-45nm:memory-fp32" or "my/chip.toml:measured".

    Raises: HardwareError: GSM-501, GSM-502 as `load_chip`; GSM-503 if the chip has no such price list.
    """
    chip, price_list = _split(str(spec))
    loaded = _parse_once(*_contents(chip))
    return loaded, loaded.prices(price_list)


def _split(spec: str) -> tuple[str, str | None]:
    """Part chip from price list. The colon of a drive, as in "C:/chip.toml", belongs to the path."""
    if spec.endswith(".toml"):
        return spec, None
    path, found, price_list = spec.rpartition(".toml:")
    if found:
        return path + ".toml", price_list
    chip, found, price_list = spec.partition(":")
    return chip, price_list if found else None


def _read_file(path: Path) -> bytes:
    try:
        if not path.exists():
            raise HardwareError("GSM-501", "no such chip file", where=shown(str(path)), expected="an existing file")
        if not path.is_file():
            raise _invalid(str(path), "not a file", found="a folder or a device", expected="a TOML file")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise _invalid(shown(str(path)), "cannot be read", found=str(error), expected="a readable TOML file") from error
    if len(data) > MAX_FILE_BYTES:
        raise _invalid(str(path), "too large", found=f"over {MAX_FILE_BYTES} bytes", expected="a chip file")
    return data


def _parse(data: bytes, where: str) -> Chip:
    try:
        document = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise _invalid(where, "not text", found=f"byte {error.start} is not UTF-8", expected="UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise _invalid(where, "not TOML", found=str(error), expected="a TOML 1.0 document") from error
    try:
        return Chip.model_validate(_prepare(document))
    except ValidationError as error:
        raise _explain(error, where) from error


# By contents. To check a chip takes as long as a small network's run; who prices many runs does it once.
_parse_once = lru_cache(maxsize=32)(_parse)


def _prepare(document: dict[str, Any]) -> dict[str, Any]:
    """Give each price list its key as `name`, and put named memory tiers where a price refers to them.

    Whatever has not the expected shape is left as it is: the validation that follows says so.
    """
    memories = document.get("memories")
    lists = document.get("price_lists")
    if not isinstance(lists, dict):
        return document

    def expand(price: object) -> object:
        return memories[price] if isinstance(memories, dict) and isinstance(price, str) and price in memories else price

    def complete(name: str, table: object) -> object:
        if not isinstance(table, dict):
            return table
        table = {"name": name, **table}
        if isinstance(table.get("prices"), dict):
            table["prices"] = {event: expand(price) for event, price in table["prices"].items()}
        return table

    return {**document, "price_lists": {name: complete(name, table) for name, table in lists.items()}}


def _explain(error: ValidationError, where: str) -> HardwareError:
    """Turn one of pydantic's complaints into ours: that of an unknown key if there is one, else the first."""
    complaints = error.errors(include_url=False)
    first = next((complaint for complaint in complaints if complaint["type"] == "extra_forbidden"), complaints[0])
    what = "not a valid chip" if len(complaints) == 1 else f"not a valid chip (one of {len(complaints)} errors)"
    field = _field(first)
    found, expected = _found_and_expected(first)
    return _invalid(f"{where}: {field}" if field else where, what, found=found, expected=expected)


def _field(complaint: ErrorDetails) -> str:
    """Where in the file, as a dotted key. Tags of unions and pydantic's "[key]" are no part of the file."""
    parts = [part for part in complaint["loc"] if part not in ("[key]", "price", "tiers")]
    return ".".join(part if isinstance(part, str) and part.isprintable() else repr(part) for part in parts)


def _found_and_expected(complaint: ErrorDetails) -> tuple[str, str]:
    if complaint["type"] == "missing":
        return "nothing", "this field"
    if complaint["type"] == "extra_forbidden":
        return "an unknown key", "only the keys that docs/reference/chips.md lists"
    if complaint["type"] == "chip":
        return complaint["ctx"]["found"], complaint["ctx"]["expected"]
    return shown(complaint["input"]), complaint["msg"].removeprefix("Input should be ")


def _invalid(where: str, what: str, *, found: str, expected: str) -> HardwareError:
    return HardwareError("GSM-502", what, where=where, found=found, expected=expected)
