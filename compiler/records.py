"""Networks and graphs in files: JSON with named arrays, by one rule for every frozen dataclass of a registry.

An object becomes {"type": name, field: value, ...}; an array becomes {"array": key}, or what packing makes of it.
Reading goes through the constructors, so whatever they refuse is refused here too.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import Array
from .container import read_container, write_container
from .errors import CompileError
from .packing import PACKED, unpack

Json = Any
Put = Callable[[Array, str, dict[str, Array]], Json]
Registry = Mapping[str, type]

WRONG_TYPE = (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError, RecursionError)
"""What a constructor may raise on values of the wrong type."""


def put_whole(array: Array, key: str, arrays: dict[str, Array]) -> Json:
    """Put an array into `arrays` as it is; returns its record."""
    arrays[key] = array
    return {"array": key}


def save_record(value: Any, path: str | Path, kind: str, version: int, *, key: str, put: Put = put_whole) -> str:
    """Write an object with `metadata` as {key: its record}; return the file's digest.

    The digest of the file that it came from (metadata["sha256"]) is left out: it is not this file's. put: how arrays
    are stored; `put_whole` or `packing.pack`.

    Raises:
        CompileError: GSM-106 if the file cannot be written.
    """
    arrays: dict[str, Array] = {}
    record = encode(value, key, arrays, put)
    record["metadata"] = {k: v for k, v in value.metadata.items() if k != "sha256"}
    return write_container(path, kind, version, {key: record}, arrays)


def load_record(path: str | Path, kind: str, version: int, registry: Registry, *, key: str) -> Any:
    """Read what `save_record` wrote; metadata["sha256"] is the file's digest.

    Raises:
        CompileError: GSM-101..105 for a file that is missing, foreign, newer or damaged; GSM-2xx for bad contents.
    """
    header, arrays, digest = read_container(path, kind, version)
    if set(header) != {key}:
        raise CompileError(
            "GSM-105", "header fields do not match", where=str(path), found=sorted(header), expected=f"[{key!r}]"
        )
    value = decode(header[key], arrays, registry, where=f"{path}, {key}")
    if not isinstance(getattr(value, "metadata", None), dict):
        raise CompileError("GSM-105", f"the header holds no {key}", where=str(path), found=type(value).__name__)
    value.metadata["sha256"] = digest
    return value


def encode(value: Any, key: str, arrays: dict[str, Array], put: Put = put_whole) -> Json:
    """JSON for `value`; its arrays go into `arrays` under keys that begin with `key`."""
    if is_dataclass(value):
        record: dict[str, Json] = {"type": type(value).__name__}
        for f in fields(value):
            record[f.name] = encode(getattr(value, f.name), f"{key}.{f.name}", arrays, put)
        return record
    if isinstance(value, np.ndarray):
        return put(value, key, arrays)
    if isinstance(value, tuple):
        return [encode(v, f"{key}.{i}", arrays, put) for i, v in enumerate(value)]
    return value


def decode(record: Json, arrays: Mapping[str, Array], registry: Registry, *, where: str) -> Any:
    """The object that `record` describes.

    Raises:
        CompileError: GSM-105 for unknown types, missing, surplus or ill-typed fields; GSM-2xx from constructors.
    """
    if isinstance(record, list):
        return tuple(decode(v, arrays, registry, where=f"{where}[{i}]{_label(v)}") for i, v in enumerate(record))
    if not isinstance(record, dict):
        return record
    if set(record) == {"array"}:
        if not isinstance(record["array"], str) or record["array"] not in arrays:
            raise CompileError("GSM-105", "an array is missing", where=where, expected=ascii(record["array"]))
        return arrays[record["array"]]
    if set(record) in PACKED:
        return unpack(record, arrays, where=where)
    cls = registry.get(str(record.get("type")))
    if cls is None:
        raise CompileError(
            "GSM-105",
            "unknown type of record",
            where=where,
            found=ascii(record.get("type")),
            expected=", ".join(sorted(registry)),
        )
    known = {f.name: f for f in fields(cls)}
    given = {k: v for k, v in record.items() if k != "type"}
    missing = [n for n, f in known.items() if n not in given and f.default is MISSING and f.default_factory is MISSING]
    if missing or set(given) - set(known):
        raise CompileError(
            "GSM-105",
            f"fields of {cls.__name__} do not match",
            where=where,
            found=f"missing {missing}, surplus {sorted(set(given) - set(known))}",
        )
    values = {
        name: value if name == "metadata" else decode(value, arrays, registry, where=f"{where}.{name}")
        for name, value in given.items()
    }
    try:
        return cls(**values)
    except CompileError as error:
        raise CompileError(
            error.code,
            error.what,
            where=f"{where}: {error.where}".rstrip(": "),
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
        ) from None
    except WRONG_TYPE as error:
        raise CompileError(
            "GSM-105", f"a field of {cls.__name__} has the wrong type", where=where, found=error
        ) from None


def _label(record: Json) -> str:
    """What a user calls a member of a list: a population's name, a connection's ends."""
    if not isinstance(record, dict):
        return ""
    if {"source", "target"} <= set(record):
        return f" ({record['source']!r} -> {record['target']!r})"
    return f" ({record['name']!r})" if "name" in record else ""
