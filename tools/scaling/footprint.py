"""`python -m tools.scaling.footprint`: measure what the simulator holds, for the constants of evidence/plan.py.

Each figure is the difference of two real runs under the memory guard that differ in one size alone.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tools.scaling.errors import ScalingError
from tools.scaling.evidence.memory_guard import Limit, Verdict, run
from tools.scaling.evidence.plan import FOOTPRINT, MARGIN, Footprint
from tools.scaling.repo import ROOT, environment

MIB = 2**20
SMALL, LARGE = 2**12, 2**20  # blocks; the difference is what a term costs
# A detector of one block of LARGE terms, however the terms come about; what differs is what a term needs.
KINDS = {
    "orientations": ("-phisteps", "32"),
    "sub-pixels": ("-oversample", "6"),
    "sources": ("-hdivrange", "10", "-hdivsteps", "32", "-oversample_polar", "-nopolar"),
    "polarised": ("-hdivrange", "10", "-hdivsteps", "32", "-oversample_polar", "-oversample_omega"),
    "GAUSS": ("-phisteps", "32", "-gauss_xtal"),
    "ROUND": ("-phisteps", "32", "-round_xtal"),
    "tricubic": ("-phisteps", "32", "-interpolate"),
    "dmin": ("-oversample", "6", "-dmin", "1.5"),
}
CASE: tuple[str, ...] = (
    "-cell",
    "70",
    "80",
    "90",
    "75",
    "85",
    "95",
    "-N",
    "5",
    "-lambda",
    "1",
    "-distance",
    "100",
    "-osc",
    "1",
)
CASE += ("-nonoise", "-nointerpolate", "-oversample", "1", "-floatfile", "/dev/null")
CHILD = """
import inspect, json, sys
ask = json.loads(sys.argv[1])
if ask["outputs"]:
    from nanobragg_torch.__main__ import main
    sys.exit(main(ask["flags"]))
from nanobragg_torch.flags import parse
config = parse(ask["flags"])
import torch
torch.set_num_threads(1)
from nanobragg_torch.simulate import simulate
options = {"block": ask["block"], "threads": ask["threads"]}
known = inspect.signature(simulate).parameters
options = {name: value for name, value in options.items() if name in known}
with torch.no_grad():
    image = simulate(config, device="cpu", dtype=getattr(torch, ask["dtype"]), **options)
print(list(image.shape))
"""


@dataclass(frozen=True)
class Request:
    """One real simulation; with `outputs` the whole command line, which chooses block and threads itself."""

    flags: Sequence[str]
    block: int
    threads: int = 1
    dtype: str = "float64"
    outputs: bool = False


def command(request: Request) -> list[str]:
    """The child that does it, to be run with `environment()`."""
    return [sys.executable, "-c", CHILD, json.dumps(vars(request))]


def peak(request: Request, limit: Limit | None = None) -> int:
    """The most memory that the request's process was seen to hold, in bytes."""
    env = environment() | {"OMP_NUM_THREADS": "1"}
    outcome = run(command(request), cwd=ROOT, env=env, limit=limit)
    if outcome.verdict is not Verdict.OK:
        raise ScalingError(outcome.message)
    return outcome.peak_bytes


def say(line: str) -> None:
    """One line for whoever is watching, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _square(edge: int, *more: str) -> tuple[str, ...]:
    return (*CASE, "-detpixels", str(edge), "-default_F", "10", *more)


def measure() -> Footprint:
    """The figures of this machine, without any margin."""
    listed = ("-hkl", str(ROOT / "tests/golden/inputs/p1.hkl"))
    base = peak(Request(_square(64), SMALL))
    edge = 2000
    pixel = {
        size: (peak(Request(_square(edge), SMALL * 8, dtype=dtype)) - base) / edge**2
        for dtype, size in (("float64", 8), ("float32", 4))
    }
    files = ("-intfile", "-pgmfile")
    quiet = [word for name in files for word in (name, "/dev/null")]
    outputs = (peak(Request(_square(edge, *quiet), 0, outputs=True)) - base) / edge**2 - pixel[8]
    term = {}
    for kind, flags in KINDS.items():
        # 181 x 181 pixels make LARGE terms of 32 a pixel
        few, many = (peak(Request(_square(181, *listed, *flags), block)) for block in (SMALL, LARGE))
        term[kind] = (many - few) / (LARGE - SMALL)
        say(f"bytes a term, {kind:<13}: {term[kind]:6.1f}")
    threads = 4
    one, all_of_them = (peak(Request(_square(512), 2**15, threads=count)) for count in (1, threads))
    worker = max(0, all_of_them - one) / (threads - 1) - 2**15 * term["sub-pixels"]
    largest = max(term.values())
    return Footprint(base, *map(round, (pixel[8], pixel[4], outputs, largest, max(0.0, worker))))


def main() -> None:
    """Print what was measured beside the constants in use."""
    found = measure()
    say(f"{'':<16}{'measured':>14}{f'x {MARGIN}':>14}{'in use':>14}")
    for name, value in vars(found).items():
        say(f"{name:<16}{value:>14}{value * MARGIN:>14.0f}{getattr(FOOTPRINT, name):>14}")


if __name__ == "__main__":
    main()
