"""Quirks of what is computed: detector, crystal, factors, sums, output."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import load
from quirk_checks import (
    BASE,
    FLAT,
    config,
    experiment,
    geometry,
    image,
    one,
    quirk,
    rows,
)

from nanobragg_torch.config import Roi
from nanobragg_torch.errors import FlagError
from nanobragg_torch.io.load import loaded
from nanobragg_torch.physics import detector, lattice_factor, mosaic
from nanobragg_torch.products import outputs
from nanobragg_torch.products.statistics import statistics
from nanobragg_torch.products.trace import render, trace_pixel
from nanobragg_torch.scan import simulate
from nanobragg_torch.scan.experiment import prepare
from nanobragg_torch.units import RTD


@quirk("Q01")
def _(_folder: Path) -> None:
    flags = "-twotheta 20 -twotheta_axis 3 0 0"
    assert config(BASE, flags).detector.twotheta_rad == 3 / RTD
    assert config(BASE, flags).detector.pivot == "SAMPLE"
    right = config(BASE, f"-distance 100 {flags} -pivot beam --quirk Q01=off")
    assert right.detector.twotheta_rad == 20 / RTD
    assert right.detector.pivot == "BEAM"
    assert not any("Q01" in line for line in right.warnings)


@quirk("Q02")
def _(_folder: Path) -> None:
    for flag in ("-pix0_vector_mm 100 2 -3", "-pix0_vector 0.1 0.002 -0.003"):
        assert geometry(flag).pix0.tolist() != pytest.approx([0.1, 0.002, -0.003], rel=1e-3)
        right = geometry(f"{flag} -detector_rotx 3 --quirk Q02=off")
        assert right.pix0.tolist() == pytest.approx([0.1, 0.002, -0.003], rel=1e-14)
        assert float(right.close_distance) == pytest.approx(float(right.pix0 @ right.odet), rel=1e-14)


@quirk("Q03")
def _(_folder: Path) -> None:
    assert geometry("-odet_vector 0.6 0.8 0").odet.tolist() == [0.6, 0.8, 0.0]
    assert geometry("-odet_vector 2 0 0.0002 --quirk Q03=off").odet.tolist() == pytest.approx([1, 0, 1e-4], abs=1e-8)
    with pytest.raises(FlagError) as caught:
        geometry("-odet_vector 0.6 0.8 0 --quirk Q03=off")
    assert str(caught.value) == "-odet_vector: expected the normal of fdet and sdet, got a cosine of 0.8 with one"
    tilted = "-fdet_vector 0 0.6 0.8 -sdet_vector 0 -0.8 0.6"
    assert geometry(tilted).odet.tolist() == [1.0, 0.0, 0.0]
    tilted = "-fdet_vector 0.6 0 0.8"
    assert geometry(tilted).odet.tolist() == [1.0, 0.0, 0.0]
    assert geometry(f"{tilted} --quirk Q03=off").odet.tolist() == pytest.approx([0.8, 0.0, -0.6])
    left_handed = "-adxv -fdet_vector 0.8 0 -0.6 --quirk Q03=off --quirk Q54=off"
    assert geometry(left_handed).odet.tolist() == pytest.approx([0.6, 0.0, 0.8])


@quirk("Q04")
def _(_folder: Path) -> None:
    flags = "-twotheta_axis 0 0 2 -twotheta 20"
    axis_across = f"{flags} -fdet_vector 0 1 0 -sdet_vector 0 0 1"
    for given in (flags, axis_across):
        right = geometry(f"{given} --quirk Q04=off")
        assert right.initial.twotheta_axis.tolist() == [0.0, 0.0, 1.0]
        assert float(right.fdet.norm()) == pytest.approx(1.0, rel=1e-14)
    assert float(geometry(flags).fdet.norm()) == pytest.approx(1.18, abs=0.01)


@quirk("Q05")
def _(_folder: Path) -> None:
    def near(flags: str) -> list[float]:
        return geometry(flags).pix0[:2].tolist()

    plain = near("-xds")
    assert near("-xds -Xclose 0.1 -Ybeam 0.3") == plain == pytest.approx([-4e-4, -4e-4])
    assert near("-xds -Xclose 0.1 -Ybeam 0.3 --quirk Q05=off") == pytest.approx([-1e-4, -3e-4])
    assert near("-dials -Xclose 0.1 -Xbeam 0.2 --quirk Q05=off") == pytest.approx([-1e-4, -4e-4])
    assert near("-xds -ORGX 6.5 -Xclose 0.1 --quirk Q05=off") == pytest.approx([-6e-4, -4e-4])


@quirk("Q06")
def _(_folder: Path) -> None:
    assert config(BASE, "-pivot sample").detector.pivot == "BEAM"
    assert config(BASE, "-pivot sample --quirk Q06=off").detector.pivot == "SAMPLE"
    assert config(BASE, "-xds -pivot beam --quirk Q06=off").detector.pivot == "BEAM"
    assert config(BASE, "-xds -distance 100 --quirk Q06=off").detector.pivot == "SAMPLE"  # nobody asked


@quirk("Q08")
def _(_folder: Path) -> None:
    assert float(geometry("-twotheta 20").distance) == pytest.approx(0.1 * math.cos(math.radians(20)), rel=1e-12)
    right = geometry("-twotheta 20 -Xbeam 0.2 --quirk Q08=off")
    assert float(right.distance) == pytest.approx(0.1, rel=1e-14)
    centre = detector.final_centre(right)
    assert float(centre.slow_beam) == pytest.approx(float(right.centre.slow_beam), rel=1e-11)
    assert float(centre.fast_beam) == pytest.approx(float(right.centre.fast_beam), rel=1e-11)
    assert right.pix0.tolist() == geometry("-twotheta 20 -Xbeam 0.2").pix0.tolist()


@quirk("Q09")
def _(_folder: Path) -> None:
    def products(flags: str) -> list[float]:
        found = rows(BASE, f"-phi 30 {flags}")
        direct, stars = ([found[f"rot_{n}{suffix}"][0] for n in "abc"] for suffix in ("_angstroms", "_star_A_inv"))
        return [float(np.dot(u, v)) for u in direct for v in stars]

    identity = np.eye(3).ravel().tolist()
    assert products("--quirk Q09=off") == pytest.approx(identity, abs=1e-13)
    assert products("") != pytest.approx(identity, abs=0.1)


@quirk("Q13")
def _(folder: Path) -> None:
    lines = ["-10 0 0 {} 1.0e-10\n", "-10 0.03 0 {} 1.1e-10\n"]

    def of(text: str, flags: str = "") -> np.ndarray:
        (folder / "sources.txt").write_text(text)
        return image(BASE, f"-nopolar -sourcefile sources.txt {flags}", folder)

    first, second = of(lines[0].format(1)), of(lines[1].format(1))
    both = lines[0].format(1) + lines[1].format(3)
    assert of(both) == pytest.approx((first + second) / 2, rel=1e-12)
    assert of(both, "--quirk Q13=off") == pytest.approx((first + 3 * second) / 4, rel=1e-12)


@quirk("Q14")
def _(_folder: Path) -> None:
    flags = "-detector_thick 300 -detector_thicksteps"
    assert config(BASE, f"{flags} 4").detector.sensor.step_m == pytest.approx(1e-4)
    assert config(BASE, f"{flags} 4 --quirk Q14=off").detector.sensor.step_m == pytest.approx(7.5e-5)
    assert config(BASE, f"{flags} 1").detector.sensor.layers == 2
    single = config(BASE, f"{flags} 1 --quirk Q14=off").detector.sensor
    assert (single.layers, single.step_m) == (1, pytest.approx(3e-4))
    thick = image(FLAT, f"{flags} 1 --quirk Q14=off") / image(FLAT)
    assert thick == pytest.approx(np.full((8, 8), 1 - math.exp(-1)), rel=1e-4)


@quirk("Q15")
def _(_folder: Path) -> None:
    flags = "-detector_thick 300 -detector_abs 150 -detector_thicksteps 3 --quirk Q14=off"
    layer = [math.exp(-k * 2 / 3) - math.exp(-(k + 1) * 2 / 3) for k in range(3)]
    plain = image(FLAT)
    assert image(FLAT, flags) / plain == pytest.approx(np.full((8, 8), 3 * layer[2]), rel=1e-3)
    assert image(FLAT, f"{flags} --quirk Q15=off") / plain == pytest.approx(np.full((8, 8), sum(layer)), rel=1e-3)


@quirk("Q16")
def _(_folder: Path) -> None:
    distance = one(BASE, "R_distance_meters")[0]
    assert one(BASE, "omega_pixel_sr", "-point_pixel")[0] == pytest.approx(distance**-2)
    right = one(BASE, "omega_pixel_sr", "-point_pixel --quirk Q16=off")[0]
    assert right == pytest.approx(1e-8 / distance**2)


@quirk("Q17")
def _(_folder: Path) -> None:
    for convention in ("-xds", "-mosflm", "-adxv"):
        flags = f"{convention} -curved_det 1 -distance 10 --quirk Q17=off"
        found = rows(BASE, flags, slow=6, fast=2)
        g = geometry(flags)
        position = torch.tensor(found["pixel_pos_meters"][0], dtype=torch.float64)
        assert found["R_distance_meters"][0][0] == pytest.approx(0.01, rel=1e-13)
        assert found["omega_pixel_sr"][0][0] == pytest.approx(1e-8 / 0.01**2, rel=1e-12)
        centre = detector.final_centre(g)
        arcs = (2.5 * 1e-4 - float(centre.fast_close), 6.5 * 1e-4 - float(centre.slow_close))
        # fast first, along the equator; then slow, by a turn about fdet
        assert float(position @ g.fdet) == pytest.approx(0.01 * math.sin(arcs[0] / 0.01), rel=1e-9)
        slow = 0.01 * math.cos(arcs[0] / 0.01) * math.sin(arcs[1] / 0.01)
        assert float(position @ g.sdet) == pytest.approx(slow, rel=1e-9)
    # the reference turns by lab y and z, of which XDS has none along the beam
    flags = "-xds -curved_det 1 -distance 10"
    flat, curved = (rows(BASE, f, slow=6, fast=2)["pixel_pos_meters"][0] for f in ("-xds -distance 10", flags))
    assert abs(curved[0] - flat[0]) > 1e-4


@quirk("Q19")
def _(_folder: Path) -> None:
    flags = "-misset random -misset_seed 5"
    crystal = config(BASE, flags).crystal
    draws = torch.tensor(mosaic.draws(crystal).misset, dtype=torch.float64)
    a_star = one(BASE, "rot_a_star_A_inv", flags)
    right = one(BASE, "rot_a_star_A_inv", f"{flags} --quirk Q19=off")
    plain = one(BASE, "rot_a_star_A_inv")
    turned = mosaic.uniform_rotation(draws)[0].numpy() @ np.array(plain)
    assert right == pytest.approx(turned.tolist(), rel=1e-9, abs=1e-12)
    assert a_star != pytest.approx(right, rel=1e-3)
    # uniform over SO(3): every element of the mean is 0, and 1/3 of its square
    many = torch.tensor(mosaic.deviates(4000, -3), dtype=torch.float64)
    matrices = mosaic.uniform_rotation(many)
    assert float((matrices @ matrices.mT - torch.eye(3, dtype=torch.float64)).abs().max()) < 1e-14
    assert float(torch.linalg.det(matrices).min()) == pytest.approx(1.0)
    assert float(matrices.mean(0).abs().max()) < 0.05
    assert float((matrices.square().mean(0) - 1 / 3).abs().max()) < 0.03
    cosine = (matrices.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2
    assert float(cosine.mean()) == pytest.approx(-0.5, abs=0.05)  # E cos(angle) of the Haar measure


@quirk("Q23")
def _(_folder: Path) -> None:
    flags = "-nopolar -oversample_polar"
    assert one(BASE, "polar", flags)[0] < 1.0
    assert one(BASE, "polar", f"{flags} --quirk Q23=off") == (1.0,)
    assert image(BASE, f"{flags} --quirk Q23=off") == pytest.approx(image(BASE, "-nopolar"), rel=1e-14)


@quirk("Q24")
def _(_folder: Path) -> None:
    def expected(shape: str) -> float:
        h, k, l = one(BASE, "hkl_frac", shape)  # noqa: E741
        square = sum((5 * (x - math.ceil(x - 0.5))) ** 2 for x in (h, k, l))
        return (125 * math.exp(-square / 0.63)) ** 2 if shape == "-gauss_xtal" else 125.0**2 * (square < 0.3969)

    for shape in ("-gauss_xtal", "-tophat_spots"):
        found = one(BASE, "I_before_scaling", f"{shape} --quirk Q24=off")[0]
        assert found == pytest.approx(expected(shape), rel=1e-12)
    assert one(BASE, "I_before_scaling", "-gauss_xtal") != one(BASE, "I_before_scaling", "-gauss_xtal --quirk Q24=off")
    wide = "-fudge 0.3 -tophat_spots"
    assert image(BASE, wide)[0, 0] > 0 == image(BASE, f"{wide} --quirk Q24=off")[0, 0]


@quirk("Q25")
def _(_folder: Path) -> None:
    case = load("tricubic_falls_out")
    whole = case.config()
    roi = whole.detector.rendered
    run = simulate.start(prepare(loaded(whole), device="cpu", dtype=torch.float64))
    assert run.tricubic_end is not None
    reference, right = simulate.render_image(run), None
    right = simulate.simulate(case.config("--quirk", "Q25=off"), device="cpu", dtype=torch.float64)
    differing = (reference != right).nonzero().tolist()
    assert len(differing) > 10
    slow, fast = differing[-1]  # alone, this pixel does not fall out
    alone = replace(whole, detector=replace(whole.detector, roi=Roi(fast, fast, slow, slow)))
    assert roi.slow_min < slow
    assert simulate.simulate(alone, device="cpu", dtype=torch.float64)[slow, fast] == right[slow, fast]
    nearest = simulate.simulate(case.config("-nointerpolate"), device="cpu", dtype=torch.float64)
    assert nearest[slow, fast] == reference[slow, fast]


@quirk("Q26")
def _(_folder: Path) -> None:
    water = f"{BASE.replace('-default_F 1', '-default_F 1e-20').replace('-oversample 1', '')} -water 50 -oversample"
    once, twice = image(f"{water} 1"), image(f"{water} 2")
    assert once / twice == pytest.approx(np.full((8, 8), 4.0), rel=1e-3)
    found = rows(f"{water} 1", "--quirk Q26=off")
    molecules = (50e-6) ** 3 * 1e6 * 6.02214179e23 / 18
    photons = 2.57**2 * molecules * 7.94079248018965e-30 * found["fluence_photons_per_m2"][0][0]
    expected = photons * found["omega_pixel"][0][0] * found["polar"][0][0]
    assert found["I_pixel_final"][0][0] == pytest.approx(expected, rel=1e-12)
    assert image(f"{water} 2", "--quirk Q26=off") == pytest.approx(image(f"{water} 1", "--quirk Q26=off"), rel=1e-5)


@quirk("Q27")
def _(_folder: Path) -> None:
    plain = image(BASE, "-phi 1 -osc 1 -phisteps 4")
    flags = "-phi 1 -osc 1 -phisteps 4 -oversample_omega -oversample_polar"
    last = image(BASE, "-phi 1.75")  # all that is left is the last of four terms
    assert image(BASE, flags) == pytest.approx(last / 4, rel=1e-3)
    assert image(BASE, f"{flags} --quirk Q27=off") == pytest.approx(plain, rel=1e-13)


@quirk("Q28")
def _(_folder: Path) -> None:
    assert not image(BASE, "-oversample_thick").any()
    assert np.array_equal(image(BASE, "-oversample_thick --quirk Q28=off"), image(BASE))
    thick = "-oversample_thick -detector_thick 100"
    assert np.array_equal(image(BASE, f"{thick} --quirk Q28=off"), image(BASE, thick))


@quirk("Q29")
def _(_folder: Path) -> None:
    flags = "-phi 0 -osc 3 -phisteps 3"
    first, last = (rows(BASE, flags)["PHI.k_frac"][i] for i in (0, 2))
    assert first == last
    right = rows(BASE, f"{flags} --quirk Q29=off")["PHI.k_frac"]
    assert right[0] == rows(BASE, "")["PHI.k_frac"][0]
    assert right[1:] == rows(BASE, flags)["PHI.k_frac"][1:]


@quirk("Q30")
def _(_folder: Path) -> None:
    """Without it, a pixel of 2 x 2 sub-pixels is the sum of four pixels of half the size."""
    near = "-cell 30 40 50 80 95 105 -default_F 1 -lambda 1.1 -distance 3 -N 1 -polar 0.9 -denzo -Xbeam 0.1 -Ybeam 0.2"
    coarse = f"{near} -detpixels 8 -pixel 0.1 -oversample 2"
    fine = image(f"{near} -detpixels 16 -pixel 0.05 -oversample 1").reshape(8, 2, 8, 2).sum(axis=(1, 3))
    assert image(coarse, "--quirk Q30=off") == pytest.approx(fine, rel=1e-12)
    assert image(coarse) != pytest.approx(fine, rel=1e-3)
    assert len(set(rows(coarse, "--quirk Q30=off", slow=5)["omega_pixel_sr"])) == 4
    assert len(set(rows(coarse, slow=5)["omega_pixel_sr"])) == 1


@quirk("Q34")
def _(_folder: Path) -> None:
    h, n = torch.tensor([1.0, 3.0, -2.0, 5 + 2.0**-30], dtype=torch.float64), torch.tensor(29.0, dtype=torch.float64)
    assert float(lattice_factor.grating(h, n)[0]) == pytest.approx(-0.0101, abs=1e-4)
    right = lattice_factor.reduced_grating(h, torch.round(h), n)
    assert right.tolist() == pytest.approx([29.0, 29.0, 29.0, 29.0], rel=1e-12)
    even = torch.tensor(4.0, dtype=torch.float64)
    assert lattice_factor.reduced_grating(h[:3], h[:3], even).tolist() == [-4.0, -4.0, 4.0]
    away = torch.tensor([6.8, -3.3, 2.49], dtype=torch.float64)
    for count in (n, even):
        found = lattice_factor.reduced_grating(away, torch.round(away), count)
        assert found.tolist() == pytest.approx(lattice_factor.grating(away, count).tolist(), rel=1e-12)
    direct = (
        "-cell 40 40 40 -misset 0 0 0 -default_F 1 -lambda 1 -distance 100 -detpixels 9 -pixel 0.1 -N 7 -oversample 1"
    )
    centre = "-denzo -Xbeam 0.45 -Ybeam 0.45"  # q = 0 at the middle pixel, hkl 0 0 0 either way
    assert image(f"{direct} {centre}", "--quirk Q34=off")[4, 4] == image(f"{direct} {centre}")[4, 4]
    assert image(f"{direct} {centre}", "--quirk Q34=off") == pytest.approx(image(f"{direct} {centre}"), rel=1e-9)
    assert one(BASE, "hkl_rounded", "-pixel 9")[1] != 0
    assert one(BASE, "F_latt_b", "-pixel 9 --quirk Q34=off") != one(BASE, "F_latt_b", "-pixel 9")


@quirk("Q37")
def _(_folder: Path) -> None:
    flags = "-adxv -Xbeam 0.3 -detector_rotx 2 -twotheta 5"
    text = {
        mode: render(trace_pixel(config(BASE, f"{flags} {mode}"), 1, 1, device="cpu", dtype=torch.float64))
        for mode in ("", "--quirk Q37=off")
    }
    assert "TRACE_PY:detector_convention=MOSFLM\n" in text[""]
    assert "TRACE_PY:detector_convention=ADXV\n" in text["--quirk Q37=off"]
    assert one(BASE, "initial_fdet", flags) == (0.0, 0.0, 1.0)
    assert one(BASE, "initial_fdet", f"{flags} --quirk Q37=off") == (1.0, 0.0, 0.0)
    assert one(BASE, "beam_center_m", flags)[0] == pytest.approx(3e-7)
    assert one(BASE, "beam_center_m", f"{flags} --quirk Q37=off")[0] == pytest.approx(3e-4)
    right = rows(BASE, f"{flags} --quirk Q37=off")
    assert right["sdet_after_rotz"][0] == right["sdet_after_rotz"][1] != right["sdet_after_twotheta"][0]
    near = one(BASE, "beam_center_m", "-xds --quirk Q37=off")
    assert near[0] == pytest.approx(1000 * one(BASE, "beam_center_m", "-xds")[0])


@quirk("Q38")
def _(_folder: Path) -> None:
    metres, angstroms = (one(BASE, "scattering_vec_A_inv", f) for f in ("", "--quirk Q38=off"))
    assert angstroms == pytest.approx([x * 1e-10 for x in metres], rel=1e-14)


@quirk("Q39")
def _(_folder: Path) -> None:
    def solid(flags: str) -> float:
        run = simulate.start(experiment(BASE, flags))
        return statistics(run, simulate.render_image(run).numpy()).solid_angle_sr

    plain = solid("")
    assert plain == pytest.approx(8e-4**2 / 0.1**2, rel=1e-3)
    flags = "-hdivrange 1 -hdivsteps 5 -square_div"
    assert solid(flags) == pytest.approx(plain / 5, rel=1e-9)
    assert solid(f"{flags} --quirk Q39=off") == pytest.approx(plain, rel=1e-9)


@quirk("Q43")
def _(_folder: Path) -> None:
    values = np.full((8, 8), 3.0, np.float32)
    flags = "-roi 2 3 4 5 -adc 7 -seed 1"
    for mode, outside in (("", 0), ("--quirk Q43=off", 7)):
        made = config(BASE, f"{flags} {mode}")
        noise = outputs.noise_pieces(made, values, outputs.noise_of(made, 4))
        images = outputs.integer_pieces(made, values, 2.0), noise
        files = (b"".join(map(bytes, pieces)) for pieces in images)
        exact, noisy = (np.frombuffer(data, "<u2").reshape(8, 8) for data in files)
        for found in (exact, noisy):
            window = np.zeros((8, 8), bool)
            window[4:6, 2:4] = True
            assert set(found[~window].tolist()) == {outside}
            assert found[window].min() >= 7
        assert exact[4, 2] == 13


@quirk("Q44")
def _(_folder: Path) -> None:
    """2^16 phi steps of 16 domains and 4096 sub-pixels are 2^32 terms; dmin spares both programs to sum them."""
    base = BASE.replace("-detpixels 8", "-detpixels 2").replace("-oversample 1", "-oversample 64")
    flags = "-osc 1 -phisteps 65536 -mosaic 1 -mosaic_dom 16 -dmin 1e15"
    assert experiment(base, flags).n_steps == 0
    assert experiment(base, f"{flags} --quirk Q44=off").n_steps == 2**32
    assert experiment(base, flags.replace("16 -dmin", "12 -dmin")).n_steps == 12 * 2**28 - 2**32
    assert np.isnan(image(base, flags)).all()
    assert not image(base, f"{flags} --quirk Q44=off").any()


@quirk("Q58")
def _(_folder: Path) -> None:
    def angles(flags: str) -> list[float]:
        a, b, c = (np.array(one(BASE, f"rot_{n}_angstroms", flags)) for n in "abc")
        pairs = ((b, c), (c, a), (a, b))
        return [math.degrees(math.acos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))) for u, v in pairs]

    assert angles("--quirk Q58=off") == pytest.approx([80.0, 95.0, 105.0], abs=1e-10)
    assert angles("") != pytest.approx([80.0, 95.0, 105.0], abs=1e-2)
