"""Which connections of a recurrent NIR graph close a loop within one step.

NIR gives a recurrent edge no delay; every framework takes the spikes of the step before. So a connection that leads
back to a population on the way from the Input gets a delay of one step: the back edges of a depth-first walk from
the Input, over connections without a delay, which takes the populations that follow in alphabetical order.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

Pair = tuple[str, str]


def closing_pairs(starts: Sequence[str], pairs: Iterable[Pair]) -> set[Pair]:
    """The (source, target) pairs to delay, so that `pairs` hold no loop any more.

    starts: where to walk from, in this order; whatever no earlier walk has reached.
    """
    after = _successors(pairs)
    closing: set[Pair] = set()
    on_path: set[str] = set()
    done: set[str] = set()
    for start in starts:
        path = [] if start in done else [(start, iter(after.get(start, ())))]
        on_path.update(name for name, _ in path)
        while path:
            name, following = path[-1]
            target = next(following, None)
            if target is None:
                path.pop()
                on_path.discard(name)
                done.add(name)
            elif target in on_path:
                closing.add((name, target))
            elif target not in done:
                on_path.add(target)
                path.append((target, iter(after.get(target, ()))))
    return closing


def in_order(start: str, pairs: Iterable[Pair]) -> list[str]:
    """All that `start` reaches, sources before targets where no loop forbids it; ties in alphabetical order."""
    pairs = set(pairs)
    after = _successors(pairs - closing_pairs([start], pairs))
    reached, stack = {start}, [start]
    while stack:
        for target in after.get(stack.pop(), ()):
            if target not in reached:
                reached.add(target)
                stack.append(target)
    waiting = Counter(target for name in reached for target in after.get(name, ()))
    order: list[str] = []
    ready = [start]
    while ready:
        name = ready.pop(0)
        order.append(name)
        for target in after.get(name, ()):
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return order


def _successors(pairs: Iterable[Pair]) -> Mapping[str, list[str]]:
    after: dict[str, list[str]] = {}
    for source, target in sorted(set(pairs)):
        after.setdefault(source, []).append(target)
    return after
