"""Names, the default root, optional packages, and the digits."""

import subprocess
import sys
import zlib

import numpy as np
import pytest

from gossamer.training.data import list_datasets, load_dataset, split_validation
from gossamer.training.data import registry as registry_module
from gossamer.training.errors import TrainingError

NEEDS_FILES = [name for name in list_datasets() if name != "digits"]


def test_an_unknown_name_is_refused_with_the_known_and_the_closest():
    with pytest.raises(TrainingError) as caught:
        load_dataset("CIFAR_10", "train")
    assert caught.value.code == "GSM-603"
    assert "digits, mnist" in caught.value.expected
    assert "'cifar10'" in caught.value.remedy
    with pytest.raises(TrainingError, match="folder:PATH"):
        load_dataset("zzzzzz", "train")


def test_an_unknown_split_is_refused():
    with pytest.raises(TrainingError, match="val") as caught:
        load_dataset("digits", "val")
    assert caught.value.code == "GSM-603"


@pytest.mark.parametrize("name", NEEDS_FILES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_data_set_that_is_missing_says_where_it_was_sought(name, split, tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(TrainingError) as caught:
            load_dataset(name, split, root=root)
        error = caught.value
        assert error.code == "GSM-601"
        assert error.where == str(root)
        assert str(root) in error.expected
        assert "GOSSAMER_DATA" in error.remedy
        assert "--data-dir" in error.remedy


def test_the_root_is_gossamer_data_or_else_the_folder_data(tmp_path, monkeypatch):
    monkeypatch.setenv("GOSSAMER_DATA", str(tmp_path / "sets"))
    with pytest.raises(TrainingError, match="sets"):
        load_dataset("mnist", "train")
    monkeypatch.delenv("GOSSAMER_DATA")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingError) as caught:
        load_dataset("mnist", "train")
    assert caught.value.where == "data"


def test_a_folder_that_may_not_be_read_is_no_traceback(tmp_path, monkeypatch):
    def refuse(split, root):
        raise PermissionError(13, "Permission denied", str(root))

    monkeypatch.setitem(registry_module.READERS, "mnist", refuse)
    with pytest.raises(TrainingError, match="Permission denied") as caught:
        load_dataset("mnist", "train", root=tmp_path)
    assert caught.value.code == "GSM-601"
    assert caught.value.where == str(tmp_path)


def test_a_missing_optional_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(TrainingError) as caught:
        load_dataset("digits", "test")
    assert caught.value.code == "GSM-701"
    assert "pip install 'gossamer[train]'" in caught.value.remedy


def test_the_readers_import_neither_torch_nor_what_only_some_of_them_need():
    check = "import sys, gossamer.training.data; print(*({'torch', 'PIL', 'sklearn'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_the_digits_split_is_fixed_and_stratified():
    train, test = load_dataset("digits", "train"), load_dataset("digits", "test")
    assert (train.n_samples, test.n_samples, train.shape) == (1437, 360, (1, 8, 8))
    assert np.bincount(test.y).tolist() == [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]
    assert (train.x.min(), train.x.max()) == (0, 255)
    assert set(np.unique(train.x)) == {round(v * 255 / 16) for v in range(17)}
    # Results on this split are comparable only while it stays the same, across NumPy versions too.
    assert zlib.crc32(test.x.tobytes()) == 656393567
    assert not set(map(bytes, train.x)) & set(map(bytes, test.x))


def test_the_digits_can_be_held_out_for_validation():
    train, validation = split_validation(load_dataset("digits", "train"), 0.2, seed=1)
    assert (train.n_samples, validation.n_samples) == (1150, 287)
