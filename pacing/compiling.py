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
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_KERNEL: list[FunctionType] = []
LOOP_FORMS: dict[Callable[..., Any], FunctionType] = {}
"""The loop form of a kernel function, see `loops.py`."""


def kernel(function: Function) -> Function:
    """Mark *function* as one that numba may compile; it stays the plain function it is."""
    assert isinstance(function, FunctionType)  # noqa: S101 - tells the type checker
    _KERNEL.append(function)
    return function


def loop_form_of(function: Callable[..., Any]) -> Callable[[Function], Function]:
    """Mark the decorated function as the form of *function* that is compiled in its place."""

    def mark(form: Function) -> Function:
        assert isinstance(form, FunctionType)  # noqa: S101 - tells the type checker
        LOOP_FORMS[function] = form
        return form

    return mark


def is_possible() -> bool:
    """Return whether numba is installed (the `fast` extra)."""
    return find_spec("numba") is not None


def compiled(function: Function) -> Function:
    """Return *function* compiled by numba, all it calls included; itself without numba.

    It is compiled when first called (some ten seconds for the whole decision) and then kept in
    `__pycache__`, under the digest of the package: numba alone would notice a change in the file
    of a function, but not in the files of those it calls.
    """
    if not is_possible():
        return function
    _complete()
    result: Function = _dispatchers(len(_KERNEL))[function]
    return result


def _complete() -> None:
    """Import what completes the kernel; these modules import this one, hence by name."""
    for module in ("pacing.loops", "pacing.observations"):
        import_module(module)


@lru_cache(maxsize=1)
def _dispatchers(_count: int) -> dict[Callable[..., Any], Any]:
    """Return for each kernel function its compiled twin, which calls compiled twins only."""
    import numba  # noqa: PLC0415 - loading it takes a second

    place = _place()
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, place
    try:
        return assembled(numba.njit(cache=bool(place)))
    finally:
        config.CACHE_DIR = before


def assembled(build: Callable[[FunctionType], Any]) -> dict[Callable[..., Any], Any]:
    """Return for each kernel function what *build* makes of its loop form or, without one, of it.

    What is built calls what is built, never the plain functions.
    """
    _complete()
    twins = [_twin(LOOP_FORMS.get(function, function)) for function in _KERNEL]
    built: dict[Callable[..., Any], Any] = {
        function: build(twin) for function, twin in zip(_KERNEL, twins, strict=True)
    }
    for twin in twins:
        names = twin.__globals__
        for name, value in names.items():
            if isinstance(value, FunctionType) and value in built:
                names[name] = built[value]
    return built


def _twin(function: FunctionType) -> FunctionType:
    """Return the same function with global names of its own."""
    twin = FunctionType(function.__code__, dict(function.__globals__), function.__name__)
    twin.__module__, twin.__qualname__ = function.__module__, function.__qualname__
    return twin


def _place() -> str:
    """Return the folder for compiled code, empty if nothing can be kept."""
    package = Path(__file__).parent
    digest = sha256()
    for source in sorted(package.rglob("*.py")):
        digest.update(source.read_bytes())
    place = package / "__pycache__" / f"compiled-{digest.hexdigest()[:16]}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    return str(place)
