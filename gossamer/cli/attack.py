"""gossamer attack: is it still robust?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import AsJson, Data, DataDir, Limit, Split, fraction
from .output import print_json, show


def attack(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="The trained network.")],
    data: Data,
    data_dir: DataDir = None,
    split: Split = "test",
    name: Annotated[str, typer.Option("--attack", metavar="pgd|fgsm|rfgsm", help="Which attack.")] = "pgd",
    eps: Annotated[
        str, typer.Option("--eps", metavar="X", help="Largest change of a pixel; pixels lie in 0..1.")
    ] = "8/255",
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", help="Steps of pgd. Default: 20.")] = None,
    step_size: Annotated[
        str | None, typer.Option("--step-size", metavar="X", help="Step of pgd. Default: 2.5 eps / steps.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the attack's noise.")] = 0,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Attack a network with full knowledge of it, and say how often it is still right.

    The attack follows gradients through time and through the surrogate that the network was trained with. One attack
    with one surrogate is an upper bound of robustness, not a proof.
    """
    from ..compiler import load_checkpoint
    from ..report.numbers import percent
    from ..report.text import clean
    from ..robustness import attack as run
    from ..samples import check_classes, load_images
    from .check import one_of
    from .progress import counting

    size = fraction(eps, option="--eps")
    options: dict[str, Any] = {} if steps is None else {"n_steps": steps}
    if step_size is not None:
        options["step_size"] = fraction(step_size, option="--step-size")
    one_of(
        name,
        ("pgd",) if options else ("pgd", "fgsm", "rfgsm"),
        option="--attack with --steps" if options else "--attack",
    )
    network = load_checkpoint(checkpoint)
    dataset = load_images(data, split=split, data_dir=data_dir, limit=limit)
    check_classes(dataset.n_classes, network[network.output].n_neurons, data=data)
    with counting("attacking") as progress:
        report = run(network, dataset, attack=name, eps=size, seed=seed, progress=progress, **options)
    if as_json:
        answer = {"attack": name, **report.options, "seed": seed, "data": data, "split": split}
        accuracies = {"clean_accuracy": report.clean_accuracy, "adversarial_accuracy": report.adversarial_accuracy}
        print_json({**answer, "n_samples": report.n_samples, **accuracies})
        return
    shown = {"eps": eps, **{k: v for k, v in report.options.items() if k != "eps"}, "seed": seed}
    words = ", ".join(
        f"{k.removeprefix('n_')} {v:g}" if isinstance(v, float) else f"{k.removeprefix('n_')} {v}"
        for k, v in shown.items()
    )
    show(clean(f"{network.name} on {report.n_samples:,} samples of {data} ({split})"))
    show(f"  clean          {percent(report.clean_accuracy):>9}")
    show(f"  under {name:<8} {percent(report.adversarial_accuracy):>9}   {words}")
