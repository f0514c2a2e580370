"""A device that is not the CPU, for machines that have no other: its tensors hold their numbers on the CPU and say
that they are elsewhere.

As on a GPU, an operation whose tensors lie on two devices is refused (a CPU tensor of no dimension may take part),
and so is NumPy's view of a tensor. So what forgets a device is found. What it cannot show: a GPU's own kernels,
their rounding, their speed.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from golden_cases import CASES, Case, load
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from nanobragg_torch.products.trace import TraceLine, trace_pixel
from nanobragg_torch.scan.simulate import simulate

_setup_privateuseone_for_python_backend("elsewhere")  # for good: a process of its own, please
DEVICE = torch.device("elsewhere", 0)


class Elsewhere(torch.Tensor):
    """A tensor of DEVICE."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Elsewhere":
        held = held.resolve_conj().resolve_neg()  # a wrapper has no bit that says "conjugated", or "negated"
        found = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=DEVICE
        )
        found.held = held
        return found

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _mapped(x: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """What an operation takes or gives, with every tensor changed. torch's own tree_map takes ten times as long."""
    if isinstance(x, torch.Tensor):
        return change(x)
    if type(x) in (tuple, list):
        return type(x)([_mapped(each, change) for each in x])
    return x


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func.overloadpacket.__name__
    ours: list[torch.Tensor] = []
    strays: list[torch.Tensor] = []

    def held(tensor: torch.Tensor) -> torch.Tensor:
        if isinstance(tensor, Elsewhere):
            ours.append(tensor)
            return tensor.held
        if tensor.dim() > 0:
            strays.append(tensor)
        return tensor

    plain = _mapped(args, held)
    options = {key: _mapped(value, held) for key, value in kwargs.items()}
    if ours and strays and name not in ("copy_", "_to_copy"):
        raise RuntimeError(f"{name}: expected all tensors on the same device, got {DEVICE} and cpu")
    target = kwargs.get("device")
    here = bool(ours) if target is None else torch.device(target).type == DEVICE.type
    if target is not None:
        options["device"] = torch.device("cpu")
    result = func(*plain, **options)
    if not here or name == "_local_scalar_dense":
        return result
    if name.endswith("_") and not name.endswith("__"):
        return args[0]
    if "out" in kwargs:
        return kwargs["out"]
    return _mapped(result, Elsewhere)


class _Factories(TorchDispatchMode):
    """Makes what is asked for on DEVICE, such as torch.zeros(3, device="elsewhere")."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here: torch need not load its compiler and step around it at every operation."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """DEVICE as if there were one, within the block."""
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=DEVICE) is a copy that the mode sees
    try:
        # a mode is of one thread alone, and so a gradient is taken in this one
        with _Factories(), torch.autograd.set_multithreading_enabled(False):
            yield DEVICE
    finally:
        torch._C._set_only_lift_cpu_tensors(False)


def main() -> None:
    """Of each case named: float32 pixels in which its image differs from the reference's, in which its image in spec
    mode differs from the CPU's, and the largest distance of its trace from the CPU's. JSON on stdout."""
    print(json.dumps({name: _measured(load(name)) for name in sys.argv[1:] or CASES}))


def _measured(case: Case) -> tuple[int, int, float]:
    config, spec, (slow, fast) = case.config(), case.config("--mode", "spec"), case.pixels[0]
    with elsewhere() as device, torch.no_grad():
        image, right = (simulate(each, device=device, dtype=torch.float64) for each in (config, spec))
        lines = trace_pixel(config, slow, fast, device=device, dtype=torch.float64)
    assert image.device == right.device == device
    here = trace_pixel(config, slow, fast, device="cpu", dtype=torch.float64)
    assert [line.name for line in lines] == [line.name for line in here]
    roi = config.detector.rendered
    window = image.cpu().float()[roi.slow_min : roi.slow_max + 1, roi.fast_min : roi.fast_max + 1].flatten()
    wrong = int((window != torch.from_numpy(case.image())).sum())
    other = simulate(spec, device="cpu", dtype=torch.float64)
    return wrong, int((right.cpu().float() != other.float()).sum()), max(map(_distance, lines, here))


def _distance(one: TraceLine, other: TraceLine) -> float:
    """Of their numbers, relative to the largest."""
    numbers = [(a, b) for a, b in zip(one.values, other.values) if not isinstance(a, str)]
    largest = max((abs(b) for _, b in numbers), default=0.0) or 1.0
    return max((abs(a - b) / largest for a, b in numbers), default=0.0)


if __name__ == "__main__":
    main()
