"""Traps for a comparison of traces: copies of one golden trace, each with one thing changed."""

import re
from collections.abc import Callable

from tools.scaling.base.repo import ROOT
from tools.scaling.studies.traps.record import Trap, TrapVerdict

GOLDEN = ROOT / "tests" / "golden" / "supervisor_one_reflection" / "trace_685_1039.log"

Edit = Callable[[str], str]


def _set(name: str, text: str) -> Edit:
    """Return an edit that gives the line of `name` the value `text`."""

    def edit(trace: str) -> str:
        edited, count = re.subn(rf"(?m)^(TRACE_C: ?{name}[ =]).*$", lambda match: match[1] + text, trace)
        assert count, name
        return edited

    return edit


def _drop(pattern: str) -> Edit:
    return _swap(rf"(?m)^{pattern}.*\n", "")


def _swap(pattern: str, text: str) -> Edit:
    def edit(trace: str) -> str:
        edited, count = re.subn(pattern, text, trace)
        assert count, pattern
        return edited

    return edit


def _as_it_is(trace: str) -> str:
    return trace


_POLAR, _FLUENCE = "0.91463969894451", "1e+24"

# What no comparison may object to: name -> (edit of the reference, edit of the candidate).
_HARMLESS: dict[str, tuple[Edit, Edit]] = {
    "identical": (_as_it_is, _as_it_is),
    "the candidate's own prefix": (
        _as_it_is,
        lambda t: t.replace("TRACE_C:", "TRACE_PY:").replace("TRACE_C_", "TRACE_PY_"),
    ),
    "CR LF line ends": (_as_it_is, lambda t: t.replace("\n", "\r\n")),
    "comments between the lines": (_as_it_is, lambda t: t.replace("\n", "\n# a comment\n")),
    "blank lines": (_as_it_is, lambda t: t.replace("\n", "\n\n")),
    "another program's output around it": (_as_it_is, lambda t: "loading A.mat\n" + t + "wrote float.bin\n"),
    "a comment that is not ASCII": (_as_it_is, lambda t: "# 1.5 \u00c5\n" + t),
    "-0 instead of 0": (_as_it_is, _swap(r"(incident_vec \S+) -0 ", r"\1 0 ")),
    "the 15th digit differs by one": (_as_it_is, _set("polar", "0.914639698944511")),
    "another spelling of 1e+24": (_as_it_is, _set("fluence_photons_per_m2", "1000000000000000000000000")),
    "upper-case exponent": (_as_it_is, _set("fluence_photons_per_m2", "1E+24")),
    "trailing zeros": (_as_it_is, _set("polar", _POLAR + "000")),
    "tabs for blanks": (_as_it_is, _swap(r"(?m)^(TRACE_C: pixel_pos_meters) (\S+) ", r"\1\t\2\t")),
}

