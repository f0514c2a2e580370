"""What `import nanobragg_torch` offers: numbers against the reference, gradients, errors, and no torch until needed."""

import subprocess
import sys
import typing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import CASES, INPUTS, load
from torch.autograd import gradcheck

import nanobragg_torch as nb
from nanobragg_torch.flags.usage import version

BASE = "-cell 50 60 70 80 95 105 -default_F 100 -lambda 1.1 -N 3 -distance 100 -detpixels 16 -pixel 4.5 -oversample 1"
PARITY = nb.parse(BASE.split())
SPEC = nb.parse(f"{BASE} --mode spec".split())
LISTED = nb.parse(load("triclinic_misset").flags)
HKL = f"-hkl {INPUTS / 'p1.hkl'}"


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_import_alone_imports_neither_torch_nor_numpy() -> None:
    heavy = "print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    begin = "import sys, nanobragg_torch as nb; "
    assert python(f"{begin}nb.InputError, nb.Config, nb.Quirks, nb.__version__; {heavy}") == "[]"
    assert python(f"{begin}nb.simulate; {heavy}") == "['numpy', 'torch']"


def test_every_public_name_is_there_and_the_type_checker_knows_the_same_ones() -> None:
    assert set(nb.__all__) == nb._HOME.keys() | {"__version__"} and set(nb.__all__) <= set(dir(nb))
    for name in nb.__all__:
        assert getattr(nb, name) is getattr(nb, name)
    assert f"nanobragg_torch {nb.__version__}, port of" in version()
    block = Path(nb.__file__).read_text(encoding="ascii").partition("if TYPE_CHECKING:\n")[2].partition("\n_HOMES")[0]
    names: dict[str, object] = {}
    exec("\n".join(line.removeprefix("    ") for line in block.splitlines() if "__version__" not in line), names)
    assert {name: names[name] for name in nb._HOME} == {name: getattr(nb, name) for name in nb._HOME}
    assert Path(nb.__file__).with_name("py.typed").is_file()


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'nanobragg_torch' has no attribute 'simulte'$"):
        _ = nb.simulte  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["cubic_mosflm", "mosaic_domains", "source_file", "images_overload_roi"])
def test_the_image_is_the_reference_s(name: str) -> None:
    case = load(name)
    window = nb.simulate(case.config(), whole=False).float().numpy()
    assert window.tobytes() == case.image().tobytes()


@pytest.mark.parametrize("name", CASES)
def test_pixels_alone_are_those_of_the_image(name: str) -> None:
    """Also the first evaluation of a run (Q29) and the pixel at which interpolation ends (Q25)."""
    config = replace(load(name).config(), output=nb.Output())
    roi = config.detector.rendered
    if config.detector.pixels_fast > 100:  # the canonical detector: a region that takes no time
        slow, fast = load(name).pixels[0]
        roi = nb.Roi(fast - 5, fast + 5, slow - 5, slow + 5)
        config = replace(config, detector=replace(config.detector, roi=roi))
    image = nb.simulate(config)
    generator = np.random.default_rng(1)
    slow_fast = np.stack(
        [generator.integers(roi.slow_min, roi.slow_max + 1, 60), generator.integers(roi.fast_min, roi.fast_max + 1, 60)]
    ).T
    slow_fast = np.concatenate([slow_fast, [[roi.slow_min, roi.fast_min]], slow_fast[:3]])
    intensities = nb.simulate(config, pixels=slow_fast)
    assert torch.equal(intensities, image[slow_fast[:, 0], slow_fast[:, 1]])
    assert torch.equal(nb.simulate_pixels(config, slow_fast[:1]), intensities[:1])


def test_pixels_before_at_and_behind_the_one_where_interpolation_ends() -> None:
    config = load("tricubic_falls_out").config()
    image, roi = nb.simulate(config), config.detector.rendered
    nearest = nb.simulate(replace(config, structure=replace(config.structure, interpolate=False)))
    differs = (image != nearest).nonzero()
    last = tuple(map(int, differs[-1]))
    assert 0 < len(differs) < image.numel()
    for order in range(last[0] * image.shape[1] + last[1] - 2, last[0] * image.shape[1] + last[1] + 3):
        pixel = divmod(order, roi.fast_max + 1)
        assert nb.simulate_pixels(config, [pixel, (0, 0)])[0] == image[pixel]


