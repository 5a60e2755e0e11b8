"""Sparse networks of integrate-and-fire neurons, with the synaptic operations that NeuroBench counts in them.

NeuroBench asks for tonic and torchaudio and does not need them here:

    python -m venv env && env/bin/pip install torch==2.13.0 snntorch==1.0.0 nir==1.0.8 numpy tqdm
    env/bin/pip install --no-deps neurobench==2.3.0
    env/bin/python make_neurobench.py
"""

import json
from importlib.metadata import version
from types import SimpleNamespace

import nir
import numpy as np
import snntorch as snn
import torch
from _plain import HERE, Neuron, dyadic, simulate, spikes_in
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import SNNTorchModel
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

MEANING = (
    "NeuroBench hooks the input of every Linear and Conv2d in every step, sets non-zero inputs and non-zero weights to "
    "1 and biases to 0, runs the layer and sums its output: one operation for each visit of a non-zero input to a "
    "non-zero weight, padding not counted, biases not counted. An input tensor (one layer, one step, whole batch) that "
    "holds only 0, 1 and -1 counts as Effective_ACs, any other as Effective_MACs. Dense sets all inputs and all "
    "weights to 1 (again without the padding). `reported` is what NeuroBench prints: the sums over layers, steps and "
    "samples, divided by the number of samples, not by the steps. `total` is before that division; `layers` splits it."
)
ORDER = "v = v[t-1] + I[t]; s[t] = v > threshold; v = v - threshold where s[t], in the same step"


def pruned(rng, layer, low, high, density=0.2):
    keep = rng.random(tuple(layer.weight.shape)) < density
    layer.weight.data = torch.tensor(dyadic(rng, layer.weight.shape, low, high) * keep)
    if layer.bias is not None:
        layer.bias.data = torch.tensor(dyadic(rng, layer.bias.shape, -0.0625, 0.125))
    return layer


def fire(threshold, **options):
    return snn.Leaky(beta=1.0, threshold=threshold, init_hidden=True, **options)


def run(net, x):
    """NeuroBench's results as reported, the same per layer, and the spikes of every population."""
    model, inputs = SNNTorchModel(net), torch.tensor(x, dtype=torch.float32)
    loader = DataLoader(TensorDataset(inputs, torch.zeros(len(x))), batch_size=len(x))
    metrics = [[ConnectionSparsity], [SynapticOperations, ActivationSparsity]]
    reported = Benchmark(model, loader, [], [], metrics).run(quiet=True)
    model.cleanup_hooks()

    model.register_hooks()
    predictions = model(inputs)
    per_layer = []
    for hook in model.connection_hooks:
        metric = SynapticOperations()
        metric(SimpleNamespace(connection_hooks=[hook]), predictions, (inputs, None))
        per_layer.append({"Effective_ACs": metric.AC, "Effective_MACs": metric.MAC, "Dense": metric.total_synops})
    spikes = [np.stack([s.detach().numpy() for s in h.activation_outputs], 1) for h in model.activation_hooks]
    model.cleanup_hooks()
    return reported, per_layer, spikes


def visits(layer, spikes):
    """Count by walking from event to event: the non-zero weights that the non-zero inputs reach."""
    weight = layer.weight.detach().numpy()
    if isinstance(layer, nn.Linear):
        fan_out = np.count_nonzero(weight, axis=0)
        return int(sum(fan_out[neuron] for _, _, neuron in np.argwhere(spikes.reshape(*spikes.shape[:2], -1))))
    (sy, sx), (py, px) = layer.stride, layer.padding
    height = (spikes.shape[3] + 2 * py - weight.shape[2]) // sy + 1
    width = (spikes.shape[4] + 2 * px - weight.shape[3]) // sx + 1
    count = 0
    for _, _, channel, y, x in np.argwhere(spikes):
        for _, i, j in np.argwhere(weight[:, channel]):
            (row, off_row), (column, off_column) = divmod(y + py - i, sy), divmod(x + px - j, sx)
            count += off_row == off_column == 0 and 0 <= row < height and 0 <= column < width
    return int(count)


