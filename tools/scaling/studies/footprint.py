"""`study footprint`: measure what the simulator holds, for the constants of nanobragg_torch.scan.plan.

Each figure is the difference of two real runs under the memory guard that differ in one size alone.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nanobragg_torch.memory import Limit
from nanobragg_torch.scan.plan import FOOTPRINT, MARGIN, Footprint
from tools.scaling.base.errors import ScalingError
from tools.scaling.base.repo import ROOT, environment
from tools.scaling.guard.child import run
from tools.scaling.guard.outcome import GuardVerdict

DTYPES = ("float64", "float32")
SMALL, LARGE = 2**12, 2**20  # blocks; the difference is what a term costs
WORKERS = 4
_THICK = ("-oversample_thick", "-detector_thick", "0.5", "-detector_abs", "0.5", "-thicksteps", "2")
_FACTORS = ("-oversample_polar", "-oversample_omega", "-dmin", "1.5", *_THICK)
_SOURCES = ("-hdivrange", "10", "-hdivsteps", "32")
# Detectors (pixels an edge) of at least LARGE terms, however the terms come about; what differs is what one needs.
KINDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "pixels": (1024, ()),
    "orientations": (181, ("-phisteps", "32")),
    "sub-pixels": (181, ("-oversample", "6")),
    "sources": (181, _SOURCES),
    "GAUSS": (1024, ("-gauss_xtal",)),
    "ROUND": (1024, ("-round_xtal",)),
    "all factors": (1024, _FACTORS),
    "factors, sources": (181, (*_FACTORS, *_SOURCES)),
    "tricubic": (1024, ("-interpolate",)),
    "tricubic, phi": (1024, ("-interpolate", "-phisteps", "2")),
    "tricubic, factors": (1024, ("-interpolate", *_FACTORS)),
}
CRYSTAL = "-cell 70 80 90 75 85 95 -N 5 -lambda 1 -distance 100 -osc 1 -nointerpolate -oversample 1"
CASE = tuple(f"{CRYSTAL} -default_F 10 -floatfile /dev/null".split())
CHILD = """
import json, sys
ask = json.loads(sys.argv[1])
if ask["outputs"]:
    from nanobragg_torch.cli.main import main
    options = ["--block", str(ask["block"]), "--threads", str(ask["threads"]), "--dtype", ask["dtype"]]
    sys.exit(main([*ask["flags"], *options]))
from nanobragg_torch.flags.parse import parse
config = parse(ask["flags"])
import torch
torch.set_num_threads(1)
from nanobragg_torch.scan.simulate import simulate
with torch.no_grad():
    dtype = getattr(torch, ask["dtype"])
    image = simulate(config, device="cpu", dtype=dtype, block=ask["block"], threads=ask["threads"])
print(list(image.shape))
"""


@dataclass(frozen=True)
class Request:
    """One real simulation of the port: the image alone, or with `outputs` the whole command line and its files."""

    flags: Sequence[str]
    block: int
    threads: int = 1
    dtype: str = "float64"
    outputs: bool = False


def command(request: Request) -> list[str]:
    """Return the command line of a child that does it, to be run with `environment()`."""
    return [sys.executable, "-c", CHILD, json.dumps(vars(request))]


def peak(request: Request, limit: Limit | None = None) -> int:
    """Run the request and return the most memory that its process was seen to hold, in bytes."""
    env = environment() | {"OMP_NUM_THREADS": "1"}
    if not request.outputs:
        env["NUMBA_DISABLE_JIT"] = "1"  # the torch path is what needs memory
    outcome = run(command(request), cwd=ROOT, env=env, limit=limit)
    if outcome.verdict is not GuardVerdict.OK:
        raise ScalingError(outcome.message)
    return outcome.peak_bytes


def _square(edge: int, *more: str) -> tuple[str, ...]:
    return (*CASE, "-detpixels", str(edge), *more)


def measure(say: Callable[[str], None]) -> Footprint:
    """Measure and return the figures of this machine, without any margin; `say` gets each as it is measured."""
    listed = ("-hkl", str(ROOT / "tests/golden/inputs/p1.hkl"))
    base, edge = peak(Request(_square(64), SMALL)), 2000
    pixel8, pixel4 = ((peak(Request(_square(edge), SMALL, dtype=dtype)) - base) / edge**2 for dtype in DTYPES)
    files = [word for name in ("-intfile", "-pgmfile", "-noisefile") for word in (name, "/dev/null")]
    alone, whole = (peak(Request(_square(1000, *files), SMALL, outputs=outputs)) for outputs in (False, True))
    term = {}
    for kind, (size, flags) in KINDS.items():
        few, many = (peak(Request(_square(size, *listed, *flags), block)) for block in (SMALL, LARGE))
        term[kind] = (many - few) / (LARGE - SMALL)
        say(f"bytes a term, {kind:<17}: {term[kind]:6.1f}")
    one, all_of_them = (peak(Request(_square(1024), 2**15, threads=count)) for count in (1, WORKERS))
    worker = (all_of_them - one) / (WORKERS - 1) - 2**15 * term["pixels"]
    tricubic = max(cost for kind, cost in term.items() if "tricubic" in kind)
    plain = max(cost for kind, cost in term.items() if "tricubic" not in kind)
    return Footprint(base, *(max(0, round(x)) for x in (pixel8, pixel4, whole - alone, plain, tricubic, worker)))


def figure_lines(measured: Footprint) -> list[str]:
    """Return a line for each figure: as measured, with the margin, and the constant in use."""
    lines = [f"{'':<16}{'measured':>14}{f'x {MARGIN}':>14}{'in use':>14}"]
    for name, value in vars(measured).items():
        lines.append(f"{name:<16}{value:>14}{value * MARGIN:>14.0f}{getattr(FOOTPRINT, name):>14}")
    return lines
