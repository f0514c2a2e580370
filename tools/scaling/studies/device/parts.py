"""What is measured on the device, part by part; each yields a row as soon as it has one. A process of its own."""

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nanobragg_torch.errors import NanoBraggError
from tools.scaling.base.errors import ScalingError
from tools.scaling.base.repo import MAPPED_TESTS
from tools.scaling.base.text import counted
from tools.scaling.studies.bench.canonical import canonical
from tools.scaling.studies.device import cost
from tools.scaling.studies.device.row import FAIL, MEASURED, PASS, Begun, EvidenceRow, written

if TYPE_CHECKING:
    from torch import Tensor

    from nanobragg_torch.config import Config
    from tools.scaling.cases.case import Case

QUICK = ("curved_detector", "tricubic_interpolation")
SMALL = "-default_F 10 -lambda 1.1 -N 3 -distance 100 -oversample 1 -flux 1e33 -beamsize 1 -detpixels 2 -pixel 15"
CELL = "-cell 50 60 70 80 95 105"
SHAPES = {"square": "-square_xtal", "round": "-round_xtal", "gauss": "-gauss_xtal -fudge 1e-3"}
LONGEST = 200  # characters of a message
TOLERANCE = 1e-9  # of gradients, device against CPU: of the largest


@dataclass(frozen=True)
class Place:
    """Where the parts are measured. quick: fewer cases, smaller images."""

    device: str
    quick: bool = False

    def cases(self) -> "list[Case]":
        from tools.scaling.matrix.run import matrix_cases

        return [case for case in matrix_cases() if not self.quick or case.name in QUICK]


def environment(place: Place) -> Iterator[EvidenceRow]:
    """The device and the machine, by name. Raises Unavailable without the device."""
    from tools.scaling.bundle.environment import environment_record
    from tools.scaling.engine.diff import open_device

    device = open_device(place.device)
    found = environment_record()
    gpus, at = found["gpus"], device.index or 0
    name = gpus[at] if device.type == "cuda" and at < len(gpus) else place.device
    driver = f", driver {found['gpu_driver']}" if found["gpu_driver"] else ""
    memory = cost.memory_of(device)
    size = f", {memory.total >> 20} MiB" if memory else ""
    told = f"{name}{size}{driver}; torch {found['torch']}; {found['cpu']}, {found['cpu_usable']} cores"
    yield EvidenceRow("environment", name, PASS, told, {"environment": found})


def tests(place: Place) -> Iterator[EvidenceRow]:
    """The mapped tests, file by file."""
    from tools.scaling.procedure.mapped import tests_on

    for name in MAPPED_TESTS[: 1 if place.quick else None]:
        passed = tests_on(place.device, [name])
        yield EvidenceRow("tests", name, PASS, f"{counted(passed, 'test')} passed", {"tests": passed})


def matrix(place: Place, dtype: str) -> Iterator[EvidenceRow]:
    """Every traced number and every pixel of the golden cases against the reference."""
    from tools.scaling.implementations.make import Computing
    from tools.scaling.matrix.run import run_case

    for case in place.cases():
        (found,) = run_case(case, computing=Computing(place.device, dtype))
        image, (worst, where) = found.image, found.worst
        figures = {
            "numbers": found.numbers,
            "worst of them": worst,
            "pixels": image.pixels if image else 0,
            "pixels that differ": image.unequal if image else None,
            "ulp": image.worst_ulp if image else None,
            "share of the brightest": image.worst_share if image else None,
            "seconds": found.seconds,
        }
        told = "; ".join(found.problems[:3]) or (f"worst: {where}" if where else "")
        yield EvidenceRow(f"matrix {dtype}", case.name, found.outcome.value, told, figures)


def images(place: Place) -> Iterator[EvidenceRow]:
    """Whole images of the device against those of the CPU beside it: the golden cases, the canonical detector."""
    for case in place.cases():
        yield _image(place, case.name, case.config())
    if not place.quick:
        yield _image(place, cost.CANONICAL, canonical())


def _image(place: Place, name: str, config: "Config") -> EvidenceRow:
    import torch

    from tools.scaling.engine.bitwise import compare_bits, worst_share
    from tools.scaling.matrix.edges import edge_finder
    from tools.scaling.matrix.judge import judge_image

    with torch.no_grad():
        expected, cpu_s = cost.simulated(config, "cpu", torch.float64)
        got, device_s = cost.simulated(config, place.device, torch.float64)
        single, _ = cost.simulated(config, place.device, torch.float32)
    bits = compare_bits(expected.float(), got.float())
    judged = judge_image(bits, edge_finder(config))
    figures = {
        "pixels": bits.pixels,
        "pixels that differ": bits.unequal,
        "ulp": bits.worst_ulp,
        "float64, share of the brightest": worst_share(expected, got),
        "float32, share of the brightest": worst_share(expected, single),
        "device s": device_s,
        "CPU s": cpu_s,
    }
    told = [f"{len(judged.ties)} of them at an edge, where rounding decides"] if judged.ties else []
    verdict = FAIL if judged.problems else PASS
    return EvidenceRow("images", name, verdict, "; ".join((*judged.problems[:3], *told)), figures)


