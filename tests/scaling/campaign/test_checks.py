"""What a check names: the quantity of a trace, the file, the path that the oracle is not on the side of."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from nanobragg_torch.config import Sensor
from nanobragg_torch.products import outputs as port_outputs
from tools.scaling.campaign import checks, divergence
from tools.scaling.campaign.judge import judge
from tools.scaling.campaign.record import Drawn, Status, Verdict
from tools.scaling.campaign.scene import How, Scene, scene_of
from tools.scaling.implementations.describe import Implementation

FLAGS = "-cell 50 60 70 80 90 100 -default_F 9 -N 3 -detpixels_f 3 -detpixels_s 2 -distance 50 -pixel 5 -oversample 1"


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(Scene, "asked", lambda *_: True)
    with scene_of(Drawn(0, (*FLAGS.split(), "-seed", "1")), How()) as made:
        yield made


def test_a_trace_names_the_first_quantity_that_differs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.trace(scene).status is Status.ok
    whole = divergence.port_text

    def differs(name: str, old: str, new: str) -> None:
        monkeypatch.setattr(divergence, "port_text", lambda *of: whole(*of).replace(old, new))
        verdict = checks.trace(scene)
        assert (verdict.status, verdict.label, verdict.pixel is None) == (Status.differs, name, False), verdict.says

    differs("lambda_angstroms", "lambda_angstroms 1\n", "lambda_angstroms 1.00000000001\n")
    differs("steps", "steps 1\n", "steps 2\n")
    differs("omega_pixel", "TRACE_PY: omega_pixel ", "TRACE_PY: omega ")
    differs("PHI.phi_deg", "phi_deg=0 ", "phi_deg=1 ")


def test_files_are_named_by_their_field_and_what_is_printed_counts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checks.outputs(scene).status is Status.ok
    with monkeypatch.context() as patch:
        patch.setattr(port_outputs, "pgm_pieces", lambda *_: iter([b"\1" * 6]))
        verdict = checks.outputs(scene)
        assert (verdict.label, verdict.says[:29]) == ("output.pgm_file", "image.pgm: pixel 0 0: expecte")
    with monkeypatch.context() as patch:
        made = port_outputs.make_outputs
        patch.setattr(port_outputs, "make_outputs", lambda *of: replace(made(*of), files={}))
        assert checks.outputs(scene).label == "output.float_file"
    monkeypatch.setattr("nanobragg_torch.cli.facts.result_lines", lambda _: ["solid", "max_I = 1  at 0 0", "mean"])
    verdict = checks.outputs(scene)
    assert verdict.label == "printed"
    assert verdict.says.endswith("printed is 'max_I = 1  at 0 0'")


def test_the_oracle_tells_which_of_two_paths_is_wrong(scene: Scene) -> None:
    assert checks.compiled(scene).status is Status.ok
    right = scene.definition
    scene.__dict__["compiled"] = 2 * right
    assert checks.compiled(scene).label == "kernel"
    scene.__dict__["compiled"], scene.__dict__["definition"] = right, 2 * right
    verdict = checks.compiled(scene)
    assert verdict.label == "torch path"
    assert verdict.says.endswith("; the oracle is on the kernel's side")


def test_what_records_compute_of_their_fields_counts(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.flags(scene).status is Status.ok
    monkeypatch.setattr(Sensor, "present", property(lambda _: True))
    verdict = checks.flags(scene)
    assert (verdict.label, verdict.says) == ("detector.sensor.present", "detector.sensor.present: True against False")


def test_an_error_is_named_by_the_flag_that_it_tells_of() -> None:
    drawn = Drawn(0, (*FLAGS.split(), "-hkl", "a.hkl"), {"a.hkl": b"1 2 x 3\n"})
    (verdict,) = judge(drawn, checks=("oracle",)).verdicts
    assert (verdict.status, verdict.label) == (Status.error, "-hkl")
    assert verdict.says.startswith("InputError: a.hkl:1: expected h k l F")
    (verdict,) = judge(replace(drawn, flags=("-N", "x")), checks=("oracle",)).verdicts
    assert (verdict.label, verdict.says) == ("-N", "FlagError: -N: expected an integer, got 'x'")
    (verdict,) = judge(replace(drawn, flags=()), checks=("oracle",)).verdicts
    assert verdict.label == "FlagError"


def test_a_reference_gets_every_file_and_is_asked_only_what_it_reads_alike() -> None:
    copies = Implementation("copy", ("cp", "made.bin", "{out}"))
    with scene_of(Drawn(0, tuple(FLAGS.split())), How()) as plain:
        image = plain.definition.numpy().astype("<f4")

    def asked(*more: str) -> Verdict:
        drawn = Drawn(0, (*FLAGS.split(), *more), {"made.bin": image.tobytes()})
        return judge(drawn, How(against=copies), ("reference",)).verdicts[0]

    assert asked().status is asked("--mode", "c-parity", "-N", "3").status is Status.ok
    image[1, 2] *= 2
    differs = asked()
    assert (differs.status, differs.pixel) == (Status.differs, (1, 2))
    assert asked("--mode", "bl831-main").says == "golden would not read this command line as the port does"
    assert asked("-fudge").status is Status.unasked  # more words follow it there
