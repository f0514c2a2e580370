"""Functions that numba compiles, where it can and where that pays; where not, the caller has another way.

A function to compile is plain Python in a module that does not import numba, whose import costs a third of a second.
Numba keeps what it has compiled on the disk, for each kind of CPU: in NUMBA_CACHE_DIR, beside the module, or in the
user's cache folder. It looks at no other file than the function's own, so that all that is called has to stand there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

_IMPORT_SECONDS = 0.5  # numba's import, and one compiled function read from the disk
_READ_SECONDS = 0.1  # where numba is there already

Function = Callable[..., Any]

_listeners: list[Callable[[str], None]] = []
_told: set[str] = set()


def listen(tell: Callable[[str], None]) -> None:
    """Have `tell`, and no one else, called with one line before a function is compiled for the first time on this
    machine, and with one where nothing can be compiled although it would pay."""
    _listeners[:] = [tell]
    _told.clear()


def pays(seconds: float) -> bool:
    """Whether a gain of so many seconds outweighs getting numba and a function that was compiled before."""
    return seconds > (_READ_SECONDS if "numba" in sys.modules else _IMPORT_SECONDS)


def usable() -> str | None:
    """None where numba can compile and keep what it has compiled, else one line that says why it cannot.

    To be asked where compiling would pay: the line is told to who listens.
    """
    reason = _hindrance()
    if reason is not None:
        _tell(f"nothing is compiled, so this takes longer: {reason}")
    return reason


@cache
def _hindrance() -> str | None:
    try:
        import numba
    except (ImportError, OSError) as error:
        first, _, _ = str(error).partition("\n")
        return f"numba cannot be imported ({first})"
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return "numba is switched off by NUMBA_DISABLE_JIT"
    try:
        numba.njit(cache=True)(pays)
    except RuntimeError:
        return "numba can write no folder for its cache (NUMBA_CACHE_DIR names another one)"
    _announce_compilations()
    return None


def compiled(function: Function, *callees: Function | tuple[Function, Function]) -> Function | None:
    """`function` compiled when it is first called, or None where that cannot be, which `usable` explains.

    callees: the functions of the same file that it calls, and those that they call; a pair is one of them, and another
    function that is compiled in its place. The arithmetic is that of the text: nothing is reordered or contracted, a
    division by 0 gives what IEEE 754 says. Python's lock is let go.
    """
    return None if usable() is not None else _compiled(function, *callees)


@cache
def _compiled(function: Function, *callees: Function | tuple[Function, Function]) -> Function:
    from numba import njit

    for callee in callees:
        _callable(*(callee if isinstance(callee, tuple) else (callee, callee)))
    return kept(njit(nogil=True, cache=True, error_model="numpy")(function))


def kept(fast: Function) -> Function:
    """`fast`, which numba keeps on the disk, so that nothing about the disk hinders it."""

    @wraps(fast, updated=())
    def call(*arguments: Any) -> Any:
        try:
            return fast(*arguments)
        except OSError:  # the disk of the cache is full; what could not be kept serves this process
            return fast(*arguments)
        except Exception:  # files of the cache that a crash left empty, cut off or overwritten
            fast.recompile()  # type: ignore[attr-defined]
            return fast(*arguments)

    return call


@cache
def _callable(plain: Function, body: Function) -> None:
    """Have compiled functions that call `plain` call `body`, compiled."""
    from numba.extending import overload

    overload(plain, jit_options={"error_model": "numpy"}, strict=False)(lambda *_: body)


def _announce_compilations() -> None:
    from numba.core import event

    class Announcement(event.Listener):
        """Of numba's events "numba:compile"; none comes for what is read from the disk."""

        def on_start(self, event: Any) -> None:
            if event.data["dispatcher"].py_func.__module__.startswith("nanobragg_torch."):
                _tell("functions are compiled, once on this machine: this takes some seconds")

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Announcement())


def _tell(line: str) -> None:
    if line not in _told:
        _told.add(line)
        for tell in _listeners:
            tell(line)