def gradients(place: Place) -> Iterator[EvidenceRow]:
    """torch's gradcheck of a small image, and the gradients of the device against those of the CPU."""
    import torch

    from nanobragg_torch.flags.parse import parse

    for name, flags in list(SHAPES.items())[: 1 if place.quick else None]:
        config = parse(f"{CELL} {SMALL} {flags} -polar 0.5 -detector_rotx 3".split())
        sides = {}
        for device in ("cpu", place.device):
            inputs = [torch.tensor(x, dtype=torch.float64, device=device).requires_grad_() for x in _VALUES]
            with torch.no_grad():
                scale = _small(config, device, inputs).max()
            image = partial(_scaled, config, device, scale)
            sides[device] = torch.autograd.grad(image(*inputs).sum(), inputs)
        told, verdict = "", PASS
        try:
            torch.autograd.gradcheck(image, tuple(inputs), rtol=1e-4, atol=1e-4, fast_mode=place.quick)
        except RuntimeError as error:  # gradcheck's GradcheckError, which says what differs
            told, verdict = " ".join(str(error).split())[:200], FAIL
        cpu, there = (torch.cat([x.reshape(-1).cpu() for x in side]) for side in (sides["cpu"], sides[place.device]))
        distance = float((cpu - there).abs().max() / cpu.abs().max())
        if distance > TOLERANCE:
            verdict, told = FAIL, told or f"expected the CPU's gradients within {TOLERANCE:g} of the largest"
        figures = {"parameters": cpu.numel(), "distance from the CPU": distance}
        yield EvidenceRow("gradients", f"{name}: misset, cell, wavelength, distance", verdict, told, figures)


_VALUES = ((0.05, 0.0, -0.03), 60.0, 1.65, 1.1, 100.0)


def _scaled(config: "Config", device: str, scale: "Tensor", *inputs: "Tensor") -> "Tensor":
    return _small(config, device, inputs) / scale


def _small(config: "Config", device: str, inputs: Any) -> "Tensor":
    import torch

    from nanobragg_torch.scan.simulate import simulate

    misset, b, beta, wave, far = inputs
    cell = config.crystal.cell
    assert cell is not None
    made = replace(
        config,
        crystal=replace(config.crystal, cell=replace(cell, b_angstrom=b, beta_rad=beta), misset_rad=misset),
        beam=replace(config.beam, wavelength_m=wave * 1e-10),
        detector=replace(config.detector, distance_m=far / 1000),
    )
    return simulate(made, device=device, dtype=torch.float64)


def memory(place: Place) -> Iterator[EvidenceRow]:
    """What the memory plan foresees, against the peak: of the device by its own count, of the host by the kernel's."""
    for dtype in ("float64", "float32"):
        for name, config in cost.loads(place.quick).items():
            planned, told, figures = cost.peaks(config, place.device, dtype)
            verdict = MEASURED if planned is None else PASS if planned else FAIL
            yield EvidenceRow("memory", f"{name}, {dtype}", verdict, told, figures)


def bench(place: Place) -> Iterator[EvidenceRow]:
    """Seconds of each feature on the device, and of all cores of the CPU beside it; neither reading nor writing."""
    for name, config in cost.benches(place.quick).items():
        yield EvidenceRow("bench", name, MEASURED, "", cost.speeds(config, place.device))


Part = Callable[[Place], Iterator[EvidenceRow]]
# In this order, memory before others leave theirs in the process; how long each may take, in seconds.
PARTS: dict[str, tuple[Part, float]] = {
    "environment": (environment, 60.0),
    "memory": (memory, 60.0),
    "tests": (tests, 60.0),
    "images": (images, 100.0),
    "matrix float64": (partial(matrix, dtype="float64"), 90.0),
    "bench": (bench, 90.0),
    "gradients": (gradients, 45.0),
    "matrix float32": (partial(matrix, dtype="float32"), 90.0),
}


def serve(place: Place, names: Sequence[str]) -> None:
    """Measure the parts of these names, a line on standard output for each row; all else that is said goes to stderr.

    A part that breaks off ends the process, as an error of a GPU spoils what follows it; a refusal does not.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)

    def tell(message: EvidenceRow | Begun) -> None:
        answers.write(written(message))
        answers.flush()

    for name in names:
        tell(Begun(name))
        try:
            for row in PARTS[name][0](place):
                tell(row)
        except Exception as error:
            if name == "environment":
                raise
            refused = isinstance(error, ScalingError | NanoBraggError)
            first = (str(error).strip().splitlines() or ["no message"])[0][:LONGEST]
            tell(EvidenceRow(name, name, FAIL, first if refused else f"broke off: {type(error).__name__}: {first}"))
            if not refused:
                traceback.print_exc()
                return
