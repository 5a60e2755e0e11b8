"""The one file container: a safetensors file whose metadata holds a JSON header and a SHA-256 for every array.

    __metadata__ = {"gossamer": kind, "version": n, "header": JSON, "sha256": digest over all of it}

Written to a temporary file beside the target, synced, then renamed: a reader sees the old file or the new one.
Specified in docs/reference/formats.md.
"""

import errno
import hashlib
import json
import mmap
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from .arrays import Array, frozen
from .errors import CompileError

DTYPES = {
    "BOOL": "?", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "U8": "u1", "U16": "<u2", "U32": "<u4",
    "U64": "<u8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
NAMES = {np.dtype(numpy_name): name for name, numpy_name in DTYPES.items()}
KINDS = ("checkpoint", "graph", "activity", "training-state")


def write_container(
    path: str | Path, kind: str, version: int, header: Mapping[str, Any], arrays: Mapping[str, Array]
) -> str:
    """Write atomically; return the digest over header and arrays.

    Raises:
        CompileError: GSM-106 if the file cannot be written; what stood there before is left as it was.
    """
    stored = {name: np.ascontiguousarray(a).reshape(np.shape(a)) for name, a in arrays.items()}
    try:
        text = json.dumps({**header, "arrays": {n: _array_sha256(a) for n, a in stored.items()}}, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise CompileError(
            "GSM-106", "header or metadata hold what JSON cannot", where=str(path), found=error, expected="JSON values"
        ) from None
    digest = _digest(kind, str(version), text)
    metadata = {"gossamer": kind, "version": str(version), "header": text, "sha256": digest}
    with atomic_path(path) as temporary:
        _write(temporary, metadata, stored)
    return digest


def read_container(path: str | Path, kind: str, version: int) -> tuple[dict[str, Any], dict[str, Array], str]:
    """Header, arrays and digest of a file of this kind and at most this version, with every checksum verified.

    Arrays cannot be written to. They are mapped: memory holds what is in use of them, and only as long as nothing else
    needs it. So the file must not be changed in place afterwards; replacing it, as everything here does, is safe.

    Raises:
        CompileError: GSM-101 not readable, GSM-102 not such a file, GSM-103 newer version, GSM-104 damaged.
    """
    metadata, arrays = _read(path)
    found_kind = metadata["gossamer"]
    if found_kind != kind:
        raise CompileError(
            "GSM-102",
            "another kind of Gossamer file",
            where=str(path),
            found=found_kind,
            expected=kind,
            remedy="`gossamer inspect FILE` says what a file is",
        )
    found_version = metadata.get("version", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", found_version):
        raise CompileError("GSM-104", "file is damaged", where=f"{path}, field version", found=ascii(found_version))
    if int(found_version) > version:
        raise CompileError(
            "GSM-103",
            "written by a newer Gossamer",
            where=f"{path}, field version",
            found=found_version,
            expected=f"<= {version}",
            remedy="upgrade: pip install -U gossamer",
        )
    text = metadata.get("header", "")
    if _digest(kind, found_version, text) != metadata.get("sha256"):
        raise CompileError("GSM-104", "header is damaged: its checksum does not match", where=str(path))
    header, declared = _parse(text, str(path))
    if set(declared) != set(arrays):
        raise CompileError(
            "GSM-104", "arrays do not match the header", where=str(path), found=sorted(set(declared) ^ set(arrays))
        )
    for name, array in arrays.items():
        if _array_sha256(array) != declared[name]:
            raise CompileError(
                "GSM-104", "array is damaged: its checksum does not match", where=f"{path}, array {name}"
            )
    return header, arrays, metadata["sha256"]


def container_kind(path: str | Path) -> str:
    """What kind of Gossamer file this is ("checkpoint", "graph", ...), without reading its arrays."""
    return _metadata(path)["gossamer"]


def container_identity(path: str | Path) -> tuple[int, str]:
    """Version and digest that a Gossamer file states, neither verified."""
    metadata = _metadata(path)
    return int(metadata["version"]), metadata["sha256"]


def _parse(text: str, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header without the arrays' checksums, and these."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CompileError("GSM-105", "the header is not JSON", where=where, found=error) from None
    declared = header.pop("arrays", None) if isinstance(header, dict) else None
    if not isinstance(declared, dict):
        raise CompileError("GSM-105", "the header does not list the arrays", where=where)
    return header, declared


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    Raises:
        CompileError: GSM-106 for a full disk, a missing folder or a lack of permission.
    """
    target = Path(path)
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:  # from before the file is there, so that an interrupt at any point leaves none behind
        _create(temporary)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _cannot_write(target, error) from None
    finally:
        with suppress(OSError):  # renamed, or never made
            temporary.unlink()


def _create(path: Path) -> None:
    """An empty file that was not there before."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except ValueError as error:  # a name that no file can have
        raise OSError(error) from None


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write(path: Path, metadata: dict[str, str], arrays: dict[str, Array]) -> None:
    """A safetensors file: its own writer puts metadata in an order that changes from run to run, so that equal contents
    are not equal bytes, and goes through a file of its own, which nobody else can read and a kill leaves behind.
    """
    stored = {n: a.astype(a.dtype.newbyteorder("<"), copy=False) for n, a in arrays.items()}
    names = sorted(stored, key=lambda n: (-stored[n].itemsize, n))  # so that each begins where its type may
    layout: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in names:
        begin, end = end, end + stored[name].nbytes
        dtype = NAMES[stored[name].dtype]
        layout[name] = {"dtype": dtype, "shape": stored[name].shape, "data_offsets": (begin, end)}
    text = json.dumps(layout, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    with path.open("r+b") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(stored[name].reshape(-1).view(np.uint8).data)


def _read(path: str | Path) -> tuple[dict[str, str], dict[str, Array]]:
    metadata = _metadata(path)
    try:
        return metadata, _map(Path(path))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CompileError("GSM-104", "file is damaged", where=str(path), found=error) from None


def _map(path: Path) -> dict[str, Array]:
    """The arrays of a file whose layout safetensors has found right, in alphabetical order."""
    with path.open("rb") as file:
        begin = 8 + int.from_bytes(file.read(8), "little")
        layout = json.loads(file.read(begin - 8))
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    arrays = {}
    for name in sorted(layout.keys() - {"__metadata__"}):
        dtype, shape = np.dtype(DTYPES[layout[name]["dtype"]]), layout[name]["shape"]
        array = np.frombuffer(mapped, dtype, prod(shape), begin + layout[name]["data_offsets"][0]).reshape(shape)
        arrays[name] = array if array.flags.aligned else frozen(array.copy())
    return arrays


def _metadata(path: str | Path) -> dict[str, str]:
    try:
        if Path(path).is_dir():
            raise CompileError("GSM-101", "is a folder, not a file", where=str(path))
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise CompileError("GSM-101", "no such file", where=str(path)) from None
    except (OSError, ValueError) as error:
        raise CompileError("GSM-101", "cannot read the file", where=str(path), found=error) from None
    except SafetensorError as error:
        if _was_ours(path):
            raise CompileError(
                "GSM-104", "file is truncated or damaged", where=str(path), found=error, remedy="copy or make it again"
            ) from None
        raise CompileError("GSM-102", "not a Gossamer file", where=str(path), found=error) from None
    if metadata.get("gossamer") not in KINDS:
        raise CompileError(
            "GSM-102", "not a Gossamer file", where=str(path), found="safetensors without a Gossamer header"
        )
    return metadata


def _was_ours(path: str | Path) -> bool:
    """True if a file that safetensors refuses begins like one of ours (fields stand in any order), or like any that
    was cut off in its header.
    """
    try:
        with Path(path).open("rb") as file:
            beginning = file.read(1_000_000)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return False
    if beginning[8:9] == b"{" and size < 8 + int.from_bytes(beginning[:8], "little"):
        return True
    return b'"__metadata__"' in beginning and any(
        field in beginning for field in (b'"gossamer":', b'"header":"{', b'"sha256":"', b'"version":"')
    )


def _array_sha256(array: Array) -> str:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size and array.ndim else array.tobytes())
    return digest.hexdigest()


def _digest(kind: str, version: str, header: str) -> str:
    return hashlib.sha256("\n".join((kind, version, header)).encode()).hexdigest()


def _cannot_write(path: Path, error: Exception) -> CompileError:
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
    return CompileError(
        "GSM-106",
        "disk is full" if full else "cannot write the file",
        where=str(path),
        found=error,
        remedy="free some room" if full else "check that the folder exists and may be written",
    )
