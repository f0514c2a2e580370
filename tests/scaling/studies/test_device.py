"""The evidence of a device: its whole path on a device of our own, and what becomes of it when parts break off."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scaling.page.bundles import Document
from tools.scaling import cli
from tools.scaling.base.errors import GateFailed, Unavailable
from tools.scaling.base.repo import ROOT
from tools.scaling.base.text import marks
from tools.scaling.bundle.verify import verify_bundle
from tools.scaling.studies.device import parts as measured
from tools.scaling.studies.device import run as device
from tools.scaling.studies.device.parts import PARTS

# The tool with a device of our own, as a process of its own has it.
ELSEWHERE = f"""
import sys
sys.path[:0] = [{str(ROOT / "tests" / "port")!r}, {str(ROOT)!r}, {str(ROOT / "src")!r}]
from elsewhere import elsewhere
from tools.scaling.cli import main
with elsewhere():
    sys.exit(main())
"""
# Answers as the tool does; what a part does there is in its name.
STANDS_IN = """
import json, os, signal, sys, time
def tell(**told): print(json.dumps(told), flush=True)
for part in sys.argv[sys.argv.index("cuda") + 1:]:
    tell(begun=part)
    if part == "images": sys.stderr.write("boom\\n"); sys.exit(1)
    if part == "tests": tell(part=part, name="first", verdict="PASS"); time.sleep(60)
    if part == "bench": os.kill(os.getpid(), signal.SIGSEGV)
    tell(part=part, name=part, verdict="PASS", figures={})
