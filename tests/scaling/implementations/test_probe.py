"""The probe names every known program, and each single quirk, from stand-ins; it says no false word.

Most stand-ins are our own port in this process, in the state of all switches that is asked for. Those that are
started are asked a few probes only.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch

from nanobragg_torch.quirks import IDS, TABLE, VARIANTS, of_mode
from tools.scaling.base.errors import Unavailable
from tools.scaling.cli import main
from tools.scaling.implementations import probe as work
from tools.scaling.implementations.describe import RECORDED, Implementation, find_implementation
from tools.scaling.implementations.probe_cases import PROBES, Probe
from tools.scaling.implementations.probe_reading import Seen, asked_port, same
from tools.scaling.implementations.probe_text import probe_lines, profile_text

NOON = range(1_800_000_000, 1_800_000_001)  # the second in which a stand-in in this process runs
Made = Mapping[str, Seen]
BY_NAME = {probe.name: probe for probe in PROBES}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("probes")
    return {probe.name: work._laid(probe, root) for probe in PROBES}


@pytest.fixture(scope="module")
def port(folders: Mapping[str, Path]) -> Callable[[Probe, Mapping[str, bool]], Made]:
    """What our port makes of a probe, each state of the switches once."""
    kept: dict[tuple[object, ...], Made] = {}

    def made(probe: Probe, states: Mapping[str, bool]) -> Made:
        key = (probe.name, *sorted(states.items()))
        if key not in kept:
            kept[key] = asked_port(probe, folders[probe.name], states, NOON)[0]
        return kept[key]

    return made


@pytest.fixture
def in_process(port, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, bool]], work.ProbeReport]:
    """The report of a stand-in that has these states, a question seeing those that act on it alone."""
    monkeypatch.setattr(work, "asked_port", lambda probe, _folder, states, _seconds: [port(probe, states)])

    def report(states: Mapping[str, bool], variant: str = "golden") -> work.ProbeReport:
        def ask(probe: Probe, _folder: Path) -> Made:
            return {
                question.reads: port(probe, {quirk: states[quirk] for quirk in question.acting})[question.reads]
                for question in probe.questions
            }

        return work.probe_program(Implementation("stand-in", ("x", "{flags}"), variant=variant), ask=ask)

    return report


def states_of(mode: str) -> dict[str, bool]:
    quirks = of_mode(mode)
    return {quirk: quirks.on(quirk) for quirk in IDS}


def said(report: work.ProbeReport) -> dict[str, bool]:
    """The states that the report names."""
    return {answer.quirk: answer.state == "on" for answer in report.answers if answer.state in ("on", "off")}


def test_each_quirk_has_a_question() -> None:
    asked = {quirk for probe in PROBES for question in probe.questions for quirk in question.asks}
    assert asked == {quirk.id for quirk in TABLE}
    assert len(BY_NAME) == len(PROBES) <= 55


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_other_quirk_acts_on_a_question(seed: int, folders, port) -> None:
    """In a random state of all switches a probe shows what it shows with those of `acting` alone."""
    dice = random.Random(seed)
    states = {quirk: dice.random() < 0.5 for quirk in IDS}
    for probe in PROBES:
        whole = asked_port(probe, folders[probe.name], states, NOON)[0]
        for question in probe.questions:
            alone = port(probe, {quirk: states[quirk] for quirk in question.acting})
            assert same(whole[question.reads], alone[question.reads], work.ROUNDINGS), (probe.name, question.reads)


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_known_program_is_named(variant: str, in_process) -> None:
    states = states_of(variant)
    report = in_process(states, variant)
    alike = [name for name in VARIANTS if VARIANTS[name] == VARIANTS[variant]]
    assert list(report.alike) == alike
    assert report.against == ()
    assert f"it is as {' or '.join(alike)}" in list(probe_lines(report))
    silent = {"Q66": states["Q27"], "Q20": states["Q63"]}  # the one acts with Q27 off, the other with Q63 off
    assert said(report) == {quirk: on for quirk, on in states.items() if not silent.get(quirk)}


@pytest.mark.parametrize("quirk", IDS)
def test_each_single_quirk_is_told(quirk: str, in_process) -> None:
    golden = states_of("golden")
    report = in_process(golden | {quirk: not golden[quirk]})
    known = said(report)
    if quirk == "Q66":  # it acts without Q27 alone
        assert quirk not in known
        return
    assert known[quirk] is not golden[quirk]
    assert [answer.quirk for answer in report.against] == [quirk]
    assert all(known[other] == golden[other] for other in known if other != quirk)


@pytest.mark.parametrize("seed", range(4))
def test_no_false_word_in_random_profiles(seed: int, in_process) -> None:
    dice = random.Random(100 + seed)
    states = {quirk: dice.random() < 0.5 for quirk in IDS}
    for quirk in dice.sample(IDS, 8):
        switched = states | {quirk: not states[quirk]}
        report = in_process(switched)
        known = said(report)
        assert known == {each: switched[each] for each in known}
        assert not [answer for answer in report.answers if answer.state == "neither"]
        assert len(known) >= len(IDS) - 12
        assert "contradicts" not in " ".join(answer.why for answer in report.answers)


def test_what_no_state_makes_is_neither(in_process, port) -> None:
    golden = states_of("golden")

    def ask(probe: Probe, _folder: Path) -> Made:
        made = port(probe, {q: golden[q] for question in probe.questions for q in question.acting})
        if probe.name == "gauss":
            values = made["image"].values
            assert values is not None
            return {"image": Seen(values=1.5 * values)}
        return {"image": Seen(unread="it hung")} if probe.name == "point_pixel" else made

    report = work.probe_program(Implementation("odd", ("x", "{flags}")), ask=ask)
    answers = {answer.quirk: answer for answer in report.answers}
    assert answers["Q24"].state == "neither"
    assert answers["Q24"].why == "gauss: nearest: 64 of 64 values differ, by up to 0.5 relative"
    assert (answers["Q16"].state, answers["Q16"].why) == ("not askable", "point_pixel: it hung")
    assert [answer.quirk for answer in report.against] == ["Q24"]
    assert report.alike == ()
    assert report.nearest == ("golden", 1)
    assert "it is none of the known programs; nearest: golden, with 1 against it" in list(probe_lines(report))


def test_a_refusal_counts_where_its_flags_are_known() -> None:
    """-detector_abs is shown by another probe (layers), -hdivsteps by none, so that a refusal of it says nothing."""
    states = states_of("golden")

    def ask(probe: Probe, folder: Path) -> Made:
        if probe.name == "divergence_steps":
            return {"image": Seen(refused="unknown flag")}
        return asked_port(probe, folder, {quirk: states[quirk] for quirk in IDS}, NOON)[0]

    names = ("last_word", "divergence_steps", "layers", "near", "divergence_word")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "PROBES", tuple(BY_NAME[name] for name in names))
        report = work.probe_program(Implementation("odd", ("x", "{flags}")), ask=ask)
    answers = {answer.quirk: answer for answer in report.answers}
    assert answers["Q36"].state == "on"
    assert answers["Q41"].state == "not askable"
    assert answers["Q41"].why == "divergence_steps: unknown flag (no other probe shows that it has -hdivsteps)"
    assert answers["Q24"].why == "no probe shows it"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Ask these probes alone."""

    def asked(*names: str) -> None:
        monkeypatch.setattr(work, "PROBES", tuple(BY_NAME[name] for name in names))

    yield asked


