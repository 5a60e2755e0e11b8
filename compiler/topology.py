"""How populations hang together: what is refused, and the order in which they act within a step."""

from collections import Counter
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Protocol

from .errors import CompileError


class Node(Protocol):
    """What has a name and a kind: a population."""

    @property
    def name(self) -> str:
        """Unique in its network."""

    @property
    def kind(self) -> str:
        """As in `Population`."""


class Link(Protocol):
    """What leads from one population to another: a connection or a projection."""

    @property
    def source(self) -> str:
        """Name of the population that emits."""

    @property
    def target(self) -> str:
        """Name of the population that receives."""

    @property
    def min_delay(self) -> int:
        """Shortest delay of any synapse, in steps."""


def check_topology(populations: Sequence[Node], links: Sequence[Link], output: str) -> None:
    """Refuse doubled names, links to nowhere, no or several inputs, an unfed population, an unknown output."""
    names = [p.name for p in populations]
    doubled = [name for name, n in Counter(names).items() if n > 1]
    if doubled:
        raise CompileError("GSM-204", "two populations share a name", found=doubled[0])
    for link in links:
        for end in (link.source, link.target):
            if end not in names:
                raise CompileError(
                    "GSM-204",
                    "a connection names a population that does not exist",
                    where=f"{link.source!r} -> {link.target!r}",
                    found=end,
                    expected=", ".join(names),
                )
    inputs = [p.name for p in populations if p.kind == "input"]
    if len(inputs) != 1:
        raise CompileError("GSM-206", "a network has one input population", found=inputs or "none")
    fed = {link.target for link in links}
    if inputs[0] in fed:
        raise CompileError("GSM-206", "a connection ends in the input population", where=inputs[0])
    for name in names:
        if name not in fed and name != inputs[0]:
            raise CompileError("GSM-206", "nothing is connected to a population", where=f"population {name!r}")
    for p in populations:
        if p.kind == "readout" and any(link.source == p.name for link in links):
            raise CompileError(
                "GSM-206", "a readout does not spike, so nothing can follow it", where=f"population {p.name!r}"
            )
    if output not in names or output == inputs[0]:
        raise CompileError(
            "GSM-206", "the output is no population of the network", found=output, expected=", ".join(names[1:])
        )


def topological_order(populations: Sequence[Node], links: Sequence[Link], *, all_links: bool = False) -> list[str]:
    """Names so that every source stands before its targets, within one step (links of delay 0), or over all links.

    Among populations that are free to go, the declared order is kept.

    Raises:
        CompileError: GSM-205 if the links form a cycle.
    """
    position = {p.name: i for i, p in enumerate(populations)}
    sorter: TopologicalSorter[str] = TopologicalSorter({p.name: () for p in populations})
    for link in links:
        if all_links or link.min_delay == 0:
            sorter.add(link.target, link.source)
    try:
        sorter.prepare()
    except CycleError as error:
        raise CompileError(
            "GSM-205",
            "populations feed each other within one step",
            found=" -> ".join(error.args[1]),
            expected="every cycle to hold a delay of at least one step",
            remedy="set delay=1 on the connection that closes the cycle",
        ) from None
    order: list[str] = []
    ready = sorted(sorter.get_ready(), key=position.__getitem__)
    while ready:
        name = ready.pop(0)
        order.append(name)
        sorter.done(name)
        ready = sorted([*ready, *sorter.get_ready()], key=position.__getitem__)
    return order
