"""The reference's generator and the photons counted with it: compiled and as they are, in pieces and at once."""

import math
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from nanobragg_torch import compiled
from nanobragg_torch.cli.main import main
from nanobragg_torch.flags.parse import parse
from nanobragg_torch.physics import generator, mosaic
from nanobragg_torch.physics.generator import Generator
from nanobragg_torch.products.noise import Noise
from tools.scaling.oracle.deviates import Random

CRYSTAL = "-cell 50 60 70 80 90 100 -default_F 10 -N 4 -distance 100"
ALWAYS = 1e9  # seconds: to compile pays


def oracle(random: Random, seed: int, count: int) -> list[float]:
    drawn = []
    for _ in range(count):
        value, seed = random.draw(seed)
        drawn.append(value)
    return drawn


def started(seed: int) -> Generator:
    made = Generator()
    made.start(seed)
    return made


def noise(seed: int, adc: float = 0.0, seconds: float = 0.0) -> Noise:
    made = Noise(started(seed), adc, 1)
    made.seconds = seconds
    return made


@pytest.mark.parametrize("seconds", [0.0, ALWAYS])
@pytest.mark.parametrize("seed", [-1, -12345678, 0, 5])
def test_uniforms_are_those_of_the_formula(seed: int, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "_DRAW_SECONDS", seconds)
    made = started(seed)
    drawn = [*made.uniforms(600), *made.uniforms(0), *made.uniforms(401)]
    assert drawn == oracle(Random(), seed, 1001)


def test_a_positive_state_shares_the_table() -> None:
    """A negative seed on the command line goes on with what the mosaic domains left (semantics 3.4)."""
    crystal = parse([*CRYSTAL.split(), "-mosaic_seed", "7", "-mosaic", "1", "-mosaic_dom", "4"]).crystal
    random = Random()
    oracle(random, -7, 12)
    left = mosaic.draws(crystal).generator
    left.start(5)
    assert left.uniforms(3).tolist() == oracle(random, 5, 3)
    assert started(5).uniforms(3).tolist() == started(-1).uniforms(3).tolist() == oracle(Random(), -1, 3)
    # misset first, then domains: a positive mosaic state goes on with the misset's table
    both = mosaic.draws(
        parse(f"{CRYSTAL} -misset random -misset_seed 5 -mosaic 1 -mosaic_dom 3 -mosaic_seed -9".split()).crystal
    )
    random = Random()
    assert both.misset.ravel().tolist() == [2.0 * u - 1.0 for u in oracle(random, -5, 3)]
    assert both.domains.ravel().tolist() == [2.0 * u - 1.0 for u in oracle(random, 9, 9)]


@pytest.mark.parametrize("mean", [0.3, 5.0, 11.9, 12.0, 40.0, 1000.0, 9e5, 2e6])
def test_counts_have_the_mean_and_the_variance_of_a_poisson_distribution(mean: float) -> None:
    n, adc = 4000, 30000.0 - mean
    made = noise(-11, adc)
    deviations = made.digits(np.full(n, mean, np.float32)) - 30000.0
    assert abs(deviations.mean()) < 5 * math.sqrt(mean / n) + 1.0  # truncated
    assert abs(deviations.var() / mean - 1) < 0.15
    assert made.photons == pytest.approx(n * mean, abs=5 * math.sqrt(mean * n))
    assert made.overloads == 0


def test_low_counts_are_those_of_the_formula() -> None:
    rng, random, state, expected = np.random.default_rng(2), Random(), -4, []
    means = np.where(rng.random(9000) < 0.1, rng.uniform(0, 12, 9000), 10 ** rng.uniform(-9, -1, 9000))
    means = np.minimum(means, 11.9).astype(np.float32)
    for mean in means.tolist():
        limit, count = np.float32(math.exp(-mean)), -1
        product = np.float32(1.0)
        while count < 0 or product > limit:
            value, state = random.draw(state)
            product, count = product * np.float32(value), count + 1
        expected.append(count)
    made = noise(-4)
    assert np.concatenate([made.digits(piece) for piece in np.split(means, [0, 1, 1500, 5000])]).tolist() == expected
    assert made.photons == sum(expected) > 900


def test_compiled_counts_are_those_of_the_plain_functions() -> None:
    rng = np.random.default_rng(3)
    means = (10 ** rng.uniform(-3, 8, 20_000)).astype(np.float32)
    means[rng.integers(0, means.size, 500)] = rng.choice([math.nan, math.inf, -math.inf, -3.0, -0.0, 12.0, 1e6], 500)
    adc = 40.5 - np.float32(1e6)
    plain, fast = noise(-9, adc), noise(-9, adc, ALWAYS)
    expected = plain.digits(means)
    assert np.concatenate([fast.digits(piece) for piece in np.split(means, [0, 1, 7000])]).tolist() == expected.tolist()
    assert (fast.photons, fast.overloads) == (plain.photons, plain.overloads)
    assert fast.overloads > 1000
    assert fast.generator.table.tolist() == plain.generator.table.tolist()
    assert compiled.usable() is None


@pytest.mark.parametrize("seconds", [0.0, ALWAYS])
def test_what_is_no_number_and_below_zero(seconds: float) -> None:
    values = np.array([math.nan, -3.0, -1e30, 5e6], np.float32)
    values.flags.writeable = seconds > 0.0
    made = noise(-1, 40.0, seconds)
    assert made.digits(values).tolist() == [0, 40, 40, 65535]
    assert made.overloads == 1
    # no number takes two uniforms, as the reference's rejection method does, and so do two means of 0
    one, two = noise(-1, 0.0, seconds), noise(-1, 0.0, seconds)
    fives = [5.0] * 9
    assert (
        one.digits(np.array([math.nan, *fives], np.float32))[1:].tolist()
        == two.digits(np.array([0.0, 0.0, *fives], np.float32))[2:].tolist()
    )
    # an offset below 0 wraps
    assert noise(-1, -2.5, seconds).digits(np.zeros(1, np.float32)).tolist() == [65534]


def test_log_gamma() -> None:
    for x in (1.0, 2.0, 13.0, 1e6):
        assert generator.log_gamma(x) == pytest.approx(math.lgamma(x), rel=1e-6, abs=1e-9)


def test_a_command_line_without_compiling_writes_the_same_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = f"{CRYSTAL} -fluence 1e27 -pixel 0.1 -detpixels 360 -oversample 1 -nopgm -seed 5 -noisefile"
    assert main([*flags.split(), "compiled"]) == 0
    capsys.readouterr()
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    compiled._hindrance.cache_clear()
    try:
        assert main([*flags.split(), "plain"]) == 0
    finally:
        compiled._hindrance.cache_clear()
    assert Path("plain").read_bytes() == Path("compiled").read_bytes()
    told = capsys.readouterr().err.splitlines()
    line = "nothing is compiled, so this takes longer: numba is switched off by NUMBA_DISABLE_JIT"
    assert [text for text in told if "compiled" in text] == [f"nanobragg_torch: {line}"]


def test_a_small_noise_image_does_not_import_numba_and_garbage_is_looked_for_again(tmp_path: Path) -> None:
    script = (
        "import gc, sys; from nanobragg_torch.cli.main import main;"
        f"main('{CRYSTAL} -detpixels 64 -oversample 1 -nopgm'.split());"
        "sys.exit('numba' in sys.modules or not gc.isenabled())"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True).returncode == 0