def test_pixels_of_a_masked_image() -> None:
    mask = np.ones((16, 16), dtype=bool)
    mask[3, 4:9] = False
    config = replace(PARITY, detector=replace(PARITY.detector, mask=mask))
    image = nb.simulate(config)
    assert image[3, 4:9].tolist() == [0.0] * 5 and float(image[3, 9]) > 0
    assert torch.equal(nb.simulate_pixels(config, [(15, 15), (3, 9), (2, 0)]), image[[15, 3, 2], [15, 9, 0]])
    with pytest.raises(
        nb.InputError, match=r"^pixel slow 3, fast 5: expected one that is rendered, this one is masked$"
    ):
        nb.simulate_pixels(config, [(0, 0), (3, 5)])


def test_float32_and_pixels_in_several_forms() -> None:
    pixels = [(7, 8), (2, 11)]
    for given in (pixels, np.array(pixels, dtype=np.uint16), torch.tensor(pixels, dtype=torch.int32)):
        assert torch.equal(nb.simulate_pixels(PARITY, given), nb.simulate(PARITY)[[7, 2], [8, 11]])
    assert nb.simulate_pixels(PARITY, []).shape == (0,)
    assert nb.simulate_pixels(PARITY, pixels, dtype=torch.float32).dtype == torch.float32


def test_the_trace_is_that_of_the_command_line() -> None:
    lines = {line.name: line.values for line in nb.trace_pixel(PARITY, 7, 8)}
    assert lines["I_pixel_final"] == (float(nb.simulate(PARITY)[7, 8]),)


