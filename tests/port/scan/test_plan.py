"""The memory plan: what it decides from numbers, and held against real simulations and real cgroups."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from nanobragg_torch.errors import DoesNotFit, InputError
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.memory import Limit
from nanobragg_torch.scan.plan import (
    CUDA_BUILD,
    FOOTPRINT,
    GPU_HOST,
    KERNEL,
    NUMBA,
    PREFERRED,
    Footprint,
    Sizes,
    footprint_here,
    gpu_free,
    plan,
    sizes,
)
from tests.scaling.guard.children import MIB, ROOT, linux, memory_group
from tools.scaling.studies import footprint

ROUND = Footprint(base=100 * MIB, pixel8=10, pixel4=5, outputs=20 * MIB, term=1024, tricubic=2048, worker=MIB)
IMAGE = Sizes(pixels=MIB, rendered=MIB, row=1024)  # a row of a block is 1 MiB
INPUTS = ROOT / "tests/golden/inputs"
WORDS = shlex.split(json.loads((ROOT / "tests/golden/supervisor_synthetic/case.json").read_text())["flags"])
if "-roi" in WORDS:  # the whole detector
    del WORDS[WORDS.index("-roi") : WORDS.index("-roi") + 5]
CANONICAL = [str(INPUTS / word) if word.endswith((".mat", ".hkl")) else word for word in WORDS]


def there(mebibytes: int, source: str = "--memory-limit") -> Limit:
    return Limit(mebibytes * MIB, source, mebibytes * MIB)


def test_a_roomy_machine_gets_the_preferred_blocks():
    made = plan(IMAGE, workers=2, there=there(1000), footprint=ROUND)
    assert (made.block, made.rows, made.workers) == (PREFERRED, 128, 2)
    assert made.need == (100 + 10 + 2 * 129) * MIB + 2 * 1000 + 1250
    assert made.line == (
        "memory plan: 368 MiB = 100 MiB interpreter and torch + 10 MiB image + 0 MiB grid + 258 MiB blocks; "
        "there are 800 MiB, 80 % of 1000 MiB (--memory-limit); 2 workers with blocks of 128 rows (131072 terms)"
    )


@pytest.mark.parametrize(
    ("limit", "rows", "workers"), [(221, 32, 2), (190, 19, 2), (146, 2, 2), (143, 1, 2), (142, 2, 1), (141, 1, 1)]
)
def test_less_memory_means_smaller_blocks_then_fewer_workers(limit, rows, workers):
    made = plan(IMAGE, workers=2, there=there(limit), footprint=ROUND)
    assert (made.rows, made.workers) == (rows, workers)
    assert made.need <= made.available == limit * MIB * 80 // 100


def test_what_does_not_fit_is_refused_with_the_numbers():
    with pytest.raises(DoesNotFit) as caught:
        plan(IMAGE, workers=2, there=there(139), footprint=ROUND)
    assert str(caught.value) == (
        "does not fit, nothing was started: memory plan: 112 MiB = 100 MiB interpreter and torch + 10 MiB image + "
        "0 MiB grid + 2 MiB blocks; there are 111 MiB, 80 % of 139 MiB (--memory-limit); "
        "1 worker with blocks of 1 row (1024 terms)"
    )


def test_what_each_size_adds():
    def need(**changes):
        return plan(Sizes(**vars(IMAGE) | changes), there=there(9000), footprint=ROUND).need

    least = need()
    assert need(itemsize=4) - least == -5 * MIB
    assert need(outputs=True) - least == 20 * MIB
    assert need(outputs=True, noise=True) - least == 20 * MIB + NUMBA
    assert need(compiled=True) - least == KERNEL - 129 * MIB  # the larger of the two
    assert need(masked=True) - least == 24 * MIB
    assert need(cells=MIB, reflections=MIB) - least == (30 + 128) * MIB
    assert need(rotations=1002, orientations=1001) - least == 1000 * (1000 + 1250)
    assert need(orientations=MIB) - least == 1250 * (2**16 - 1)
    assert need(tricubic=True) - least == 128 * MIB
    assert need(searched=True) == least
    two = partial(plan, workers=2, there=there(9000), footprint=ROUND)
    assert two(replace(IMAGE, searched=True)).need - two(IMAGE).need == 129 * MIB


def test_an_address_space_limit_leaves_room_for_libraries():
    assert plan(IMAGE, there=there(3048, "RLIMIT_AS"), footprint=ROUND).available == 800 * MIB
    with pytest.raises(DoesNotFit, match=r"there are 0 MiB, 80 % of 2000 MiB \(RLIMIT_AS\)"):
        plan(IMAGE, there=there(2000, "RLIMIT_AS"), footprint=ROUND)


def test_on_a_gpu_the_blocks_fill_the_device():
    made = plan(IMAGE, workers=2, there=there(2000), gpu=1500 * MIB, footprint=ROUND)
    assert (made.rows, made.workers) == (1200 - 600 - 10 - 1, 1)
    assert made.need == 110 * MIB + GPU_HOST + 2 * 1000 + 1250
    assert "on the device 590 MiB of 1500 MiB; 1 worker with blocks of 589 rows" in made.line
    assert plan(IMAGE, there=there(2000), gpu=90000 * MIB, footprint=ROUND).rows == 1024
    for memory, device in ((100, 1500), (2000, 700)):
        with pytest.raises(DoesNotFit, match="does not fit, nothing was started"):
            plan(IMAGE, there=there(memory), gpu=device * MIB, footprint=ROUND)


def test_no_device_has_no_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_free("cpu") is None and gpu_free("cuda:1") is None
    (tmp_path / "nvidia-smi").write_text('#!/bin/sh\n[ "$4" = 1 ] && echo 1234\n')
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert gpu_free("cuda:1") == 1234 * MIB
    assert gpu_free("cuda") is None


def test_sizes_of_the_canonical_command():
    lines = (INPUTS / "synthetic.hkl").read_text().splitlines()
    found = sizes(parse(CANONICAL))
    assert (found.pixels, found.rendered, found.row) == (2463 * 2527, 2463 * 2527, 2463)
    assert (found.rotations, found.orientations, found.reflections) == (12, 10, len(lines))
    assert not found.tricubic
    assert not found.searched
    interpolated, selected = (sizes(parse([*CANONICAL, *flags])) for flags in (["-interpolate"], ["-dmin", "2"]))
    assert (interpolated.tricubic, interpolated.searched) == (True, True)
    assert (selected.tricubic, selected.searched) == (False, True)
    box = [{int(line.split()[axis]) for line in lines} for axis in range(3)]
    h, k, l = (max(axis) - min(axis) + 2 for axis in box)  # noqa: E741
    assert found.cells == h * k * l
    window = sizes(parse([*CANONICAL, "-roi", "10", "19", "100", "199", "-hdivrange", "1", "-hdivsteps", "3"]))
    assert (window.rendered, window.row, window.rotations) == (1000, 10, 14)


def test_lists_sources_and_dumps_are_counted_by_the_ports_own_rule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = ["-cell", "70", "80", "90", "75", "85", "95", "-N", "5", "-detpixels", "10", "-default_F", "1"]
    (tmp_path / "list.hkl").write_text("# h k l F\n0 0 0 1\n1 1.0 1 2 0.5\n")
    with pytest.raises(InputError, match=r"list.hkl:1: expected h k l F"):
        sizes(parse([*base, "-hkl", "list.hkl"]))
    counted = sizes(parse([*base, "-hkl", "list.hkl", "--quirk", "Q10=off", "--quirk", "Q11=off"]))
    assert (counted.cells, counted.reflections) == (27, 2)
    (tmp_path / "sources").write_text("# two\n-10 0 0 1 1e-10\n-10 0 0.1 1 1e-10\n")
    for mode, number in (("spec", 2), ("c-parity", 3)):
        assert sizes(parse([*base, "-sourcefile", "sources", "--mode", mode])).rotations == 2 + number
    with (tmp_path / "dump").open("wb") as stream:
        stream.write(b"0 999 0 999 0 999\n\f")
        stream.truncate(10**10)
    assert sizes(parse([*base, "--fdump", "dump"])).cells == 1001**3


def test_torch_is_not_imported():
    code = "import json, sys; from nanobragg_torch.flags.parse import parse; from nanobragg_torch.scan.plan import *\n"
    code += "made = plan(sizes(parse(json.loads(sys.argv[1]))), memory_limit=1 << 40)\n"
    code += "print('torch' in sys.modules, made.block)"
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    argv = [sys.executable, "-c", code, json.dumps(CANONICAL)]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["False", str(53 * 2463)], done.stderr


def test_the_preferred_block_is_the_simulators():
    from nanobragg_torch.scan.simulate import BLOCK

    assert PREFERRED == BLOCK


SMALL = ["-cell", "70", "80", "90", "75", "85", "95", "-N", "5", "-lambda", "1", "-distance", "100", "-osc", "1"]
SMALL += ["-nonoise", "-oversample", "1", "-hkl", str(INPUTS / "p1.hkl"), "-phisteps", "4"]
QUIET = [word for name in ("-floatfile", "-intfile", "-pgmfile") for word in (name, os.devnull)]
MANY = ["-hdivrange", "9", "-hdivsteps", "9"]
FACTORS = ["-oversample_polar", "-oversample_omega", "-dmin", "2"]
FILES = {"threads": 2, "outputs": True}
RUNS = {
    "as it is": (["-nointerpolate", "-detpixels", "300"], {}),
    "float32": (["-nointerpolate", "-detpixels", "300"], {"dtype": "float32"}),
    "tricubic": (["-interpolate", "-detpixels", "120"], {}),
    "sources, masses of terms": (["-nointerpolate", "-detpixels", "100", *MANY], {}),
    "all factors": (["-nointerpolate", "-gauss_xtal", "-detpixels", "400", *FACTORS], {"threads": 2}),
    "tricubic, all factors": (["-interpolate", "-detpixels", "400", *FACTORS], {"threads": 2}),
    "with its files": (["-nointerpolate", "-detpixels", "600", *QUIET, "-noisefile", os.devnull], FILES),
}


@linux
@pytest.mark.parametrize("name", RUNS)
def test_a_real_run_stays_below_its_plan_and_is_no_third_of_it(name):
    flags, options = RUNS[name]
    flags, workers = [*SMALL, *flags], options.get("threads", 1)
    itemsize = 4 if options.get("dtype") == "float32" else 8
    wanted = sizes(parse(flags), itemsize=itemsize, outputs=options.get("outputs", False))
    made = plan(wanted, workers=workers, there=there(4096))
    options = options | {"threads": made.workers}
    peak = footprint.peak(footprint.Request(flags, made.block, **options), there(4096))
    assert made.workers == workers
    assert made.need / 3 < peak < made.need, made.line


IN_A_GROUP = """
import json, os, sys
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.errors import DoesNotFit
from tools.scaling.guard.child import run
from nanobragg_torch.scan.plan import plan, sizes
from tools.scaling.studies.footprint import Request, command
flags, outputs = json.loads(sys.argv[2])
try:
    made = plan(sizes(parse(flags), outputs=outputs), workers=2)
