"""The mapped tests: the test files that belong to the procedure, collected and run by pytest in this process."""

import os
from collections.abc import Sequence
from typing import Any

from tools.scaling.base.errors import BadInput, GateFailed, Unavailable
from tools.scaling.base.repo import MAPPED_TESTS, ROOT


class _Verdicts:
    """A plugin of pytest that counts the tests that passed, and keeps a line for each that did not."""

    def __init__(self) -> None:
        self.count = 0
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.count += report.when == "call" and report.passed
        if report.failed:
            lines = report.longreprtext.splitlines()
            told = next((line[1:].strip() for line in lines if line.startswith("E ")), report.when)
            self.failed.append(f"{report.nodeid.rpartition('::')[2]}: {told}")


def pytest_files(files: Sequence[str], *options: str) -> int:
    """Run pytest, in this process, on `files` (relative to the repo's root): how many tests passed.

    Raises GateFailed, which names the first that failed and why.
    """
    try:
        import pytest
    except ImportError as error:
        raise Unavailable("pytest: not installed; expected the dependency group 'tests'") from error
    missing = [name for name in files if not (ROOT / name).is_file()]
    if missing:
        raise BadInput(f"{missing[0]}: expected a test file, got none")
    os.chdir(ROOT)
    verdicts = _Verdicts()
    arguments = ["-q", "--no-header", "-p", "no:cacheprovider", "--color=no", *options, *files]
    code = pytest.main(arguments, plugins=[verdicts])
    if code != pytest.ExitCode.OK:
        first = f": {len(verdicts.failed)} failed, first {verdicts.failed[0]}" if verdicts.failed else ""
        raise GateFailed(f"pytest {' '.join(files)}: exit {int(code)} ({pytest.ExitCode(code).name}){first}")
    return verdicts.count


def mapped_tests(device: str, optional: bool = False, files: Sequence[str] = MAPPED_TESTS) -> str | None:
    """Run the mapped tests on `device`. Returns the reason when `optional` and there is no such device."""
    from tools.scaling.engine.diff import open_device

    try:
        open_device(device)
    except Unavailable as error:
        if optional:
            return str(error)
        raise
    tests_on(device, files)
    return None


def tests_on(device: str, files: Sequence[str]) -> int:
    """Run test files on `device`, which is there: how many tests passed. Raises GateFailed."""
    before = os.environ.get("NB_TEST_DEVICE")
    os.environ["NB_TEST_DEVICE"] = device
    try:
        passed = pytest_files(files)
        if not passed:
            raise GateFailed(f"pytest {' '.join(files)}: expected tests that run on {device}, got none that passed")
        return passed
    finally:
        if before is None:
            del os.environ["NB_TEST_DEVICE"]
        else:
            os.environ["NB_TEST_DEVICE"] = before
