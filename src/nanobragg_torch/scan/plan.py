"""Planning memory before torch is imported: what a simulation will need, what there is, and the block that fits.

    need = base + outputs + noise + pixels x pixel + grid + orientations + workers x (worker + block x term)

The compiled kernel, where there is room for it, takes what the blocks would, or KERNEL, if that is more.

`sizes` takes the numbers from a Config, `plan` decides. Neither imports torch.
"""

import importlib.util
import math
import subprocess
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nanobragg_torch.errors import DoesNotFit, FlagError
from nanobragg_torch.io.fdump import fdump_cells
from nanobragg_torch.io.load import reflections_of, sources_of
from nanobragg_torch.memory import STOP_PERCENT, Limit, limit, mebibytes

if TYPE_CHECKING:
    from nanobragg_torch.config import Config

MARGIN = 1.2
PREFERRED = 2**17  # terms of a block: what nanobragg_torch.scan.simulate takes unless told
GPU_CONTEXT = 600 * 2**20  # CUDA's own, on the device
GPU_HOST = 600_000_000  # bytes of CUDA's libraries, and of Triton's, beside it: 470 MiB and MARGIN
REFLECTION, CELL = 128, 30  # bytes a listed reflection while it is read, a cell
ROTATION, ORIENTATION, KEPT = 1000, 1250, 2**16  # bytes a rotation (as in Sizes), an orientation; how many are kept
NUMBA = 46_000_000  # bytes of numba and of its work: 37 MiB and MARGIN
KERNEL = 145_000_000  # bytes where the image's kernel is compiled for the first time: 112 MiB and MARGIN
MASKED = 24  # bytes a pixel, where a mask names the rendered ones, which are computed apart


@dataclass(frozen=True)
class Footprint:
    """What the simulator holds, in bytes, as `study footprint` measures it.

    base: interpreter, torch and what all pixels share. pixel8, pixel4: of the image, a pixel, in float64 and
    float32. outputs: what the command line's statistics and files take beside it. term, tricubic: a term in a
    block, of the kind that needs most, without and with tricubic interpolation. worker: a thread, without its block.
    """

    base: int
    pixel8: int
    pixel4: int
    outputs: int
    term: int
    tricubic: int
    worker: int


# Measured times MARGIN (torch 2.13 for CPUs, Python 3.11, x86-64, glibc), rounded up.
FOOTPRINT = Footprint(
    base=185_000_000,
    pixel8=10,
    pixel4=5,
    outputs=25_000_000,
    term=680,
    tricubic=1150,
    worker=3_000_000,
)
CUDA_BUILD = 167_000_000  # what a torch that was built for CUDA holds more, used or not
ADDRESSES = 2 * 2**30  # what libraries and stacks take of RLIMIT_AS without holding it


NANOSECONDS, TRICUBIC = 80, 2200  # of the torch path, a term: measured from 82 on, and 2250
WORTH = 0.15  # seconds of the torch path. numba's import takes 0.25, but a process once; whether it is imported already
# plays no part, so that the last bits of an image depend on nothing but what is simulated.


def seconds(terms: float, *, tricubic: bool) -> float:
    """What the torch path takes for so many terms, about."""
    return 1e-9 * (TRICUBIC if tricubic else NANOSECONDS) * terms


def footprint_here() -> Footprint:
    """That of the torch that is installed, which is looked at and not imported."""
    torch = importlib.util.find_spec("torch")
    libraries = Path(torch.origin).parent / "lib" if torch is not None and torch.origin else None
    if libraries is None or not any(libraries.glob("libtorch_cuda.*")):
        return FOOTPRINT
    return replace(FOOTPRINT, base=FOOTPRINT.base + CUDA_BUILD)