"""


def wanted(folder: Path, code: str, **more: object) -> device.Wanted:
    script = folder / "tool.py"
    script.write_text(code)
    return device.Wanted(tool=(sys.executable, str(script)), **more)


def rows(bundle: Path) -> list[tuple[str, str, str, str]]:
    found = json.loads((bundle / "device.json").read_text())["rows"]
    return [(row["part"], row["name"], row["verdict"], row["said"]) for row in found]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A bundle of the whole path, and what was said meanwhile."""
    registration = pytest.importorskip("torch.utils.backend_registration")
    if not hasattr(registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch cannot register a device in Python")
    folder, said = tmp_path_factory.mktemp("device"), list[str]()
    bundle = device.device_evidence(wanted(folder, ELSEWHERE, device="elsewhere", quick=True), folder, said.append)
    return bundle.folder, said


def test_every_part_is_measured_on_the_device(evidence: tuple[Path, list[str]]) -> None:
    bundle, said = evidence
    found = rows(bundle)
    assert list(dict.fromkeys(part for part, *_ in found)) == list(PARTS)
    verdicts = {part: {verdict for name, _, verdict, _ in found if name == part} for part in PARTS}
    by_measure = {"memory", "bench", "matrix float32"}  # this device counts no memory, and makes no claim in float32
    assert verdicts == {part: {"MEASURED" if part in by_measure else "PASS"} for part in PARTS}
    figures = {row["name"]: row["figures"] for row in json.loads((bundle / "device.json").read_text())["rows"]}
    assert figures["tests/test_cli_scaling_phi0.py"] == {"tests": 16}
    assert figures["curved_detector"]["pixels"] == 2304
    assert figures["39 sources, 64 x 64"]["million terms"] == 39 * 64 * 64 / 1e6
    memory = figures["10 phi steps, 64 x 64, float64"]
    assert 0 < memory["host peak MiB"] <= memory["host planned MiB"] and memory["device peak MiB"] is None
    assert "16 mapped tests pass on the device." in said
    assert sum(line.startswith("Matrix float64: 2 of 2 agree with the reference; 0 of 4,608") for line in said) == 1
    assert sum(line.startswith("Matrix float32: measured beside the reference, not judged; ") for line in said) == 1


def test_the_bundle_is_sealed_and_its_page_shows_every_row(evidence: tuple[Path, list[str]]) -> None:
    bundle, _ = evidence
    verdict = verify_bundle(bundle)
    assert verdict.ok and verdict.files == 6
    names = {"commands.txt", "device.json", "env.json", "provenance.json", "report.html", "seal.json", "sha256.txt"}
    assert {path.name for path in bundle.iterdir()} == names
    text = (bundle / "report.html").read_text(encoding="ascii")
    page = Document(text)
    shown = [(part, cells[0], cells[-1]) for part in PARTS for cells in page.tables[part][1:]]
    assert shown == [(part, name + said, verdict) for part, name, verdict, said in rows(bundle)]
    assert not page.attributes("src") and all(href[0] in "#d" for href in page.attributes("href"))
    assert "Matrix float64: 2 of 2 agree with the reference" in page.text
    (command,) = [line for line in (bundle / "commands.txt").read_text().splitlines() if line.startswith("$ ")]
    assert "study device-parts --device elsewhere --quick environment memory" in command


def test_a_page_gets_the_tables_of_a_bundle_and_nothing_is_measured(
    evidence: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin, end = marks("device")
    page = tmp_path / "device.md"
    page.write_text(f"# Devices\n\n{begin}\nNot measured.\n{end}\n")
    assert cli.main(["study", "device", "--bundle", str(evidence[0]), "--page", str(page)]) == 0
    text = page.read_text()
    assert text.startswith(
        f"# Devices\n\n{begin}\n`python -m tools.scaling study device --device elsewhere --quick`, 20"
    )
    assert "\nPASS.\n" in text and "- Matrix float64: 2 of 2 agree with the reference; 0 of 4,608" in text
    assert "| matrix float64 | numbers | worst of them | pixels | " in text
    assert "| curved_detector | 366 | 0 | 2,304 | 0 | 0 | 0 |" in text
    assert text.split(f"{begin}\n")[1].split(f"\n{end}")[0] == capsys.readouterr().out.rstrip("\n")
    assert cli.main(["study", "device", "--bundle", str(tmp_path), "--page", str(page)]) == 2
    assert "device.json: expected what study device measured, got: No such file" in capsys.readouterr().err
    assert page.read_text() == text


def test_a_part_that_breaks_off_is_a_row_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "tests", (measured.tests, 0.3))
    with pytest.raises(GateFailed, match=r"^device: 3 of 9 rows fail or did not run: tests: tests, images: images, "):
        device.device_evidence(wanted(tmp_path, STANDS_IN), tmp_path, lambda _: None)
    (bundle,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert verify_bundle(bundle).ok
    found = rows(bundle)
    told = {(part, name): (verdict, said) for part, name, verdict, said in found}
    assert told["tests", "first"] == ("PASS", "")  # what there was before its time was over
    assert told.pop(("tests", "tests")) == ("FAIL", "stopped after 0 s")
    assert told["images", "images"] == ("FAIL", "boom")
    verdict, said = told["bench", "bench"]
    assert verdict == "FAIL" and "crashed with SIGSEGV" in said
    assert [part for part, name, verdict, _ in found if verdict == "PASS"] == [
        part for part in PARTS if part not in ("images", "bench")
    ]
    assert "3 rows fail: tests: tests, images: images, bench: bench." in (bundle / "report.html").read_text()


def test_parts_that_the_time_does_not_reach_are_named(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="rows fail or did not run"):
        device.device_evidence(wanted(tmp_path, STANDS_IN, seconds=2.0), tmp_path, lambda _: None)
    (bundle,) = (path for path in tmp_path.iterdir() if path.is_dir())
    late = [(part, said) for part, _, verdict, said in rows(bundle) if verdict == "NOT RUN"]
    assert late == [(part, "no time was left of 2 s") for part in list(PARTS)[list(PARTS).index("tests") + 1 :]]
    assert verify_bundle(bundle).ok


def test_without_the_device_there_is_one_line_and_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "none"
    assert cli.main(["study", "device", "--device", "cuda:77", "--reports-root", str(root)]) == 3
    said = capsys.readouterr()
    assert said.err.startswith("error: --device cuda:77: not usable for float64 on this machine: ")
    assert said.out == "" and said.err.count("\n") == 1 and not root.exists()


def test_a_part_and_a_package_that_are_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["study", "device", "--part", "speed", "--reports-root", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err == f"error: --part speed: expected one of {', '.join(PARTS)}\n"
    monkeypatch.setattr(device, "PACKAGES", ("numpy", "no_such_a", "no_such_b"))
    with pytest.raises(Unavailable, match=r" has no no_such_a, no_such_b; the environment that nox makes has "):
        device.device_evidence(device.Wanted(), tmp_path / "x", lambda _: None)
    assert not (tmp_path / "x").exists()


INTERRUPTED = """
import sys
from pathlib import Path
from tools.scaling.base.errors import ScalingError
from tools.scaling.studies.device.run import Wanted, device_evidence
def say(line): print(line, flush=True)
try: device_evidence(Wanted(tool=(sys.executable, sys.argv[1])), Path(sys.argv[2]), say)
except ScalingError as error: say(str(error)); sys.exit(error.exit_code)
"""


def test_an_interrupt_leaves_a_sealed_bundle_that_says_so(tmp_path: Path) -> None:
    tool = wanted(tmp_path, STANDS_IN).tool[1]
    argv = [sys.executable, "-c", INTERRUPTED, tool, str(tmp_path)]
    with subprocess.Popen(argv, cwd=ROOT, env=cli_environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "first" in line:
                process.send_signal(signal.SIGINT)
                break
        last = process.stdout.read().strip().splitlines()[-1]
    assert (process.returncode, last) == (5, "interrupted by SIGINT")
    (bundle,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert verify_bundle(bundle).ok
    found = rows(bundle)
    assert ("tests", "first", "PASS", "") in found
    late = [part for part, _, verdict, said in found if (verdict, said) == ("NOT RUN", "interrupted by SIGINT")]
    assert late == list(PARTS)[list(PARTS).index("tests") :]


def cli_environment() -> dict[str, str]:
    from tools.scaling.base.repo import environment

    return environment()
