"""Train spiking networks: data sets, models, attacks, pruning, conversion. Torch is imported where it is used."""
