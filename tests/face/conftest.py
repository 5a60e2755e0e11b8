"""The command line, called in this process, on small files."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from networks import small_convolutional

from gossamer.cli import main


@dataclass(frozen=True)
class Answer:
    """What a command left: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        """stdout, which must be one JSON object and nothing else."""
        return json.loads(self.out)


@pytest.fixture
def gossamer(capsys, monkeypatch, tmp_path):
    """Run a command in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        status = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder with a checkpoint, graphs, samples and a run."""
    from gossamer import compile, save_checkpoint, simulate

    folder = tmp_path_factory.mktemp("files")
    network = small_convolutional()
    save_checkpoint(network, folder / "net.safetensors")
    graph = compile(folder / "net.safetensors")
    graph.save(folder / "net.graph")
    compile(folder / "net.safetensors", weight_bits=8).save(folder / "net8.graph")
    compile(folder / "net.safetensors", unroll=True).save(folder / "unrolled.graph")
    rng = np.random.default_rng(0)
    x, y = rng.random((12, 3, 8, 8), np.float32), rng.integers(0, 10, 12)
    np.savez(folder / "x.npz", x=x, y=y)
    np.savez(folder / "unlabelled.npz", x=x)
    simulate(graph, x, y, record=("conv2",)).save(folder / "run")
    return folder


TINY_RECIPE = """
[recipe]
name = "tiny"
threads = 1
[data]
name = "digits"
limit = 160
[model]
builder = "mlp"
hidden = [24]
[dense]
epochs = 2
lr = 0.05
[prune]
method = "hydra"
density = 0.3
epochs = 1
[finetune]
epochs = 1
[convert]
n_steps = 4
batches = 2
steps = 8
[snn]
epochs = 1
lr = 0.01
"""
ADVERSARY = """
[snn.robust]
beta = 1.0
eps = "16/255"
attack = "rfgsm"
"""


@pytest.fixture
def tiny_recipe(tmp_path):
    """Seconds of training on the digits, without adversary."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_RECIPE)
    return path


@pytest.fixture
def tiny_robust_recipe(tmp_path):
    """The same with adversarial fine-tuning."""
    path = tmp_path / "robust.toml"
    path.write_text(TINY_RECIPE.replace('"tiny"', '"robust"') + ADVERSARY)
    return path


@pytest.fixture(scope="session")
def tiny_dense(tmp_path_factory):
    """The checkpoint of a dense network for the digits, barely trained."""
    from gossamer import train

    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.toml").write_text(TINY_RECIPE)
    return train(folder / "tiny.toml", out=folder, stages=["dense"]).final


@pytest.fixture(scope="session")
def tiny_spiking(tmp_path_factory):
    """A folder with the checkpoints of all stages of the tiny recipe, and "net8.graph", its last one in 8 bits."""
    from gossamer import compile, train

    folder = tmp_path_factory.mktemp("spiking")
    (folder / "tiny.toml").write_text(TINY_RECIPE)
    last = train(folder / "tiny.toml", out=folder).final
    compile(last, weight_bits=8).save(folder / "net8.graph")
    return folder


@pytest.fixture
def judges():
    """The folder with the .nir files of other frameworks."""
    return Path(__file__).parent.parent / "judges"
