"""Masks and pruned weights in files: nothing is lost, little room is taken, bad parts are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from gossamer.compiler import CompileError, container_identity, load_checkpoint, save_checkpoint
from gossamer.compiler.packing import LEAST, pack, unpack
from gossamer.training import mlp, prune_at_random

EXAMPLE = Path(__file__).parents[2] / "examples" / "mnist-conv.safetensors"  # of version 1


def packed(array):
    arrays = {}
    return pack(array, "a", arrays), arrays


@given(
    arrays_of.arrays(
        st.sampled_from([np.bool_, np.float32, np.int8, np.int16, np.float64]),
        arrays_of.array_shapes(min_dims=0, max_dims=4, max_side=9),
    ),
    st.floats(0, 1),
)
def test_nothing_is_lost(array, share):
    array = np.where(np.random.default_rng(0).random(array.shape) < share, np.zeros_like(array), array)
    record, arrays = packed(array)
    again = arrays["a"] if set(record) == {"array"} else unpack(record, arrays, where="here")
    assert again.dtype == array.dtype
    assert again.shape == array.shape
    assert again.tobytes() == array.tobytes()


def test_a_negative_zero_is_a_value():
    array = np.zeros(100, np.float32)
    array[7] = -0.0
    record, arrays = packed(array)
    assert arrays["a"].tobytes() == np.float32([-0.0]).tobytes()
    assert unpack(record, arrays, where="here").tobytes() == array.tobytes()


def test_small_and_full_arrays_stay_as_they_are():
    for array in (np.zeros(LEAST - 1, np.float32), np.zeros(LEAST - 1, bool), np.ones(1000, np.float32)):
        record, arrays = packed(array)
        assert record == {"array": "a"}
        assert arrays["a"] is array


def test_a_pruned_network_takes_little_room_and_comes_back(tmp_path):
    network = prune_at_random(mlp((1, 20, 20), 10, seed=0, mean=[0.5], std=[0.25], hidden=(500,)), 0.1, seed=0)
    n = sum(m.weight.size for c in network.connections for m in c.maps if getattr(m, "mask", None) is not None)
    path = tmp_path / "a.safetensors"
    digest = save_checkpoint(network, path)
    assert container_identity(path) == (2, digest)
    assert path.stat().st_size < n * (0.1 * 4 + 1 / 8) + 20_000  # mask and places are kept once
    again = load_checkpoint(path)
    assert save_checkpoint(again, tmp_path / "b.safetensors") == digest
    for c, d in zip(network.connections, again.connections, strict=True):
        for m, k in zip(c.maps, d.maps, strict=True):
            if getattr(m, "mask", None) is not None:
                assert np.array_equal(m.weight, k.weight)
                assert np.array_equal(m.mask, k.mask)


def test_a_mask_of_its_own_comes_back(tmp_path):
    network = prune_at_random(mlp((1, 8, 8), 10, seed=0, mean=[0.5], std=[0.25], hidden=(50,)), 0.1, seed=0)
    first = network.connections[0]
    m = next(m for m in first.maps if getattr(m, "mask", None) is not None)
    other = replace(m, mask=~m.mask)
    maps = tuple(other if k is m else k for k in first.maps)
    save_checkpoint(replace(network, connections=(replace(first, maps=maps), *network.connections[1:])), tmp_path / "a")
    found = next(k for k in load_checkpoint(tmp_path / "a").connections[0].maps if getattr(k, "mask", None) is not None)
    assert np.array_equal(found.mask, ~m.mask)
    assert np.array_equal(found.weight, m.weight)


def test_files_of_version_1_are_read():
    assert container_identity(EXAMPLE)[0] == 1
    assert load_checkpoint(EXAMPLE).n_steps == 8


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"shape": [-1, 100]}, "not the shape"),
        ({"shape": [True, 100]}, "not the shape"),
        ({"shape": "100"}, "not the shape"),
        ({"shape": [1 << 40, 1 << 40]}, "do not fit the shape"),
        ({"shape": [99]}, "do not fit the shape"),  # a bit is set beyond
        ({"shape": [105]}, "do not fit the shape"),
        ({"places": "a"}, "do not fit the shape"),
        ({"places": "b"}, "missing"),
        ({"places": 7}, "missing"),
        ({"values": "a.places"}, "do not fit their places"),
        ({"values": "b"}, "missing"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, what):
    array = np.zeros(100, np.float32)
    array[[3, 99]] = 1.5
    record, arrays = packed(array)
    with pytest.raises(CompileError, match=what) as caught:
        unpack({**record, **change}, arrays, where="here")
    assert (caught.value.code, caught.value.where) == ("GSM-105", "here")
