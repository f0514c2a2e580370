"""What makes numbers differ from one machine to the next: env.json, and what differs between two of them."""

import importlib.metadata
import locale
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanobragg_torch.scan.cores import available_cores
from tools.scaling.base.discretion import discreet, without_words
from tools.scaling.base.repo import EXPORTS, digest, relative

BINARY_VARIABLE = "NB_C_BIN"
_PACKAGES = ("nanobragg-torch", "typer", "psutil", "threadpoolctl", "pytest", "nox")
# By their whole names: what else is called OMP_ or NB_ may be a secret.
_VARIABLES = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES", "DNNL_MAX_CPU_ISA", "GOMP_CPU_AFFINITY",
    "GOMP_SPINCOUNT", "GOMP_STACKSIZE", "KMP_AFFINITY", "KMP_BLOCKTIME", "KMP_DUPLICATE_LIB_OK", "KMP_HW_SUBSET",
    "KMP_INIT_AT_FORK", "LANG", "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE", "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS", "MKL_INTERFACE_LAYER", "MKL_NUM_THREADS", "MKL_THREADING_LAYER", "NB_C_BIN",
    "NB_TEST_DEVICE", "NVIDIA_TF32_OVERRIDE", "OMP_DYNAMIC", "OMP_MAX_ACTIVE_LEVELS", "OMP_NESTED", "OMP_NUM_THREADS",
    "OMP_PLACES", "OMP_PROC_BIND", "OMP_SCHEDULE", "OMP_STACKSIZE", "OMP_THREAD_LIMIT", "OMP_WAIT_POLICY",
    "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)  # fmt: skip
# The same versions and the same CPU capability: where all of these agree, numbers must agree bit for bit.
SAME_NUMBERS = (
    "python", "machine", "byte_order", "numpy", "torch", "torch_git_version", "torch_cpu_capability", "cuda", "cudnn",
    "gpus", "blas",
)  # fmt: skip
# What differs from run to run without telling anything.
_INCIDENTAL = ("command", "cwd")


def environment_record() -> dict[str, Any]:
    """Return everything of this process and machine that numbers depend on, discreet (discretion.py)."""
    import numpy
    import torch

    pools = _thread_pools()
    openmp = sorted({pool["library"] for pool in pools if pool["kind"] == "openmp"})
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "python_build": " ".join((*platform.python_build(), platform.python_compiler())),
        "os": _os_name(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        "cpu_usable": available_cores(),
        "torch": torch.__version__,
        "torch_git_version": torch.version.git_version,
        "torch_cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch_config": [line.strip() for line in torch.__config__.show().splitlines()],
        "torch_threads": torch.get_num_threads(),
        "torch_interop_threads": torch.get_num_interop_threads(),
        "numpy": numpy.__version__,
        "blas": _blas(pools, torch),
        "thread_pools": pools,
        "openmp_runtimes": openmp,
        "openmp_duplicated": len(openmp) > 1 if pools else None,
        "packages": {name: _version(name) for name in _PACKAGES},
        **_cuda(torch),
        "deterministic": _deterministic(torch),
        "reference_binary": _reference_binary(),
        "exports": EXPORTS,
        "variables": {name: discreet(os.environ[name]) for name in _VARIABLES if name in os.environ},
        "locale": {"LC_CTYPE": locale.setlocale(locale.LC_CTYPE), "LC_NUMERIC": locale.setlocale(locale.LC_NUMERIC)},
        "encoding": sys.getfilesystemencoding(),
        "byte_order": sys.byteorder,
        "cwd": discreet(relative(Path.cwd())),
        "command": _full_command(),
    }


