"""Results as JUnit XML, for CI: a missing quantity is a failure, a skip has its reason."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tools.scaling.base.files import one_line
from tools.scaling.bundle.verify import ChainVerdict, Standing, Verdict
from tools.scaling.images.report import ImageReport
from tools.scaling.matrix.judge import CaseResult, Matrix
from tools.scaling.matrix.judge import Outcome as Found
from tools.scaling.traces.report import FactorRow, Orphan, QuantityRow, Report, Status


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Case:
    """One test case. message: why it failed or was skipped."""

    name: str
    outcome: Outcome = Outcome.PASSED
    message: str = ""


def junit(name: str, suites: Mapping[str, Sequence[Case]]) -> str:
    """A document of `suites`, ASCII, without times: the same results give the same bytes."""
    root = ElementTree.Element("testsuites", _counts(name, [case for cases in suites.values() for case in cases]))
    for title, cases in suites.items():
        suite = ElementTree.SubElement(root, "testsuite", _counts(title, cases))
        for case in cases:
            attributes = {"classname": one_line(title), "name": one_line(case.name)}
            element = ElementTree.SubElement(suite, "testcase", attributes)
            if case.outcome is not Outcome.PASSED:
                ElementTree.SubElement(element, case.outcome.value, message=one_line(case.message))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="us-ascii", xml_declaration=True).decode("ascii") + "\n"


def _counts(name: str, cases: Sequence[Case]) -> dict[str, str]:
    count = {outcome: sum(case.outcome is outcome for case in cases) for outcome in Outcome}
    failures, skipped = count[Outcome.FAILED], count[Outcome.SKIPPED]
    return {
        "name": one_line(name),
        "tests": str(len(cases)),
        "failures": str(failures),
        "errors": "0",
        "skipped": str(skipped),
    }


def comparison_junit(report: Report) -> str:
    """A suite of the nine factors, and one of the traced quantities, each name a case."""
    rows: dict[str, list[QuantityRow]] = {}
    for row in report.quantities:
        rows.setdefault(row.name, []).append(row)
    cases = {name: _quantity(name, found) for name, found in rows.items()}
    cases |= {orphan.name: _orphan(orphan, cases.get(orphan.name)) for orphan in report.orphans}
    for line in report.lost:
        name, _, reason = line.partition(": ")
        cases[name] = Case(name, Outcome.FAILED, f"lost: {reason}")
    none = [Case(row.name, Outcome.SKIPPED, "no factor traced") for row in report.factors if report.no_factor]
    factors = none or [_factor(row) for row in report.factors]
    return junit("compare", {"factors": factors, "quantities": [*cases.values()]})


def _factor(row: FactorRow) -> Case:
    if row.status is Status.PASS:
        return Case(row.name)
    if row.status is Status.MISSING:
        return Case(row.name, Outcome.FAILED, f"missing: reference {row.c_value}, port {row.py_value}")
    what = f"{row.status}: reference {row.c_value!r}, port {row.py_value!r}, relative delta {row.rel_delta!r}"
    return Case(row.name, Outcome.FAILED, what)


def _quantity(name: str, rows: Sequence[QuantityRow]) -> Case:
    """Fails with its first number that does not pass."""
    bad = next((row for row in rows if row.status is not Status.PASS), None)
    if bad is None:
        return Case(name)
    what = f"{bad.label} {bad.status}: reference {bad.c!r}, port {bad.py!r}, relative delta {bad.rel:.3e}"
    return Case(name, Outcome.FAILED, f"{what}, tolerance {bad.tolerance:.1e}")


def _orphan(orphan: Orphan, judged: Case | None) -> Case:
    """What the port prints beyond the reference cannot be judged; anything else unpaired is missing."""
    if judged is not None and judged.outcome is Outcome.FAILED:
        return judged
    if orphan.c_count == 0:
        return Case(orphan.name, Outcome.SKIPPED, orphan.note or "the reference's trace does not have it")
    counts = f"the reference has it {orphan.c_count} times, the port {orphan.py_count} times"
    return Case(orphan.name, Outcome.FAILED, f"missing: {counts}" + (f"; {orphan.note}" if orphan.note else ""))


def images_junit(report: ImageReport) -> str:
    """A case for each figure that the gate asks for; one that does not exist fails."""
    return junit("images", {"images": [_judged(name, lines) for name, lines in report.checks.items()]})


def matrix_junit(matrix: Matrix) -> str:
    """A suite for each case: its traces, its float image, its other images; what is only measured is skipped."""
    suites: dict[str, list[Case]] = {}
    for case in matrix.cases:
        again = sum(name.partition(" #")[0] == case.name for name in suites)
        suites[f"{case.name} #{again + 1}" if again else case.name] = _comparisons(case, matrix.dtype)
    return junit("matrix", suites)


def _comparisons(case: CaseResult, dtype: str) -> list[Case]:
    found = [_judged("comparison", case.own_problems)]
    found += [_judged(f"trace {slow} {fast}", trace.problems) for trace in case.traces for slow, fast in [trace.pixel]]
    found.append(_judged("float image", case.image.problems if case.image else ["missing: it could not be compared"]))
    if dtype != "float64":  # no claim is made
        reason = f"measured, not judged: {dtype}"
        found = [one if one.outcome is Outcome.FAILED else Case(one.name, Outcome.SKIPPED, reason) for one in found]
    outcomes = {Found.PASS: Outcome.PASSED, Found.FAIL: Outcome.FAILED}
    return found + [Case(file.name, outcomes.get(file.outcome, Outcome.SKIPPED), file.note) for file in case.files]


def refused_junit(name: str, reason: str) -> str:
    """Nothing was compared."""
    return junit(name, {name: [Case("comparison", Outcome.FAILED, reason)]})


def _judged(name: str, problems: Sequence[str]) -> Case:
    return Case(name, Outcome.FAILED, "; ".join(problems)) if problems else Case(name)


def verdict_junit(verdict: Verdict) -> str:
    """One bundle: a case for it, which fails with every problem."""
    return junit("verify", {"bundles": [_bundle(verdict)]})


def chain_junit(chain: ChainVerdict) -> str:
    """A chain: a case for each bundle, those that are gone among them."""
    lost = [Case(problem.name, Outcome.FAILED, problem.detail) for problem in chain.lost]
    return junit("verify", {"bundles": [*lost, *map(_bundle, chain.verdicts)]})


def _bundle(verdict: Verdict) -> Case:
    if not verdict.ok:
        return Case(verdict.bundle, Outcome.FAILED, "; ".join(map(str, verdict.problems)))
    if verdict.standing is Standing.OPEN:
        return Case(verdict.bundle, Outcome.SKIPPED, "open: not sealed yet")
    return Case(verdict.bundle)
