"""Files with hostile contents and right checksums: what a damaged writer or an attacker could make."""

import json

import numpy as np
from safetensors import safe_open

from gossamer.compiler import write_container


def forge(path, change):
    """Rewrite a file after `change(header, arrays)`."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header = json.loads(metadata["header"])
    header.pop("arrays")
    change(header, arrays)
    write_container(path, metadata["gossamer"], int(metadata["version"]), header, arrays)
    return path


def truncations(data):
    """The file cut off at many lengths."""
    lengths = sorted({*range(min(len(data), 64)), *np.linspace(0, len(data) - 1, 80).astype(int).tolist()})
    return [data[:n] for n in lengths]


def bit_flips(data, n, seed=0):
    """The file with one bit flipped, n times: anywhere, but half of them in the header."""
    rng = np.random.default_rng(seed)
    end_of_header = 8 + int.from_bytes(data[:8], "little")
    for i in range(n):
        place = int(rng.integers(end_of_header if i % 2 else len(data)))
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        yield bytes(flipped)
