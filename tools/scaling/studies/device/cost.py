"""What an image costs on a device: seconds beside the CPU's, and memory beside what the plan foresees."""

import ctypes
import gc
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from tools.scaling.guard.limit import read
from tools.scaling.studies.bench.canonical import INPUTS, canonical
from tools.scaling.studies.bench.works import CANONICAL, works

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from nanobragg_torch.config import Config

INTERVAL = 0.005  # seconds between two looks at the memory
TURNS, ENOUGH = 3, 3.0  # turns of a row, or as many as fit into this many seconds
FINER = ["-phisteps", "100"]
ROOMY = ("5 x 5 sub-pixels, 5 layers, all factors each", "5 phi steps, tricubic")


@dataclass(frozen=True)
class DeviceMemory:
    """What a device counts of its memory: torch.cuda, or a module that has the same functions."""

    module: Any
    device: "torch.device"

    @property
    def total(self) -> int:
        return int(self.module.mem_get_info(self.device)[1])

    def begin(self) -> None:
        """Give back what torch keeps for later, and begin to count anew."""
        self.module.empty_cache()
        self.module.reset_peak_memory_stats(self.device)

    @property
    def peak(self) -> int:
        """The most that tensors have taken since `begin`, in bytes."""
        return int(self.module.max_memory_allocated(self.device))


def memory_of(device: "torch.device | str") -> DeviceMemory | None:
    """What counts the memory of `device`; None of a CPU, or of a device that does not count."""
    import torch

    device = torch.device(device)
    module = getattr(torch, device.type, None)
    counts = all(hasattr(module, name) for name in ("mem_get_info", "max_memory_allocated", "empty_cache"))
    return DeviceMemory(module, device) if counts and device.type != "cpu" else None


def simulated(
    config: "Config", device: str, dtype: "torch.dtype", block: int | None = None, threads: int | None = None
) -> "tuple[Tensor, float]":
    """The image, brought to the CPU, and the seconds that it took. block, threads: as in `simulate`."""
    from nanobragg_torch.scan.simulate import simulate

    memory = memory_of(device)
    if memory:
        memory.begin()
    began = time.perf_counter()
    image = simulate(config, device=device, dtype=dtype, block=block, threads=threads).cpu()
    return image, time.perf_counter() - began


def parsed(flags: list[str]) -> "Config":
    from nanobragg_torch.flags.parse import parse
    from nanobragg_torch.io.load import loaded

    return loaded(parse(flags, [INPUTS]))


def loads(quick: bool) -> "dict[str, Config]":
    """What memory is measured of: the canonical image, many sub-pixels, tricubic interpolation."""
    every = works()
    if quick:
        return {"10 phi steps, 64 x 64": parsed([*every["10 phi steps"], "-detpixels", "64"])}
    return {CANONICAL: canonical()} | {name: parsed(every[name]) for name in ROOMY}


def benches(quick: bool) -> "dict[str, Config]":
    """What is timed: the rows of the bench, and the canonical command with ten times as many phi steps."""
    rows = works() | {f"{CANONICAL}, 100 phi steps": [*works()[CANONICAL], *FINER]}
    if quick:
        rows = {f"{name}, 64 x 64": [*rows[name], "-detpixels", "64"] for name in ("10 phi steps", "39 sources")}
    return {name: parsed(flags) for name, flags in rows.items()}


def peaks(config: "Config", device: str, dtype: str) -> tuple[bool | None, str, dict[str, Any]]:
    """Whether the peaks stay below the plan (None: the device counts nothing), in words, and the figures (MiB)."""
    import torch

    from nanobragg_torch.memory import limit, own_memory
    from nanobragg_torch.scan.plan import GPU_CONTEXT, gpu_free, plan, sizes

    memory = memory_of(device)
    if memory:
        memory.begin()
    _give_back()
    gpu = gpu_free(device) or (memory.module.mem_get_info(memory.device)[0] if memory else None)
    made = plan(sizes(config, itemsize=8 if dtype == "float64" else 4), there=limit(own=own_memory()), gpu=gpu)
    with torch.no_grad(), _HostPeak() as watched:
        _, seconds = simulated(config, device, getattr(torch, dtype), made.block, made.workers)
    host = watched.bytes
    there = made.blocks + made.image + made.grid
    figures: dict[str, Any] = {
        "terms of a block": made.block,
        "device planned MiB": there >> 20 if gpu else None,
        "device peak MiB": memory.peak >> 20 if memory else None,
        "host planned MiB": made.need >> 20,
        "host peak MiB": host >> 20,
        "seconds": seconds,
    }
    above = [f"the host's peak of {host >> 20} MiB is above the plan"] if host > made.need else []
    if memory and gpu and memory.peak > min(there, gpu - GPU_CONTEXT):
        above.append(f"the device's peak of {memory.peak >> 20} MiB is above the plan")
    if memory is None:
        return None if not above else False, "; ".join((*above, "this device does not count its memory")), figures
    return not above, "; ".join(above), figures


def _give_back() -> None:
    """Give the host what malloc keeps of the images before, where the C library can."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class _HostPeak:
    """The most memory that this process holds within a block, as the memory guard counts it, in bytes."""

    def __enter__(self) -> "_HostPeak":
        self.bytes, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, sum(read([os.getpid()]).values()))


def speeds(config: "Config", device: str) -> dict[str, Any]:
    """Seconds of the image, on the device in both types and on all cores of the CPU; the preparation not counted."""
    import torch

    steps, cpu = rendering(config, "cpu", torch.float64)
    _, there = rendering(config, device, torch.float64)
    _, single = rendering(config, device, torch.float32)
    return {
        "million terms": steps / 1e6,
        "device s": there,
        "CPU s": cpu,
        "times as fast": cpu / there,
        "float32 device s": single,
        "ns a term": 1e9 * there / max(steps, 1),
    }


def rendering(config: "Config", device: str, dtype: "torch.dtype") -> tuple[int, float]:
    """Terms of the image, and the median seconds of its rendering after a first one that is not counted."""
    import torch

    from nanobragg_torch.scan.experiment import prepare
    from nanobragg_torch.scan.simulate import render_image, start

    memory = memory_of(device)
    if memory:
        memory.begin()
    with torch.no_grad():
        exp = prepare(config, device=torch.device(device), dtype=dtype)
        run = start(exp)
        times: list[float] = []
        while (len(times) <= TURNS and sum(times) < ENOUGH) or len(times) < 2:
            began = time.perf_counter()
            render_image(run)[:1, :1].cpu()  # which waits until all is done
            times.append(time.perf_counter() - began)
    return exp.n_pixels * exp.n_subpixels * exp.n_sources * exp.n_orientations, median(times[1:])