def _thread_pools() -> list[dict[str, Any]]:
    """Return the BLAS and OpenMP libraries that are loaded, by name, in whichever order that was.

    Two OpenMP runtimes in one process may fight for threads; KMP_DUPLICATE_LIB_OK only hides the warning of it.
    """
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    described = [
        {
            "kind": pool["user_api"],
            "library": discreet(pool["filepath"]),
            "name": pool["internal_api"],
            "version": pool.get("version"),
            "threads": pool["num_threads"],
            "architecture": pool.get("architecture"),
            "threading_layer": pool.get("threading_layer"),
        }
        for pool in threadpool_info()
    ]
    return sorted(described, key=lambda pool: (pool["kind"], pool["library"]))


def _blas(pools: list[dict[str, Any]], torch: Any) -> list[str]:
    """Return name, version and architecture of each BLAS; torch's own is linked in and known by its build."""
    libraries = [f"{p['name']} {p['version']} {p['architecture']}" for p in pools if p["kind"] == "blas"]
    lines = (line.strip(" -") for line in torch.__config__.show().splitlines())
    return sorted(libraries) + [
        f"torch: {line}" for line in lines if "Math Kernel Library" in line or "MKL-DNN" in line
    ]


def _cuda(torch: Any) -> dict[str, Any]:
    there = torch.cuda.is_available()
    devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if there else []
    return {
        "cuda": torch.version.cuda,
        "cuda_available": there,
        "cudnn": torch.backends.cudnn.version() if there else None,
        "gpus": [f"{gpu.name} (capability {gpu.major}.{gpu.minor})" for gpu in devices],
        "gpu_driver": _first_line(Path("/sys/module/nvidia/version")) if there else None,
    }


def _deterministic(torch: Any) -> dict[str, Any]:
    return {
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "flush_denormal": _flushes_denormals(torch),
    }


def _flushes_denormals(torch: Any) -> bool:
    return bool((torch.tensor([2.0**-1074], dtype=torch.float64) * 1.0 == 0.0).item())


def _reference_binary() -> dict[str, str] | None:
    """Return the user's compiled nanoBragg, where NB_C_BIN names one."""
    named = os.environ.get(BINARY_VARIABLE, "")
    path = Path(named).expanduser()
    return {"path": discreet(relative(path)), "sha256": digest(path)} if named and path.is_file() else None


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return f"{platform.system()} {platform.release()}"


def cpu_model() -> str:
    """Return the model's name where Linux tells it, else what the platform calls the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip().splitlines()[0]
    except (OSError, IndexError):
        return None


def _full_command() -> str:
    """Return the command that the user gave: that of the outermost process above this one which runs this tool."""
    import psutil  # type: ignore[import-untyped]

    commands = [sys.orig_argv]
    with suppress(psutil.Error):
        commands += [process.cmdline() for process in psutil.Process().parents()]
    tools = [argv for argv in commands if "tools.scaling" in argv and "python" in Path(argv[0]).name.lower()]
    words = (tools or [sys.orig_argv])[-1]  # without what ran it: timeout, nice, the shell
    return shlex.join(["python", *map(discreet, without_words(words[1:]))])


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class EnvironmentChange:
    """One entry of env.json that was `then` and is `now`; None where it was not recorded."""

    name: str
    then: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name}: was {self.then}, is {self.now}"


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[EnvironmentChange]:
    """Return what differs between two env.json, entry by entry; how they were called is left out."""
    old, new = (dict(flattened(side)) for side in (then, now))
    names = [*old, *(name for name in new if name not in old)]
    wanted = [name for name in names if name.split(".")[0] not in _INCIDENTAL]
    return [EnvironmentChange(n, old.get(n), new.get(n)) for n in wanted if old.get(n) != new.get(n)]


def same_numbers(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether the same versions run on the same CPU capability, so that numbers must agree bit for bit."""
    return all(then.get(name) == now.get(name) for name in SAME_NUMBERS)


def flattened(value: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the entries of nested JSON as (dotted name, value)."""
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from flattened(item, f"{prefix}{name}.")
        elif isinstance(item, list) and item and isinstance(item[0], Mapping):
            yield from flattened(dict(enumerate(item)), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item
