"""A deep network's step with `low_memory` takes a fraction of the memory."""

import subprocess
import sys

import pytest

STEP = """
import sys, torch
from gossamer.training import Surrogate, TorchNetwork, resnet20, to_spiking
from gossamer.training.freed_memory import kept_memory, returned_memory

def peak():
    lines = open("/proc/self/status").read().splitlines()  # not getrusage: that begins at the parent's peak
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

torch.set_num_threads(1)
is_low = sys.argv[1] == "low"
network = resnet20((3, 32, 32), 10, seed=0, mean=[0.5] * 3, std=[0.25] * 3, width=8)
names = [p.name for p in network.populations if p.kind == "relu"]
spiking = to_spiking(network, dict.fromkeys(names, 0.5), n_steps=16, reset="zero", leak=1.0)
model = TorchNetwork(spiking, surrogate=Surrogate(), low_memory=is_low).train()
model(torch.rand(1, 3, 32, 32)).sum().backward()  # whatever is made once
before = peak()
with returned_memory() if is_low else kept_memory():
    torch.nn.functional.cross_entropy(model(torch.rand(32, 3, 32, 32)), torch.arange(32) % 10).backward()
print(peak() - before)
"""


def taken(mode):
    return int(subprocess.run([sys.executable, "-c", STEP, mode], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux, and glibc")
def test_low_memory_takes_less_than_half():
    assert taken("low") < taken("full") / 2
