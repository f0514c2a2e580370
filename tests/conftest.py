"""For all tests: children that can be interrupted; for the mapped tests, which lie beside this file: their devices.

A suite in the background of a shell inherits an ignored SIGINT, under nohup an ignored SIGHUP, and so would every
child of a test. A handler of our own becomes the default action in a child. Nothing else is touched: the worker, which
runs the mapped tests in its own process, is to die of a SIGINT.
"""

import os
import signal
from pathlib import Path

import pytest

HERE = Path(__file__).parent

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
