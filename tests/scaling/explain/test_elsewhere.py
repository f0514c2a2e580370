"""explain on a device that is not the CPU: what it says is the same, and nothing of it stays behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import json
from dataclasses import replace
import torch
from elsewhere import elsewhere
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.products.trace import render, trace_pixel
from tools.scaling.cases.case import find_case
from tools.scaling.explain.answer import explain
from tools.scaling.traces.read import parse_trace

case = find_case("supervisor")
config = parse(case.flags, folders=case.folders)
reference = parse_trace(case.c_trace.read_bytes(), "c.log")
legacy = replace(config.quirks, as_given=frozenset({"odet"}))

def text(config, dtype=torch.float64):
    return render(trace_pixel(config, 685, 1039, device="cpu", dtype=dtype))

logs = {"legacy": text(replace(config, quirks=legacy))}
found = {}
for name, log in logs.items():
    port = parse_trace(log.encode(), "py.log")
    here = explain(reference, port, config)
    with elsewhere() as device:
        there = explain(reference, port, config, device=str(device))
    found[name] = [here.sentence, there.sentence]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def sentences():
    from torch.utils import backend_registration

    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch cannot register a device in Python")
    paths = ":".join(str(ROOT / folder) for folder in ("src", ".", "tests/port"))
    done = subprocess.run([sys.executable, "-c", SCRIPT], env={"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_sentences_are_the_same(sentences):
    assert [name for name, (here, there) in sentences.items() if here != there] == []
    assert "(Q03)" in sentences["legacy"][1]