def case(name, net, x, notes):
    reported, per_layer, spikes = run(net, x)
    connections = [m for m in net if isinstance(m, nn.Linear | nn.Conv2d)]

    # The spikes, by the plain simulator; the operations, by walking over the events.
    stages = []
    for k, layer in enumerate(net):
        weight = getattr(layer, "weight", None)
        bias = None if weight is None else np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().numpy()
        if isinstance(layer, nn.Linear):
            stage = nir.Affine(weight.detach().numpy(), bias)
        elif isinstance(layer, nn.Conv2d):
            stage = nir.Conv2d(None, weight.detach().numpy(), layer.stride, layer.padding, 1, 1, bias)
        elif isinstance(layer, nn.Flatten):
            stage = nir.Flatten(None, 0, -1)
        else:
            stage = Neuron(threshold=float(layer.threshold), comparator=">", reset="subtract")
        stages.append((str(k), stage))
    for ours, theirs in zip(simulate(stages, x).values(), spikes, strict=True):
        assert np.array_equal(ours, theirs), name
    for layer, before, counts in zip(connections, [x, *spikes[:-1]], per_layer, strict=True):
        assert visits(layer, before) == counts["Effective_ACs"] + counts["Effective_MACs"], name
    total = {key: sum(layer[key] for layer in per_layer) for key in per_layer[0]}
    assert {key: value / len(x) for key, value in total.items()} == reported["SynapticOperations"], name
    rates = [float(s.mean()) for s in spikes]
    assert all(0.05 <= rate <= 0.4 for rate in rates), f"{name}: {rates}"

    arrays, layers = {"x": x} | {f"spikes_{k}": s.astype(np.uint8) for k, s in enumerate(spikes)}, []
    neurons = [m for m in net if isinstance(m, snn.Leaky)]
    for k, (layer, neuron, counts) in enumerate(zip(connections, neurons, per_layer, strict=True)):
        arrays[f"weight_{k}"] = layer.weight.detach().numpy()
        if layer.bias is not None:
            arrays[f"bias_{k}"] = layer.bias.detach().numpy()
        conv = isinstance(layer, nn.Conv2d)
        geometry = {"stride": list(layer.stride), "padding": list(layer.padding)} if conv else {}
        layers.append(
            {"kind": "conv" if conv else "dense"}
            | geometry
            | {
                "threshold": float(neuron.threshold),
                "shape": list(spikes[k].shape[2:]),
                "n_nonzero_weights": int((layer.weight != 0).sum()),
                "rate": round(rates[k], 4),
            }
            | counts
        )
    np.savez_compressed(HERE / f"neurobench_{name}.npz", **arrays)

    header = {
        "framework": "neurobench",
        "case": name,
        "version": version("neurobench"),
        "snntorch": snn.__version__,
        "torch": torch.__version__,
        "reset": "subtract",
        "comparator": ">",
        "leak": 1.0,
        "update_order": ORDER,
        "meaning": MEANING,
        "notes": notes,
        "n_samples": len(x),
        "n_steps": x.shape[1],
        "reported": reported["SynapticOperations"],
        "total": total,
        "connection_sparsity": reported["ConnectionSparsity"],
        "activation_sparsity": reported["ActivationSparsity"],
    }
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in header.items()]
    lines.append(' "layers": [\n' + ",\n".join(f"  {json.dumps(layer)}" for layer in layers) + "\n ]")
    (HERE / f"neurobench_{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"neurobench_{name}: rates {[round(r, 3) for r in rates]}, total {total}, reported {header['reported']}")


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(5)

    net = nn.Sequential(
        pruned(rng, nn.Linear(32, 48), -0.25, 0.5),
        fire(1.0),
        pruned(rng, nn.Linear(48, 24, bias=False), -0.375, 0.5),
        fire(1.0),
        pruned(rng, nn.Linear(24, 10), -0.25, 0.5),
        fire(1.0, output=True),
    )
    case("dense", net, spikes_in(rng, 8, 10, (32,), 0.3), "All inputs are binary spikes.")

    net = nn.Sequential(
        pruned(rng, nn.Conv2d(2, 8, 3, padding=1), -0.25, 0.75),
        fire(1.0),
        pruned(rng, nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False), -0.25, 0.5),
        fire(1.25),
        nn.Flatten(),
        pruned(rng, nn.Linear(160, 10), -0.25, 0.3125),
        fire(1.0, output=True),
    )
    case(
        "conv",
        net,
        spikes_in(rng, 8, 10, (2, 8, 10), 0.2),
        "All inputs are binary spikes; both convolutions are padded, the second has stride 2, the input is not square.",
    )

    x = dyadic(rng, (8, 6, 32), 0.0, 1.0, denominator=8) * (rng.random((8, 6, 32)) < 0.7)
    net = nn.Sequential(
        pruned(rng, nn.Linear(32, 24), -0.25, 0.375),
        fire(0.75),
        pruned(rng, nn.Linear(24, 10, bias=False), -0.25, 0.5),
        fire(0.75, output=True),
    )
    case(
        "direct",
        net,
        x.astype(np.float32),
        "Real-valued input (x is float32, with zeros): the first layer's operations are MACs, the second's are ACs.",
    )


if __name__ == "__main__":
    main()