def test_a_reflection_list_and_its_box() -> None:
    reflections = nb.read_hkl(INPUTS / "p1.hkl")
    assert reflections.hkl is not None and reflections.hkl.shape == (len(reflections.F), 3)
    assert [float(x) for x in reflections.F[:1]] == [float((INPUTS / "p1.hkl").read_text().split()[3])]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: nb.simulate("-cell 1"), TypeError, "config: expected a Config, as parse(flags) returns, got str"),
        (lambda: nb.simulate(PARITY, device="tpu"), nb.FlagError, "device: expected cpu or cuda, got 'tpu'"),
        (lambda: nb.simulate(PARITY, device="mps"), nb.FlagError, "device: expected cpu or cuda, got 'mps'"),
        (lambda: nb.simulate(PARITY, device="cuda:99"), nb.NoDevice, "device cuda:99: torch sees no "),
        (
            lambda: nb.simulate(PARITY, dtype=torch.float16),
            nb.FlagError,
            "dtype: expected torch.float64 or torch.float32, got torch.float16",
        ),
        (lambda: nb.simulate(PARITY, threads=0), ValueError, "threads: expected at least 1, got 0"),
        (lambda: nb.simulate_pixels(PARITY, [], block=-1), ValueError, "block: expected at least 1, got -1"),
        (
            lambda: nb.simulate_pixels(PARITY, [(3, 3), (16, 2)]),
            nb.InputError,
            "pixel slow 16, fast 2: expected one that is rendered, slow 0..15, fast 0..15",
        ),
        (
            lambda: nb.simulate_pixels(PARITY, [(1, 2, 3)]),
            nb.InputError,
            "pixels: expected (slow, fast) pairs of integers, got shape (1, 3) of torch.int64",
        ),
        (
            lambda: nb.simulate_pixels(PARITY, [(1.0, 2.5)]),
            nb.InputError,
            "pixels: expected (slow, fast) pairs of integers, got shape (1, 2) of torch.float",
        ),
        (lambda: nb.simulate_pixels(PARITY, [("a", 1)]), nb.InputError, "pixels: expected (slow, fast) pairs of int"),
        (lambda: nb.trace_pixel(PARITY, 0, 16), nb.InputError, "pixel slow 0, fast 16: expected one that is rendered"),
        (lambda: nb.parse(["-cel", "1"]), nb.FlagError, "-cel: unknown flag, perhaps -cell is meant"),
        (lambda: nb.read_hkl(Path("none.hkl")), nb.InputError, "none.hkl: expected a regular file, got: No such file"),
        (lambda: nb.Roi(0, 1, 2), TypeError, ""),
        (lambda: nb.Sensor(layers=0), ValueError, "layers: expected at least 1, got 0"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_clear_error(call: typing.Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "kind", "message"),
    [
        ([], ValueError, "parameters: expected at least one name of a field, got none"),
        ("crystal.fudge", TypeError, "parameters: expected a list of names, got the string 'crystal.fudge'"),
        (
            ["crystal.misset_deg"],
            ValueError,
            "crystal.misset_deg: expected a field of Crystal (cell, matrix, misset_rad,",
        ),
        (
            ["crystal.cell.a_angstrom.x"],
            ValueError,
            "crystal.cell.a_angstrom.x: expected the name of a number, got 'x'",
        ),
        (["crystal.shape"], ValueError, "crystal.shape: expected a field of real numbers, got one of str"),
        (["scan.phi_steps"], ValueError, "scan.phi_steps: expected a field of real numbers, got one of int"),
        (["crystal.matrix"], ValueError, "crystal.matrix: expected a number to begin with, got None"),
        (["crystal"], ValueError, "crystal: expected a field of real numbers, got one of Crystal"),
        (["structure.reflections.F"], ValueError, "structure.reflections.F: expected a number to begin with, got None"),
    ],
)
def test_a_model_of_what_is_no_number_is_one_clear_error(
    names: typing.Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        nb.Model(SPEC, names)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_random_orientation_is_no_misset_to_begin_with() -> None:
    config = replace(SPEC, crystal=replace(SPEC.crystal, misset_seed=3))
    with pytest.raises(ValueError, match=r"^crystal\.misset_rad: expected a Config without misset_seed"):
        nb.Model(config, ["crystal.misset_rad"])


def test_the_parameters_have_the_names_and_numbers_of_the_fields() -> None:
    names = ["crystal.misset_rad", "crystal.cell.a_angstrom", "detector.distance_m", "water_m"]
    model = nb.Model(SPEC, names)
    assert {name: value.tolist() for name, value in model.named_parameters()} == {
        "crystal.misset_rad": [0.0, 0.0, 0.0],
        "crystal.cell.a_angstrom": 50.0,
        "detector.distance_m": 0.1,
        "water_m": 0.0,
    }
    assert torch.equal(model().detach(), nb.simulate(SPEC)) and model().requires_grad
    assert torch.equal(model([(3, 4)]), model()[3, 4:5])
    assert model.float()().dtype == torch.float32
    other = nb.Model(SPEC, names)
    other.load_state_dict({name: value + 0.01 for name, value in nb.Model(SPEC, names).state_dict().items()})
    assert float(other.get_parameter("crystal.cell.a_angstrom").detach()) == 50.01


def test_gradients_of_the_parameters_are_those_of_finite_differences() -> None:
    names = ["crystal.misset_rad", "crystal.cell.b_angstrom", "detector.distance_m", "beam.wavelength_m"]
    model = nb.Model(SPEC, names)
    pixels = [(2, 3), (9, 12), (14, 5)]
    scale = model(pixels).detach().max()
    units = [1.0, 1.0, 1e-3, 1e-10]

    def intensities(*numbers: torch.Tensor) -> torch.Tensor:
        values = {name: number * unit for name, number, unit in zip(names, numbers, units)}
        return torch.func.functional_call(model, values, (pixels,)) / scale  # type: ignore[no-any-return]

    starts = [(value.detach() / unit).requires_grad_() for value, unit in zip(model.parameters(), units)]
    assert gradcheck(intensities, starts, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_structure_factors_of_a_list() -> None:
    config = nb.parse(f"{BASE.replace('-default_F 100', '-default_F 0')} {HKL} --mode spec".split())
    model = nb.Model(config, ["structure.reflections.F"])
    image = model()
    image.sum().backward()
    factors = model.get_parameter("structure.reflections.F")
    assert factors.grad is not None and int(factors.grad.count_nonzero()) > 10
    # I goes by F^2, so that sum F dI/dF = 2 I
    assert float((factors.detach() * factors.grad).sum()) == pytest.approx(2 * float(image.detach().sum()), rel=1e-9)


def test_a_few_steps_refine_a_misset() -> None:
    truth = torch.tensor([0.012, -0.008, 0.015], dtype=torch.float64)
    observed = nb.simulate(replace(SPEC, crystal=replace(SPEC.crystal, misset_rad=truth)))
    model = nb.Model(SPEC, ["crystal.misset_rad"])
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def misfit() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (model() - observed).square().mean() / observed.var()
        loss.backward()
        return loss  # type: ignore[no-any-return]

    optimizer.step(misfit)  # type: ignore[arg-type]
    assert float((model.get_parameter("crystal.misset_rad") - truth).abs().max().detach()) < 1e-9
