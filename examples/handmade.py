"""Build a spiking network by hand, compile it, run it event by event, price what it did.

python examples/handmade.py
"""

import numpy as np

import gossamer
from gossamer.compiler import Connection, Conv2d, Dense, InputCoding, Network, Population, integrate_and_fire

rng = np.random.default_rng(0)
kernels = rng.normal(0, 0.5, (8, 1, 3, 3)) * (rng.random((8, 1, 3, 3)) < 0.5)  # half of the taps are pruned

network = Network(
    name="handmade",
    populations=(
        Population(name="pixels", shape=(1, 12, 12), kind="input"),
        Population(name="conv", shape=(8, 12, 12), neuron=integrate_and_fire(threshold=1.0, reset="subtract")),
        Population(name="classes", shape=(10,), kind="readout"),
    ),
    connections=(
        Connection(source="pixels", target="conv", maps=(Conv2d(weight=kernels, padding=(1, 1)),)),
        Connection(source="conv", target="classes", maps=(Dense(weight=rng.normal(0, 0.1, (10, 8 * 12 * 12))),)),
    ),
    output="classes",
    n_steps=8,
    coding=InputCoding(kind="rate", seed=1),
)

graph = gossamer.compile(network, weight_bits=8)  # Loihi's integers; leave weight_bits out for float32
print(graph.summary())

activity = gossamer.simulate(graph, rng.random((16, 1, 12, 12)))
print(activity.summary())

for chip, report in gossamer.energy(activity, ["cmos-45nm:op-only-int8", "loihi"]).items():
    print(f"{chip}: {report.per_sample_pj / 1000:.2f} nJ per sample", f"(without {report.unpriced})" * report.partial)