@dataclass(frozen=True)
class Sizes:
    """What of a simulation decides its memory.

    rendered: pixels that are computed. row: terms of one row of pixels that are held together, at the least.
    cells: of the grid of structure factors. reflections: listed. rotations: phi steps, domains and sources.
    orientations: phi steps times domains. itemsize: 8 or 4 bytes a number. masked: a mask names the rendered pixels.
    outputs: the command line's statistics and files are made, not the image alone. noise: among them a noise image,
    which numba compiles. tricubic: structure factors may be
    interpolated. searched: the order of evaluations is looked into first, by one more thread, which keeps its block.
    compiled: the compiled kernel may serve.
    """

    pixels: int
    rendered: int
    row: int
    cells: int = 0
    reflections: int = 0
    rotations: int = 2
    orientations: int = 1
    itemsize: int = 8
    masked: bool = False
    outputs: bool = False
    noise: bool = False
    tricubic: bool = False
    searched: bool = False
    compiled: bool = False

    def terms(self, config: "Config") -> int:
        """Terms to be summed, as far as they are known: a chosen oversampling, all sources."""
        sampling, sensor, sources = config.sampling, config.detector.sensor, self.rotations
        sources -= config.scan.phi_steps + config.crystal.mosaic_domains
        return self.rendered * self.orientations * sources * sensor.layers * max(sampling.oversample, 1) ** 2


@dataclass(frozen=True)
class MemoryPlan:
    """What a simulation needs and may take, in bytes, and how it is cut to fit.

    block: terms x pixels held at a time by each of `workers` threads. blocks: bytes of all of them. gpu: bytes
    that the device offers, None on a CPU. kernel: False where there is no room for the
    compiled kernel, which would serve.
    """

    fixed: int
    image: int
    grid: int
    block: int
    rows: int
    workers: int
    blocks: int
    available: int
    limit: Limit
    gpu: int | None = None
    kernel: bool = True

    @property
    def need(self) -> int:
        """On the host; on a GPU the blocks are on the device."""
        return self.fixed + self.image + self.grid + (self.blocks if self.gpu is None else 0)

    @property
    def line(self) -> str:
        """One line for commands.txt."""
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        text = f"memory plan: {mebibytes(self.need)} = {mebibytes(self.fixed)} interpreter and torch"
        text += f" + {mebibytes(self.image)} image + {mebibytes(self.grid)} grid"
        there = f"there are {mebibytes(self.available)}, {STOP_PERCENT} % of {self.limit}"
        cut = f"{workers} with blocks of {self.rows} row{'s' if self.rows > 1 else ''} ({self.block} terms)"
        if self.gpu is None:
            return f"{text} + {mebibytes(self.blocks)} blocks; {there}; {cut}"
        return f"{text}; {there}; on the device {mebibytes(self.blocks)} of {mebibytes(self.gpu)}; {cut}"


def sizes(config: "Config", *, itemsize: int = 8, outputs: bool = False) -> Sizes:
    """The sizes of `config`; itemsize and outputs as in `Sizes`.

    Reads what is not loaded yet: source file and reflection list as `loaded` does, of a dump the head alone. Raises
    InputError from the readers.
    """
    detector, beam = config.detector, config.beam
    roi = detector.rendered
    width = max(0, roi.fast_max - roi.fast_min + 1)
    height = max(0, roi.slow_max - roi.slow_min + 1)
    listed, _ = sources_of(config)
    sources = beam.horizontal.count * beam.vertical.count * beam.dispersion.count if listed is None else len(listed)
    counts = {
        "pixels of the detector along fast": detector.pixels_fast,
        "pixels of the detector along slow": detector.pixels_slow,
        "phi steps": config.scan.phi_steps,
        "mosaic domains": config.crystal.mosaic_domains,
        "sources": sources,
        "layers of the sensor": detector.sensor.layers,
        "sub-pixels along an edge": config.sampling.oversample,
    }
    for name, count in counts.items():
        if count >= 2**31:
            shown = f"{count:.3g}" if count < 10**300 else "more than 1e+300"
            raise FlagError(f"{name}: expected fewer than 2147483648, got {shown}")
    cells, reflections = _grid(config)
    tricubic = config.structure.interpolate is not False
    wanted = Sizes(
        pixels=width * height,
        rendered=width * height,
        row=max(1, width),
        cells=cells,
        reflections=reflections,
        rotations=config.scan.phi_steps + config.crystal.mosaic_domains + sources,
        orientations=config.scan.phi_steps * config.crystal.mosaic_domains,
        itemsize=itemsize,
        masked=detector.mask_file is not None or detector.mask is not None,
        outputs=outputs,
        noise=outputs and config.output.noise_file is not None,
        tricubic=tricubic,
        searched=tricubic or config.dmin_m > 0,
    )
    # of a sampling that is chosen from the spots little is known yet
    many = config.sampling.oversample < 1 or seconds(wanted.terms(config), tricubic=tricubic) > WORTH
    return replace(wanted, compiled=itemsize == 8 and many)


