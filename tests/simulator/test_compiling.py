"""What is said while kernels are compiled."""

from numba import njit

from gossamer.simulator import when_compiling


def test_the_first_compilation_is_told_once_and_what_is_compiled_already_is_not():
    @njit
    def kernel(x):
        return x + 1

    told = []
    with when_compiling(lambda: told.append("compiling")):
        kernel(1)
        kernel(1.0)
    assert told == ["compiling"]
    with when_compiling(lambda: told.append("again")):
        kernel(2)
    assert told == ["compiling"]
    kernel(1j)  # nobody listens any more
    assert told == ["compiling"]
