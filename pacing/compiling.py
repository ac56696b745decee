"""The kernel's functions, and how numba gets to compile them.

What `decide` computes is written once, as functions over arrays and scalars in the part of
Python and numpy that numba understands. Production runs them as they stand: a process that paces
need not load a compiler, and numpy is fast enough. A caller that decides a million times, the
simulator, asks `compiled` for the same functions as numba's; from its own `numba.njit` functions
it calls those.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from types import FunctionType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_KERNEL: list[FunctionType] = []


def kernel(function: Function) -> Function:
    """Mark *function* as one that numba may compile; it stays the plain function it is."""
    assert isinstance(function, FunctionType)  # noqa: S101 - tells the type checker
    _KERNEL.append(function)
    return function


def is_possible() -> bool:
    """Return whether numba is installed (the `fast` extra)."""
    return find_spec("numba") is not None


def compiled(function: Function) -> Function:
    """Return *function* compiled by numba, all it calls included; itself without numba.

    It is compiled when first called (some ten seconds for the whole decision) and then kept in
    `__pycache__`. Numba notices a change in the file of a function, but not in the files of
    those it calls: remove the cache after changing the kernel.
    """
    if not is_possible():
        return function
    for plain, fast in _dispatchers(len(_KERNEL)):
        if plain is function:
            result: Function = fast
            return result
    raise ValueError(f"{function} is no kernel function")


@lru_cache(maxsize=1)
def _dispatchers(_count: int) -> list[tuple[FunctionType, Any]]:
    """Return each kernel function with its compiled twin, which calls compiled twins only."""
    from numba import njit  # noqa: PLC0415 - loading it takes a second

    twins = [FunctionType(f.__code__, dict(f.__globals__), f.__name__) for f in _KERNEL]
    for twin, plain in zip(twins, _KERNEL, strict=True):
        twin.__module__, twin.__qualname__ = plain.__module__, plain.__qualname__
    pairs = [(f, njit(twin, cache=True)) for f, twin in zip(_KERNEL, twins, strict=True)]
    replaced = {id(plain): fast for plain, fast in pairs}
    for twin in twins:
        for name, value in twin.__globals__.items():
            if id(value) in replaced:
                twin.__globals__[name] = replaced[id(value)]
    return pairs