def described(folder: Path, command: str, rest: str = "", variant: str = "golden") -> Path:
    path = folder / "foreign.toml"
    path.write_text(f'name = "foreign"\nvariant = "{variant}"\n[run]\ncommand = {command}\n{rest}')
    return path


def test_a_started_program(tmp_path: Path, few, capsys: pytest.CaptureFixture[str]) -> None:
    """Files beside it, a last word, an image of another size, and a contradiction with its description."""
    few("size_by_x", "dump", "curved_last")
    mode = '"--mode", "cctbx-standalone", "-floatfile", "{out}"'
    path = described(tmp_path, f'["{{python}}", "-m", "nanobragg_torch", "{{flags}}", {mode}]')
    out = tmp_path / "profile.toml"
    assert main(["probe", str(path), "--out", str(out), "--json"]) == 1
    printed = capsys.readouterr()
    answers = {answer["quirk"]: answer["state"] for answer in json.loads(printed.out)["answers"]}
    assert [answers[quirk] for quirk in ("Q65", "Q61", "Q67")] == ["on", "off", "on"]
    assert printed.err.splitlines()[-1] == ("error: foreign: Q65 on contradicts its description, golden")
    followed = of_mode(str(out))
    assert followed.on("Q65")
    assert followed.switched("Q65", False) == of_mode("golden")
    assert 'name = "foreign"\n\n[quirks]\n# Q01: not askable\n' in out.read_text()


def test_a_program_that_fails(tmp_path: Path, few) -> None:
    """It writes no image on one probe, hangs on another, lacks a flag of the third and has words behind a last one."""
    script = tmp_path / "odd.py"
    script.write_text("import sys, time\nif '-gauss_xtal' in sys.argv: time.sleep(60)\n")
    few("gauss", "point_pixel", "near", "curved_last")
    rest = 'timeout_s = 2\n[flags]\nlacks = ["-polar"]\n'
    path = described(tmp_path, f'["{sys.executable}", "{script}", "{{flags}}", "{{out}}"]', rest)
    report = work.probe_program(find_implementation(str(path)))
    why = {answer.quirk: answer.why for answer in report.answers if answer.state == "not askable"}
    assert why["Q24"].startswith("gauss: foreign: still running after 2 s; stopped")
    assert why["Q16"].startswith("point_pixel: foreign: expected a float image float.bin of 8 x 8 float32")
    assert why["Q30"] == "near: foreign lacks -polar"
    assert why["Q67"] == ("curved_last: its command has {out} behind {flags}, which must be its last word here")
    assert not said(report)
    assert "# Q24: not askable" in profile_text(report)