except DoesNotFit as error:
    print(f"error: {error}")
    sys.exit(4)
print(made.line)
outcome = run(command(Request(flags, made.block, made.workers, outputs=outputs)))
print(outcome.verdict.name, outcome.peak_bytes, made.need, made.block)
print(outcome.message)
"""


def in_a_group(mebibytes: int, flags: list[str], *, outputs: bool) -> subprocess.CompletedProcess[str]:
    with memory_group(mebibytes * MIB) as folder:
        env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        argv = [sys.executable, "-c", IN_A_GROUP, str(folder), json.dumps([flags, outputs])]
        return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True)


@pytest.mark.cgroup
@pytest.mark.parametrize("outputs", [False, True])
def test_a_small_group_is_refused_before_anything_starts(outputs, tmp_path):
    done = in_a_group(100, [*CANONICAL, "-floatfile", str(tmp_path / "float.bin")], outputs=outputs)
    assert done.returncode == 4, done.stderr
    assert re.match(
        r"error: does not fit, nothing was started: memory plan: \d+ MiB = .* image .*; there are \d\d MiB, "
        r"80 % of \d\d MiB \(cgroup v\d \S+: 100 MiB less \d+ MiB that others use\)",
        done.stdout,
    ), done.stdout
    assert done.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.cgroup
@pytest.mark.slow
def test_the_whole_command_line_fits_into_a_group_of_400_mib(tmp_path):
    """Simulation, statistics and files; the window of the golden case comes out to the last bit.

    But for its first pixel: there the reference, which rendered the window alone, had its first evaluation (Q29).
    A CUDA build of torch gets the room that it takes for itself.
    """
    more = (footprint_here().base - FOOTPRINT.base) // MIB
    names = {"-floatfile": 4, "-intfile": 2, "-pgmfile": 1}
    files = [word for flag in names for word in (flag, str(tmp_path / flag))]
    done = in_a_group(400 + more * 5 // 4, [*CANONICAL, "-nonoise", *files], outputs=True)
    line, told, _ = done.stdout.splitlines()
    verdict, peak, need, block = told.split()
    assert verdict == "OK", done.stdout + done.stderr
    assert int(need) / 2 < int(peak) < int(need) < (320 + more) * MIB, line
    assert 2463 <= int(block) < PREFERRED
    image = np.fromfile(tmp_path / "-floatfile", "<f4").reshape(2527, 2463)
    golden = (ROOT / "tests/golden/supervisor_synthetic/float.bin").read_bytes()
    assert image[1160:1260, 1180:1280].tobytes()[4:] == golden[4:]
    for flag, size in names.items():
        assert 0 <= (tmp_path / flag).stat().st_size - size * image.size <= 1024
    assert len(list(tmp_path.iterdir())) == 3


def test_a_cuda_build_of_torch_is_seen_without_importing_it(tmp_path, monkeypatch):
    library = tmp_path / "torch" / "lib" / "libtorch_cuda.so"
    library.parent.mkdir(parents=True)
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('imported')")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert footprint_here() == FOOTPRINT
    library.touch()
    assert footprint_here().base == FOOTPRINT.base + CUDA_BUILD