# What no comparison may pass.
_WRONG: dict[str, tuple[Edit, Edit]] = {
    "a name is missing in the candidate": (_as_it_is, _drop("TRACE_C: F_cell ")),
    "a factor is missing in the candidate": (_as_it_is, _drop("TRACE_C: polar ")),
    "a name is missing in the reference": (_drop("TRACE_C: F_cell "), _as_it_is),
    "an extra name in the candidate": (_as_it_is, _swap(r"(TRACE_C: steps 10\n)", r"\1TRACE_C: F_extra 1\n")),
    "a name is renamed on one side": (_as_it_is, _swap("TRACE_C: omega_pixel ", "TRACE_C: omega ")),
    "a name differs in case": (_as_it_is, _swap("TRACE_C: polar ", "TRACE_C: Polar ")),
    "a line comes twice": (_as_it_is, _swap(r"(TRACE_C: polar .*\n)", r"\1\1")),
    "two lines in the other order": (_as_it_is, _swap(r"(TRACE_C: polar .*\n)(TRACE_C: omega_pixel .*\n)", r"\2\1")),
    "the values of two names exchanged": (
        _as_it_is,
        _swap(r"(F_latt_b) (\S+)\n(TRACE_C: F_latt_c) (\S+)\n", r"\1 \4\n\3 \2\n"),
    ),
    "two components exchanged": (_as_it_is, _swap(r"(fdet_vec) (\S+) (\S+)", r"\1 \3 \2")),
    "a vector of two components": (_as_it_is, _swap(r"(fdet_vec \S+ \S+) \S+", r"\1")),
    "a vector of four components": (_as_it_is, _swap(r"(fdet_vec .*)", r"\1 0")),
    "a scalar instead of a vector": (_as_it_is, _swap(r"(fdet_vec \S+).*", r"\1")),
    "a phi row is missing": (_as_it_is, _drop("TRACE_C_PHI phi_tic=4 ")),
    "a phi row comes twice": (_as_it_is, _swap(r"(TRACE_C_PHI phi_tic=4 .*\n)", r"\1\1")),
    "the values of two phi rows exchanged": (
        _as_it_is,
        _swap(r"(phi_tic=4 phi_deg=0.04) (.*)\n(.*phi_tic=5 phi_deg=0.05) (.*)\n", r"\1 \4\n\3 \2\n"),
    ),
    "NaN in the candidate": (_as_it_is, _set("polar", "nan")),
    "NaN in the reference": (_set("polar", "nan"), _as_it_is),
    "NaN on both sides": (_set("polar", "nan"), _set("polar", "nan")),
    "-nan on both sides, upstream": (_set("F_latt_b", "-nan"), _set("F_latt_b", "-nan")),
    "infinity in the candidate": (_as_it_is, _set("polar", "inf")),
    "infinity on both sides": (_set("polar", "inf"), _set("polar", "inf")),
    "infinities of opposite sign": (_set("polar", "inf"), _set("polar", "-inf")),
    "a number beyond float64": (_as_it_is, _set("fluence_photons_per_m2", "1e+999")),
    "a sign flipped": (_as_it_is, _set("F_latt", "2.38319665299058")),
    "a factor scaled by 1.001": (_as_it_is, _set("I_pixel_final", "2.88427682227382e-07")),
    "a factor scaled by 1.00001": (_as_it_is, _set("I_before_scaling", "943664.24578564")),
    "9.768e-11 against 1.9536e-10": (_as_it_is, _set("lambda_meters", "1.9536e-10")),
    "1e-10 against 2e-10": (_set("lambda_meters", "1e-10"), _set("lambda_meters", "2e-10")),
    "7.94e-30 against 9e-30": (_as_it_is, _set("r_e_sqr", "9e-30")),
    "7.94e-30 against 0": (_as_it_is, _set("r_e_sqr", "0")),
    "4.2e-07 against 5.2e-07": (_as_it_is, _set("omega_pixel", "5.20412684465831e-07")),
    "0 against 1e-12": (_set("oversample_thick", "0"), _set("oversample_thick", "1e-12")),
    "1e+24 against 1.00001e+24": (_as_it_is, _set("fluence_photons_per_m2", "1.00001e+24")),
    "10 steps against 11": (_as_it_is, _set("steps", "11")),
    "a vector printed with six digits": (_as_it_is, _set("pix0_vector_meters", "-0.216476 0.216343 -0.230192")),
    "NOT_EXTRACTED in the candidate": (_as_it_is, _set("polar", "NOT_EXTRACTED")),
    "NOT_EXTRACTED on both sides": (_set("polar", "NOT_EXTRACTED"), _set("polar", "NOT_EXTRACTED")),
    "no value": (_as_it_is, _set("polar", "")),
    "a decimal comma": (_as_it_is, _set("polar", _POLAR.replace(".", ","))),
    "a unit behind the number": (_as_it_is, _set("lambda_meters", "9.768e-11 m")),
    "a hexadecimal number": (_as_it_is, _set("steps", "0xA")),
    "two numbers glued together": (_as_it_is, _set("polar", _POLAR + _POLAR)),
    "another text": (_as_it_is, _swap("detector_convention=CUSTOM", "detector_convention=MOSFLM")),
    "a line torn by another": (_as_it_is, _swap(r"(TRACE_C: polar 0.91)4.*\n", r"\1")),
    "truncated after half of the lines": (_as_it_is, lambda t: "\n".join(t.split("\n")[:40]) + "\n"),
    "truncated inside the last number": (_as_it_is, lambda t: t[:-6]),
    "another pixel": (_as_it_is, _swap("spixel=685", "spixel=686")),
    "two programs in one log": (_as_it_is, _swap("TRACE_C: polar", "TRACE_PY: polar")),
    "no trace line": (_as_it_is, lambda t: "nothing was traced\n"),
    "an empty file": (_as_it_is, lambda t: ""),
    "two empty files": (lambda t: "", lambda t: ""),
    "binary rubbish": (_as_it_is, lambda t: "\x00\x01\x02" * 500),
}  # fmt: skip


def trace_traps() -> list[Trap]:
    """Return all traps for traces, the harmless ones first."""
    golden = GOLDEN.read_text("ascii")
    return [
        Trap(name, right, reference(golden).encode(), candidate(golden).encode())
        for right, traps in ((TrapVerdict.PASS, _HARMLESS), (TrapVerdict.FAIL, _WRONG))
        for name, (reference, candidate) in traps.items()
    ]