def test_records_cannot_be_asked() -> None:
    with pytest.raises(Unavailable, match="golden: expected a program that can be run, got what one has recorded"):
        work.probe_program(RECORDED)


def test_a_second_answer_is_asked_before_neither(port) -> None:
    """A first run that went wrong says nothing; two runs that differ are a clock's."""
    golden = states_of("golden")
    asked: dict[str, int] = {}

    def ask(probe: Probe, _folder: Path) -> Made:
        asked[probe.name] = asked.get(probe.name, 0) + 1
        made = port(probe, {q: golden[q] for question in probe.questions for q in question.acting})
        values = made["image"].values
        assert values is not None
        if probe.name == "gauss" and asked["gauss"] == 1:
            return {"image": Seen(values=1.5 * values)}
        if probe.name == "point_pixel":
            return {"image": Seen(values=values * asked["point_pixel"] * 2)}
        return {"image": Seen(refused="no room")} if probe.name == "near" and asked["near"] == 1 else made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "PROBES", tuple(BY_NAME[name] for name in ("gauss", "point_pixel", "near", "no_sensor")))
        report = work.probe_program(Implementation("odd", ("x", "{flags}")), ask=ask)
    answers = {answer.quirk: answer for answer in report.answers}
    assert (answers["Q24"].state, asked["gauss"]) == ("on", 2)
    assert answers["Q16"].state == "not askable" and "two runs answered otherwise" in answers["Q16"].why
    assert asked["no_sensor"] == 1 and report.against == ()


def test_a_program_that_computes_in_float32(folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers are right within what float32 leaves, which is told; what needs more digits is not askable."""
    from nanobragg_torch.scan import experiment

    golden, prepare = states_of("golden"), experiment.prepare
    single = {"dtype": torch.float32}

    def ask(probe: Probe, _folder: Path) -> Made:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(experiment, "prepare", lambda config, **how: prepare(config, **how | single))
            return asked_port(probe, folders[probe.name], golden, NOON)[0]

    names = ("gauss", "omega", "phi_zero", "clipped", "residue", "cell_angles", "no_polarization")
    monkeypatch.setattr(work, "PROBES", tuple(BY_NAME[name] for name in names))
    report = work.probe_program(Implementation("single", ("x", "{flags}")), ask=ask)
    answers = {answer.quirk: answer for answer in report.answers}
    assert all(answers[quirk].state == "on" for quirk in ("Q24", "Q27", "Q29", "Q58", "Q23"))
    assert answers["Q58"].why.startswith("cell_angles, within ") and work.ROUNDINGS < report.own < work.OWN
    assert answers["Q40"].state == answers["Q34"].state == "not askable" and report.against == ()
    assert "needs the digits of float64" in answers["Q40"].why
    assert "arithmetic is its own" in list(probe_lines(report))[-2]


def test_a_profile_makes_the_same_images(in_process, tmp_path: Path) -> None:
    """Our port with the profile that the probe writes of a random stand-in is that stand-in."""
    import nanobragg_torch as nb

    dice = random.Random(7)
    states = {quirk: dice.random() < 0.5 for quirk in IDS}
    profile = tmp_path / "profile.toml"
    profile.write_text(profile_text(in_process(states)))
    switches = [f"--quirk={quirk}={'on' if on else 'off'}" for quirk, on in states.items()]
    base = "-cell 30 40 50 80 95 105 -default_F 9 -lambda 1.1 -N 3 -distance 100 -detpixels 8 -pixel 2 -oversample 2"
    for more in (
        "-phi 0 -osc 1 -phisteps 3",
        "-gauss_xtal -water 9 -oversample_omega",
        "-detector_thick 300 -polar 0.8",
    ):
        words = [*base.split(), *more.split()]
        theirs = nb.simulate(nb.parse([*words, *switches], folders=()))
        assert torch.equal(nb.simulate(nb.parse([*words, "--mode", str(profile)], folders=())), theirs), more


def test_no_run_is_begun_where_none_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def ask(probe: Probe, _folder: Path) -> Made:
        begun.append(probe.name)
        return {question.reads: Seen(unread="still running") for question in probe.questions}

    runs = work._Runs(ask, {probe.name: Path() for probe in PROBES}, {}, limit_s=0.0)
    last = list(runs.of(PROBES))[-1]
    assert len(begun) == work.HUNG
    assert all(each.unread.startswith("not run, as 4 runs were not at their end") for each in last.values())