def _grid(config: "Config") -> tuple[int, int]:
    """Cells of the grid with its padding, and listed reflections."""
    structure = config.structure
    if structure.reflections is None and structure.hkl_file is None and structure.dump_file is not None:
        return fdump_cells(structure.dump_file), 0
    listed = reflections_of(config)
    if listed is None:
        return 0, 0
    return math.prod(listed.shape), 0 if listed.hkl is None else listed.count


def plan(
    wanted: Sizes,
    *,
    workers: int = 1,
    memory_limit: int | None = None,
    there: Limit | None = None,
    gpu: int | None = None,
    footprint: Footprint | None = None,
) -> MemoryPlan:
    """How to cut `wanted` so that it fits: without the kernel, with fewer workers before smaller than one row.

    there: what the process may use; without it `limit(memory_limit)` now. gpu: free bytes of the device
    that computes (`gpu_free`), None on a CPU. footprint: `footprint_here()` unless given. Raises DoesNotFit,
    with the numbers, if one row does not fit.
    """
    there = limit(memory_limit) if there is None else there
    footprint = footprint_here() if footprint is None else footprint
    available = max(0, there.bytes - (ADDRESSES if there.source == "RLIMIT_AS" else 0)) * STOP_PERCENT // 100
    fixed = footprint.base + (footprint.outputs if wanted.outputs else 0) + (NUMBA if wanted.noise else 0)
    fixed += GPU_HOST if gpu is not None else 0
    fixed += wanted.rotations * ROTATION + min(wanted.orientations, KEPT) * ORIENTATION
    a_pixel = footprint.pixel8 if wanted.itemsize == 8 else footprint.pixel4
    a_pixel += MASKED if wanted.masked else 0
    image, grid = wanted.pixels * a_pixel, wanted.cells * CELL + wanted.reflections * REFLECTION
    row = wanted.row * (footprint.tricubic if wanted.tricubic else footprint.term)
    most, room = max(1, PREFERRED // wanted.row), available - fixed - image - grid
    if gpu is not None:  # one thread; the image is on both sides, the blocks fill the device
        workers, most = 1, max(1, wanted.rendered // wanted.row)
        room = -1 if room < 0 else gpu * STOP_PERCENT // 100 - GPU_CONTEXT - image - grid
    compiled = wanted.compiled and gpu is None
    kernel = not compiled or room >= KERNEL
    for count in range(max(1, workers), 0, -1):
        held = count + (1 if wanted.searched and count > 1 else 0)
        rows = min(most, (room // held - footprint.worker) // row)
        if rows >= 1 or count == 1:
            cut = max(1, rows)
            blocks = held * (footprint.worker + cut * row)
            blocks = max(blocks, KERNEL) if compiled and kernel else blocks  # one of the two is held
            made = MemoryPlan(fixed, image, grid, cut * wanted.row, cut, count, blocks, available, there, gpu, kernel)
            if rows < 1:
                raise DoesNotFit(f"does not fit, nothing was started: {made.line}")
            break
    return made


def gpu_free(device: str) -> int | None:
    """Free bytes of the CUDA device `device` (cuda, cuda:1), by nvidia-smi; None on a CPU or where that is silent."""
    name, _, index = device.partition(":")
    if name != "cuda":
        return None
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", index or "0"]
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
        return int(done.stdout.split()[0]) * 2**20
    return None
