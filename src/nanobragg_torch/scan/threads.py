"""Work shared out to threads of which each keeps torch to itself.

Two threads inside one operation wait for each other at its end, and on a busy machine that wait is most of the
time. One operation per thread never waits; torch lets go of Python's lock while it computes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch

Item = TypeVar("Item")
_present = threading.local()
LARGEST_LESSON = 31 * 2**20  # bytes; glibc learns from no freed block of more than 32 MiB


class Stopped(Exception):
    """The work of this thread is not wanted any more."""


class Stop:
    """Whether work is wanted still, as a number that compiled code can look at. flag: (1,), 0 while it is."""

    def __init__(self) -> None:
        self.flag = np.zeros(1, np.uint8)

    def set(self) -> None:
        self.flag[0] = 1

    def is_set(self) -> bool:
        return bool(self.flag[0])


def stop_flag() -> np.ndarray:
    """The flag of the work of this thread."""
    stop = getattr(_present, "stop", None)
    return Stop().flag if stop is None else stop.flag


def check_stopped() -> None:
    """Leave a worker whose work is not wanted any more: a single item can take hours."""
    stop = getattr(_present, "stop", None)
    if stop is not None and stop.is_set():
        raise Stopped


@contextmanager
def one_thread_per_operation() -> Iterator[None]:
    """Keep torch's operations on the thread that calls them; what was set before comes back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Have the C library keep what a block of pixels frees for the next block.

    glibc returns freed memory to the system from a size on that it learns from the largest block it saw freed
    (mallopt(3), M_MMAP_THRESHOLD). Without this lesson two threads spend a tenth of their time in page faults.
    The memory is never touched, so the lesson costs nothing; elsewhere it does nothing.
    """
    torch.empty(LARGEST_LESSON, dtype=torch.uint8)


def in_parallel(items: Iterable[Item], worker: Callable[[], Callable[[Item], None]], threads: int) -> None:
    """Give every item to one of `threads` workers; `worker` makes what one of them does with an item.

    threads: 0 for the thread that calls, which a signal interrupts only between two items.

    The first exception of a worker, or an interrupt, ends the others when they next ask (`check_stopped`), and
    is raised here.
    """
    waiting, lock, stop = iter(items), threading.Lock(), Stop()
    inference = torch.is_inference_mode_enabled()  # a worker has a mode of its own

    def loop() -> None:
        try:
            torch.set_num_threads(1)  # OpenMP keeps this number for each thread
            _present.stop = stop
            mode = torch.inference_mode() if inference else torch.no_grad()
            with mode, torch.autocast("cpu", enabled=False):  # which has a matrix product in 16 bits
                work = worker()
                while not stop.is_set():
                    with lock:
                        item = next(waiting, None)
                    if item is None:
                        return
                    work(item)
        except Stopped:
            return
        except BaseException:
            stop.set()
            raise
        finally:
            _present.stop = None

    keep_freed_memory()
    with one_thread_per_operation():
        if threads == 0:
            return loop()
        with ThreadPoolExecutor(threads) as pool:
            running = [pool.submit(loop) for _ in range(threads)]
            try:
                for one in running:
                    one.result()
            finally:
                stop.set()
