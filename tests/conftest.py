"""For all tests: children that can be interrupted, and a compiled kernel; for the mapped tests, which lie beside this
file: their devices.

A suite in the background of a shell inherits an ignored SIGINT, under nohup an ignored SIGHUP, and so would every
child of a test. A handler of our own becomes the default action in a child. Nothing else is touched: the worker, which
runs the mapped tests in its own process, is to die of a SIGINT.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
COMPILING = pytest.StashKey[subprocess.Popen[bytes]]()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`device` of the mapped tests: NB_TEST_DEVICE, which `python -m tools.scaling pytest` sets; without it, both.

    Asked at every collection and not at import: the worker, one process, collects the same modules several times.
    """
    if metafunc.definition.path.parent == HERE and "device" in metafunc.fixturenames:
        import torch

        no_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
        asked = os.environ.get("NB_TEST_DEVICE")
        both = ["cpu", pytest.param("cuda", marks=no_cuda)]
        metafunc.parametrize("device", [asked] if asked else both)


def pytest_configure(config: pytest.Config) -> None:
    """Processes side by side shall not compile the same kernel: one does it for all, while they collect."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        config.stash[COMPILING] = subprocess.Popen(
            [sys.executable, HERE / "port" / "compile_all.py"],
            env=os.environ | {"PYTHONPATH": str(HERE.parent / "src")},
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """No test starts before the kernel is there; if it cannot be compiled, the tests show that better."""
    node.config.stash[COMPILING].wait()


def pytest_unconfigure(config: pytest.Config) -> None:
    if COMPILING in config.stash:
        config.stash[COMPILING].kill()
