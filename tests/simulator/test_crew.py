"""Threads that share the work of a block."""

import threading

import numpy as np
import pytest

from gossamer.simulator.crew import Crew


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("n", [1, 5, 1000])
def test_every_part_is_done_once_in_every_turn(size, n):
    done = np.zeros(n, np.int64)

    def work(part, first, end):
        done[first:end] += 1

    with Crew(size) as crew:
        for turn in range(1, 200):
            crew.share(work, n)
            assert (done == turn).all()  # nobody is behind


def test_parts_are_done_by_different_threads():
    seen = {}
    with Crew(3) as crew:
        crew.share(lambda part, *_: seen.update({part: threading.get_ident()}), 3)
        again = dict(seen)
        crew.share(lambda part, *_: seen.update({part: threading.get_ident()}), 3)
    assert len(set(seen.values())) == 3
    assert seen == again


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_in_any_part_is_raised(failing):
    def work(part, first, end):
        if part == failing:
            raise KeyError(part)

    def block():
        with Crew(3) as crew:
            crew.share(work, 3)
            crew.share(work, 3)  # goes on, or raises, but does not hang

    with pytest.raises(KeyError, match=str(failing)):
        block()


def test_crews_at_work_at_the_same_time_have_threads_of_their_own():
    results = []

    def block(k):
        total = np.zeros(4, np.int64)

        def work(part, first, end):
            total[part] += k

        with Crew(4) as crew:
            for _ in range(50):
                crew.share(work, 4)
        results.append((k, total.tolist()))

    threads = [threading.Thread(target=block, args=(k,)) for k in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(k, [50 * k] * 4) for k in range(1, 5)]


def test_a_crew_that_shared_nothing_has_started_nothing():
    before = threading.active_count()
    with Crew(64):
        pass
    assert threading.active_count() == before
