"""Results as JUnit XML, for CI: a missing quantity is a failure, a skip has its reason.

After an error, too, the file that --junit names is that of this run, with the reason in it.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tools.scaling.base.errors import ScalingError
from tools.scaling.base.files import one_line, write_text
from tools.scaling.bundle.verify import ChainVerdict, SealVerdict, Standing
from tools.scaling.images.report import ImageReport
from tools.scaling.matrix.judge import CaseResult, Matrix, MatrixOutcome
from tools.scaling.traces.report import FactorRow, NumberRow, Orphan, Report, Status


class JunitOutcome(StrEnum):
    """How a test case ended; its value is the XML element that says so."""

    PASSED = "passed"
    FAILED = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class JunitCase:
    """One test case of a JUnit report. message: why it failed or was skipped."""

    name: str
    outcome: JunitOutcome = JunitOutcome.PASSED
    message: str = ""


def junit(name: str, suites: Mapping[str, Sequence[JunitCase]]) -> str:
    """Return the XML document of `suites` (title -> test cases), ASCII, without times: same results, same bytes."""
    root = ElementTree.Element("testsuites", _counts(name, [case for cases in suites.values() for case in cases]))
    for title, cases in suites.items():
        suite = ElementTree.SubElement(root, "testsuite", _counts(title, cases))
        for case in cases:
            attributes = {"classname": one_line(title), "name": one_line(case.name)}
            element = ElementTree.SubElement(suite, "testcase", attributes)
            if case.outcome is not JunitOutcome.PASSED:
                ElementTree.SubElement(element, case.outcome.value, message=one_line(case.message))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="us-ascii", xml_declaration=True).decode("ascii") + "\n"


def _counts(name: str, cases: Sequence[JunitCase]) -> dict[str, str]:
    count = {outcome: sum(case.outcome is outcome for case in cases) for outcome in JunitOutcome}
    failures, skipped = count[JunitOutcome.FAILED], count[JunitOutcome.SKIPPED]
    return {
        "name": one_line(name),
        "tests": str(len(cases)),
        "failures": str(failures),
        "errors": "0",
        "skipped": str(skipped),
    }


def comparison_junit(report: Report) -> str:
    """Return a report with a suite of the nine factors and one of the traced quantities, a test case a name."""
    rows: dict[str, list[NumberRow]] = {}
    for row in report.quantities:
        rows.setdefault(row.name, []).append(row)
    cases = {name: _quantity(name, same) for name, same in rows.items()}
    cases |= {orphan.name: _orphan(orphan, cases.get(orphan.name)) for orphan in report.orphans}
    for line in report.lost:
        name, _, reason = line.partition(": ")
        cases[name] = JunitCase(name, JunitOutcome.FAILED, f"lost: {reason}")
    none = [JunitCase(row.name, JunitOutcome.SKIPPED, "no factor traced") for row in report.factors if report.no_factor]
    factors = none or [_factor(row) for row in report.factors]
    return junit("compare", {"factors": factors, "quantities": [*cases.values()]})


def _factor(row: FactorRow) -> JunitCase:
    if row.status is Status.PASS:
        return JunitCase(row.name)
    if row.status is Status.MISSING:
        return JunitCase(row.name, JunitOutcome.FAILED, f"missing: reference {row.c_value}, port {row.py_value}")
    what = f"{row.status}: reference {row.c_value!r}, port {row.py_value!r}, relative delta {row.rel_delta!r}"
    return JunitCase(row.name, JunitOutcome.FAILED, what)


def _quantity(name: str, rows: Sequence[NumberRow]) -> JunitCase:
    """Return the test case of a traced quantity, which fails with the first of its numbers that does not pass."""
    bad = next((row for row in rows if row.status is not Status.PASS), None)
    if bad is None:
        return JunitCase(name)
    what = f"{bad.label} {bad.status}: reference {bad.c!r}, port {bad.py!r}, relative delta {bad.rel:.3e}"
    return JunitCase(name, JunitOutcome.FAILED, f"{what}, tolerance {bad.tolerance:.1e}")


def _orphan(orphan: Orphan, judged: JunitCase | None) -> JunitCase:
    """Return the test case of a quantity whose lines have no partner: skipped if the port alone prints it, else failed.

    judged: the case of those of its lines that have one.
    """
    if judged is not None and judged.outcome is JunitOutcome.FAILED:
        return judged
    if orphan.c_count == 0:
        return JunitCase(orphan.name, JunitOutcome.SKIPPED, orphan.note or "the reference's trace does not have it")
    counts = f"the reference has it {orphan.c_count} times, the port {orphan.py_count} times"
    return JunitCase(
        orphan.name, JunitOutcome.FAILED, f"missing: {counts}" + (f"; {orphan.note}" if orphan.note else "")
    )


def images_junit(report: ImageReport) -> str:
    """Return a report with a test case for each figure that the gate asks for; a figure that does not exist fails."""
    return junit("images", {"images": [_judged(name, lines) for name, lines in report.checks.items()]})


def matrix_junit(matrices: Sequence[Matrix]) -> str:
    """Return a report with a suite for each case of each matrix: its traces, its float image, its other images.

    What is measured and not judged (float32) is skipped, as is a case that a program cannot be given.
    """
    suites: dict[str, list[JunitCase]] = {}
    for matrix in matrices:
        for case in matrix.cases:
            title = f"{matrix.candidate}: {case.name}" if len(matrices) > 1 else case.name
            again = sum(name.partition(" #")[0] == title for name in suites)
            suites[f"{title} #{again + 1}" if again else title] = _comparisons(case)
    return junit("matrix", suites)


def _comparisons(case: CaseResult) -> list[JunitCase]:
    if case.skipped:
        return [JunitCase("comparison", JunitOutcome.SKIPPED, case.skipped)]
    tests = [_judged("comparison", case.own_problems)]
    tests += [_judged(f"trace {slow} {fast}", trace.problems) for trace in case.traces for slow, fast in [trace.pixel]]
    tests.append(_judged("float image", case.image.problems if case.image else ["missing: it could not be compared"]))
    if case.dtype != "float64":  # no claim is made
        reason = f"measured, not judged: {case.dtype}"
        tests = [
            one if one.outcome is JunitOutcome.FAILED else JunitCase(one.name, JunitOutcome.SKIPPED, reason)
            for one in tests
        ]
    outcomes = {MatrixOutcome.PASS: JunitOutcome.PASSED, MatrixOutcome.FAIL: JunitOutcome.FAILED}
    return tests + [
        JunitCase(file.name, outcomes.get(file.outcome, JunitOutcome.SKIPPED), file.note) for file in case.files
    ]


@contextmanager
def errors_to_junit(path: Path | None, name: str) -> Iterator[None]:
    """Write an error that is raised within to `path`, as the one failed case of the report `name`; it goes on up."""
    try:
        yield
    except ScalingError as error:
        if path is not None:
            failed = JunitCase("comparison", JunitOutcome.FAILED, str(error))
            write_text(path, junit(name, {name: [failed]}))
        raise


def _judged(name: str, problems: Sequence[str]) -> JunitCase:
    return JunitCase(name, JunitOutcome.FAILED, "; ".join(problems)) if problems else JunitCase(name)


def verdict_junit(verdict: SealVerdict) -> str:
    """Return a report with one test case, the bundle, which fails with every problem of it."""
    return junit("verify", {"bundles": [_bundle(verdict)]})


def chain_junit(chain: ChainVerdict) -> str:
    """Return a report with a test case for each bundle of the chain, those that are gone among them."""
    lost = [JunitCase(problem.name, JunitOutcome.FAILED, problem.detail) for problem in chain.lost]
    return junit("verify", {"bundles": [*lost, *map(_bundle, chain.verdicts)]})


def _bundle(verdict: SealVerdict) -> JunitCase:
    if not verdict.ok:
        return JunitCase(verdict.bundle, JunitOutcome.FAILED, "; ".join(map(str, verdict.problems)))
    if verdict.standing is Standing.OPEN:
        return JunitCase(verdict.bundle, JunitOutcome.SKIPPED, "open: not sealed yet")
    return JunitCase(verdict.bundle)
