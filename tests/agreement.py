"""Engine against reference: the same spikes, counts and logits."""

import numpy as np
from hypothesis import assume

from gossamer.compiler import CompileError, canonicalize, quantize


def in_canonical_form(network):
    try:
        return canonicalize(network)
    except CompileError as error:
        if error.code != "GSM-301":  # a bias for the current and one for the membrane
            raise
        return assume(False)


def in_integers(network, weight_bits, per):
    """Quantized, unless integers cannot express it, as where a threshold is below half a unit."""
    try:
        return quantize(in_canonical_form(network), weight_bits=weight_bits, per=per)
    except CompileError as error:
        if error.code not in ("GSM-302", "GSM-207"):
            raise
        return assume(False)


def assert_same(trace, activity, network):
    for row, layer in enumerate(activity.layers):
        name = layer.name
        if layer.kind != "readout":
            np.testing.assert_array_equal(activity.spikes[name], trace.spikes[name], err_msg=name)
        counts = activity.counts[row]
        np.testing.assert_array_equal(counts[:, 1], trace.synaptic_ops[name], err_msg=f"{name} synaptic ops")
        np.testing.assert_array_equal(counts[:, 2], trace.macs[name], err_msg=f"{name} macs")
        spikes_per_step = (trace.spikes[name] != 0).sum(axis=(0, *range(2, trace.spikes[name].ndim)))
        np.testing.assert_array_equal(counts[:, 0], spikes_per_step, err_msg=f"{name} spikes")
        updates = 0 if layer.kind == "input" else layer.n_neurons * activity.n_samples
        assert (counts[:, 3] == updates).all()
    np.testing.assert_array_equal(activity.logits, trace.logits)
