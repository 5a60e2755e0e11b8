"""The IR and the graph as JSON with named arrays, and back: one rule for every frozen dataclass in REGISTRY.

An object becomes {"type": name, field: value, ...}; an array becomes {"array": key}. Reading goes through the
constructors, so whatever they refuse is refused here too.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import numpy as np

from .arrays import Array
from .errors import CompileError

Json = Any


def encode(value: Any, key: str, arrays: dict[str, Array]) -> Json:
    """JSON for `value`; its arrays go into `arrays` under keys that begin with `key`."""
    if is_dataclass(value):
        record: dict[str, Json] = {"type": type(value).__name__}
        for f in fields(value):
            record[f.name] = encode(getattr(value, f.name), f"{key}.{f.name}", arrays)
        return record
    if isinstance(value, (np.ndarray, np.generic)):
        arrays[key] = np.asarray(value)
        return {"array": key}
    if isinstance(value, tuple):
        return [encode(v, f"{key}.{i}", arrays) for i, v in enumerate(value)]
    return value


def decode(record: Json, arrays: Mapping[str, Array], registry: Mapping[str, type], *, where: str) -> Any:
    """The object that `record` describes.

    Raises:
        CompileError: GSM-105 for unknown types, missing, surplus or ill-typed fields; GSM-2xx from constructors.
    """
    if isinstance(record, list):
        return tuple(decode(v, arrays, registry, where=f"{where}[{i}]") for i, v in enumerate(record))
    if not isinstance(record, dict):
        return record
    if set(record) == {"array"}:
        if record["array"] not in arrays:
            raise CompileError("GSM-105", "an array is missing", where=where, expected=str(record["array"]))
        return arrays[record["array"]]
    if "type" not in record:
        return record  # plain JSON: metadata
    cls = registry.get(str(record["type"]))
    if cls is None:
        raise CompileError(
            "GSM-105", "unknown type of record", where=where, found=record["type"], expected=", ".join(sorted(registry))
        )
    known = {f.name: f for f in fields(cls)}
    given = {k: v for k, v in record.items() if k != "type"}
    missing = [
        n for n, f in known.items() if n not in given and f.default is MISSING and f.default_factory is MISSING
    ]
    if missing or set(given) - set(known):
        raise CompileError(
            "GSM-105", f"fields of {cls.__name__} do not match", where=where,
            found=f"missing {missing}, surplus {sorted(set(given) - set(known))}",
        )  # fmt: skip
    values = {
        name: value if name == "metadata" else decode(value, arrays, registry, where=f"{where}.{name}")
        for name, value in given.items()
    }
    try:
        return cls(**values)
    except CompileError as error:
        raise CompileError(
            error.code, error.what, where=f"{where}: {error.where}".rstrip(": "), found=error.found,
            expected=error.expected, remedy=error.remedy,
        ) from None  # fmt: skip
    except (TypeError, ValueError, AttributeError) as error:
        raise CompileError("GSM-105", f"a field of {cls.__name__} has the wrong type", where=where, found=error) from None
