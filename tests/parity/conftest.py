"""Golden traces, and copies of them with lines exchanged."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.scaling.parity.traces import Trace, parse_trace

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SUPERVISOR = GOLDEN / "supervisor_one_reflection" / "trace_685_1039.log"


@pytest.fixture(scope="session")
def golden_logs() -> list[Path]:
    return sorted(GOLDEN.glob("*/trace_*.log"))


@pytest.fixture(scope="session")
def supervisor_bytes() -> bytes:
    return SUPERVISOR.read_bytes()


@pytest.fixture(scope="session")
def supervisor(supervisor_bytes: bytes) -> Trace:
    return parse_trace(supervisor_bytes, "c.log")


@pytest.fixture
def port(supervisor_bytes: bytes) -> Callable[..., Trace]:
    """The supervisor trace as the port would print it, with the values of the given names exchanged.

    `port(polar="0.9")`; a value of None drops the line. Names of PHI rows: `k_frac_0="..."`.
    """

    def make(**values: str | None) -> Trace:
        text = supervisor_bytes.decode("ascii")
        for name, value in values.items():
            phi = re.fullmatch(r"(k_frac|F_latt_b|F_latt)_(\d+)", name)
            if phi:
                pattern = rf"(?m)^(TRACE_C_PHI phi_tic={phi[2]} .*\b{phi[1]}=)(\S+)(.*)$"
            else:
                pattern = rf"(?m)^(TRACE_C(?::|: )(?:{name})(?:=| ))()(.*)$"
            assert len(re.findall(pattern, text)) >= 1, name
            swap = "" if value is None else rf"\g<1>{value}" + (r"\g<3>" if phi else "")
            text = re.sub(pattern, swap, text)
        return parse_trace(text.replace("TRACE_C:", "TRACE_PY:").replace("TRACE_C_", "TRACE_PY_").encode(), "py.log")

    return make


@pytest.fixture
def legacy(port: Callable[..., Trace]) -> Trace:
    """As the old port's trace: the four vectors as given, with the known figure (design, section 6)."""
    return port(
        initial_fdet="0.999982 -0.005998 -0.000118",
        initial_sdet="-0.005998 -0.99997 -0.004913",
        initial_odet="-8.8e-05 0.004914 -0.999988",
        I_before_scaling="941686.2359774",
        I_pixel_final="2.8753845021596e-07",
    )


@pytest.fixture
def spec(port: Callable[..., Trace]) -> Trace:
    """As with phi = 0 rotated afresh: k of phi_tic 0 no longer repeats that of phi_tic 9."""
    return port(
        rot_b_angstroms="-11.4986968432508 0.717626863764598 -29.1131913602417",
        k_frac_0="-0.589167434",
        F_latt_b_0="-0.861431276",
        F_latt_0="1.43",
        I_before_scaling="807189.7686762",
        I_pixel_final="2.46470432e-07",
    )
