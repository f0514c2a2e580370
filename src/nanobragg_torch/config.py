"""What is to be simulated: frozen records with the units in the names.

Numeric fields hold Python floats or 0-d tensors: whatever a gradient is wanted for can be replaced by a
tensor (`dataclasses.replace`). No field is looked at here beyond its validation, and torch is not imported.
A file that is named here is read by `nanobragg_torch.io.load.loaded`, which puts what it holds beside its name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from nanobragg_torch.quirks import Quirks

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Number: TypeAlias = "float | Tensor"
Vector: TypeAlias = "tuple[Number, Number, Number] | Tensor"
SourceRow: TypeAlias = "tuple[Number | None, ...]"

CONVENTIONS = ("MOSFLM", "ADXV", "DENZO", "XDS", "DIALS", "CUSTOM")
PIVOTS = ("BEAM", "SAMPLE")
SHAPES = ("SQUARE", "ROUND", "GAUSS", "TOPHAT")


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")


@dataclass(frozen=True)
class Cell:
    """The unit cell.

    Attributes:
        a_angstrom: length of a in Angstrom.
        b_angstrom: length of b in Angstrom.
        c_angstrom: length of c in Angstrom.
        alpha_rad: angle between b and c in radians.
        beta_rad: angle between a and c in radians.
        gamma_rad: angle between a and b in radians.
    """

    a_angstrom: Number
    b_angstrom: Number
    c_angstrom: Number
    alpha_rad: Number
    beta_rad: Number
    gamma_rad: Number


@dataclass(frozen=True)
class Crystal:
    """The crystal: its cell or its MOSFLM matrix (or both, semantics 2.2), its size and its disorder.

    Attributes:
        cell: the unit cell; None where the matrix gives it.
        matrix: nine numbers, row by row; rows are lab x, y, z, columns a*, b*, c* times the wavelength.
        misset_rad: rotations (3,) about lab x, y, z, in radians, one after the other.
        misset_seed: asks for a random orientation instead.
        cells: numbers of cells (3,) along a, b, c.
        size_m: full widths (3,) along a, b, c in metres, which overrule `cells` where above 0.
        shape: SQUARE, ROUND, GAUSS or TOPHAT: the form of a spot.
        fudge: scales the width of ROUND, GAUSS and TOPHAT spots.
        mosaic_spread_rad: the largest rotation of a mosaic domain, in radians.
        mosaic_domains: how many domains are summed.
        mosaic_seed: of the domains' random rotations.
    """

    cell: Cell | None = None
    matrix: tuple[Number, ...] | None = None
    misset_rad: Vector | None = None
    misset_seed: int | None = None
    cells: Vector = (1.0, 1.0, 1.0)
    size_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shape: str = "SQUARE"
    fudge: Number = 1.0
    mosaic_spread_rad: Number = 0.0
    mosaic_domains: int = 1
    mosaic_seed: int = -12345678

    def __post_init__(self) -> None:
        if self.cell is None and self.matrix is None:
            raise ValueError("expected a cell or a matrix, got neither")
        _one_of("shape", self.shape, SHAPES)
        _at_least_one("mosaic_domains", self.mosaic_domains)


@dataclass(frozen=True)
class Scan:
    """The spindle: steps at start + step * t, which are left edges and not mid-points.

    Attributes:
        phi_start_rad: the spindle's angle at the first step, in radians.
        phi_step_rad: from one step to the next, in radians.
        phi_steps: how many steps are summed.
        osc_rad: what a header calls the range, in radians; it changes no pixel.
    """

    phi_start_rad: Number = 0.0
    phi_step_rad: Number = 0.0
    phi_steps: int = 1
    osc_rad: float = 0.0

    def __post_init__(self) -> None:
        _at_least_one("phi_steps", self.phi_steps)


@dataclass(frozen=True)
class Spread:
    """Samples of an interval of directions or wavelengths.

    Attributes:
        width: of the interval; radians for a divergence, a fraction of the wavelength for the dispersion.
        step: from one sample to the next, in the same unit.
        count: how many samples there are.
    """

    width: Number = 0.0
    step: Number = 0.0
    count: int = 1


@dataclass(frozen=True)
class Beam:
    """The beam before the sample.

    Attributes:
        wavelength_m: the wavelength in metres; the middle of a dispersion.
        fluence_per_m2: photons a square metre.
        kahn: the polarization factor K of Kahn et al.
        polarized: False leaves the polarization factor out (-nopolar).
        horizontal: the horizontal divergence, in radians.
        vertical: the vertical divergence, in radians.
        dispersion: the spread of wavelengths, as a fraction of the wavelength.
        round_divergence: keeps the directions of an ellipse only.
        source_file: positions and wavelengths of sources, instead of divergence and dispersion.
        sources: what that file holds: of each source x, y, z, weight and wavelength in metres, None for what its
            line lacks.
    """

    wavelength_m: Number = 1.0e-10
    fluence_per_m2: Number = 125932015286227086360700780544.0
    kahn: Number = 0.0
    polarized: bool = True
    horizontal: Spread = Spread()
    vertical: Spread = Spread()
    dispersion: Spread = Spread()
    round_divergence: bool = True
    source_file: Path | None = None
    sources: tuple[SourceRow, ...] | None = None


@dataclass(frozen=True)
class Sensor:
    """Layers of the sensitive volume, thickness / parts apart.

    Attributes:
        thickness_m: of the sensor, in metres; 0 is no sensor.
        layers: how many layers are summed.
        mu_per_m: attenuation coefficient in 1/m.
        parts: as many as there are layers where None; the command line has one fewer, or 2 (semantics D8, Q14).
    """

    thickness_m: Number = 0.0
    layers: int = 1
    mu_per_m: Number = 0.0
    parts: int | None = None

    def __post_init__(self) -> None:
        _at_least_one("layers", self.layers)
        if self.parts is not None:
            _at_least_one("parts", self.parts)

    @property
    def step_m(self) -> Number:
        """From one layer to the next."""
        return self.thickness_m / (self.layers if self.parts is None else self.parts)

    @property
    def present(self) -> bool:
        """Whether there is a sensor; without one nothing is lost in it."""
        return self.layers > 1 or bool(self.thickness_m != 0)


@dataclass(frozen=True)
class Roi:
    """Rendered pixels: bounds that are rendered, too.

    Attributes:
        fast_min: the first pixel along fast.
        fast_max: the last pixel along fast.
        slow_min: the first pixel along slow.
        slow_max: the last pixel along slow.
    """

    fast_min: int
    fast_max: int
    slow_min: int
    slow_max: int


@dataclass(frozen=True)
class Detector:
    """The detector as the flags describe it; None is "not given" (semantics 4.1 has the defaults).

    Attributes:
        convention: MOSFLM, ADXV, DENZO, XDS, DIALS or CUSTOM: how its frame lies and where its centre counts from.
        pivot: BEAM or SAMPLE: which point stays in place when the detector is turned.
        pixels_fast: pixels along fast.
        pixels_slow: pixels along slow.
        pixel_m: edge of a pixel in metres.
        size_fast_m: width along fast in metres.
        size_slow_m: width along slow in metres.
        distance_m: from the sample to the detector along the beam, in metres.
        close_distance_m: from the sample to the detector's plane, in metres; it overrules distance_m.
        x_beam_m: X of the beam centre in metres, in the convention's own axes.
        y_beam_m: Y of the beam centre in metres, in the convention's own axes.
        x_close_m: X of the point nearest to the sample in metres, in the convention's own axes.
        y_close_m: Y of that point.
        orgx_pixels: the nearest point along fast, XDS style: in pixels, the first one's centre being 1.
        orgy_pixels: the nearest point along slow, likewise.
        beam_vector: direction (3,) of the beam; it and the vectors below count in CUSTOM only (Q54).
        fdet_vector: direction (3,) of the fast axis.
        sdet_vector: direction (3,) of the slow axis.
        odet_vector: normal (3,) of the detector, which counts where its length is exactly 1 (Q03).
        polar_vector: direction (3,) of the polarization.
        spindle_axis: direction (3,) of the spindle.
        twotheta_axis: direction (3,) of the axis that twotheta_rad turns about.
        pix0_vector_m: origin (3,) of the detector in metres, which counts when Q02 is off.
        rotx_rad: tilt about lab x in radians.
        roty_rad: tilt about lab y in radians.
        rotz_rad: tilt about lab z in radians.
        twotheta_rad: swing about the twotheta axis in radians.
        curved: pixels lie on a sphere about the sample.
        point_pixel: the solid angle of a pixel without its obliquity.
        sensor: the layers of the sensitive volume.
        roi: rendered pixels; None is all.
        mask_file: SMV image of the detector's size; pixels that are 0 in it are not rendered.
        mask: what that file holds (slow, fast), True for a pixel that is rendered.
    """

    convention: str = "MOSFLM"
    pivot: str = "BEAM"
    pixels_fast: int = 1024
    pixels_slow: int = 1024
    pixel_m: Number = 1.0e-4
    size_fast_m: Number = 0.1024
    size_slow_m: Number = 0.1024
    distance_m: Number = 0.1
    close_distance_m: Number | None = None
    x_beam_m: Number | None = None
    y_beam_m: Number | None = None
    x_close_m: Number | None = None
    y_close_m: Number | None = None
    orgx_pixels: Number | None = None
    orgy_pixels: Number | None = None
    beam_vector: Vector | None = None
    fdet_vector: Vector | None = None
    sdet_vector: Vector | None = None
    odet_vector: Vector | None = None
    polar_vector: Vector | None = None
    spindle_axis: Vector | None = None
    twotheta_axis: Vector | None = None
    pix0_vector_m: Vector | None = None
    rotx_rad: Number = 0.0
    roty_rad: Number = 0.0
    rotz_rad: Number = 0.0
    twotheta_rad: Number = 0.0
    curved: bool = False
    point_pixel: bool = False
    sensor: Sensor = Sensor()
    roi: Roi | None = None
    mask_file: Path | None = None
    mask: np.ndarray | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _one_of("convention", self.convention, CONVENTIONS)
        _one_of("pivot", self.pivot, PIVOTS)
        _at_least_one("pixels_fast", self.pixels_fast)
        _at_least_one("pixels_slow", self.pixels_slow)
        if self.mask is not None and self.mask.shape != (self.pixels_slow, self.pixels_fast):
            raise ValueError(f"mask: expected {self.pixels_slow} x {self.pixels_fast} pixels, got {self.mask.shape}")

    @property
    def rendered(self) -> Roi:
        """The region of interest, clipped to the detector; empty where max is below min."""
        whole = Roi(0, self.pixels_fast - 1, 0, self.pixels_slow - 1)
        roi = self.roi or whole
        return Roi(
            max(roi.fast_min, 0),
            min(roi.fast_max, whole.fast_max),
            max(roi.slow_min, 0),
            min(roi.slow_max, whole.slow_max),
        )


@dataclass(frozen=True, eq=False)
class Reflections:
    """Structure factors by Miller index.

    Attributes:
        hkl: indices (n, 3), integers; None where F is of every index of the box.
        F: structure factors (n,) in electrons, one for each row of hkl, of which the last one counts where an index
            comes twice; or of the box with one plane of padding behind each axis, (Rh+1, Rk+1, Rl+1). A tensor of
            which a gradient is asked is welcome.
        lowest: the lowest h, k, l of the box.
        counts: how many indices the box has along h, k, l.
        warning: a line for a person about what the reader lost (Q10, Q11, Q22), else empty.
    """

    hkl: np.ndarray | None
    F: np.ndarray | Tensor
    lowest: tuple[int, int, int]
    counts: tuple[int, int, int]
    warning: str = ""

    @property
    def count(self) -> int:
        """Reflections that are listed, or all of the box."""
        return math.prod(self.counts) if self.hkl is None else len(self.F)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the box with its padding."""
        h, k, l = self.counts  # noqa: E741 -- a Miller index
        return h + 1, k + 1, l + 1


@dataclass(frozen=True)
class StructureFactors:
    """Where F comes from: a reflection list or the dump of one, and a value for what it does not list.

    Attributes:
        hkl_file: the reflection list, lines of h k l F.
        default_F: F in electrons of what is not listed.
        interpolate: tricubic; None: where a crystal has no more than 2 cells along an axis (Q51).
        dump_file: the dump of an earlier run's grid, which counts without hkl_file.
        reflections: what the file holds.
    """

    hkl_file: Path | None = None
    default_F: Number = 0.0
    interpolate: bool | None = False
    dump_file: Path | None = None
    reflections: Reflections | None = None


@dataclass(frozen=True)
class Sampling:
    """Sub-pixels, and what is evaluated in each of them.

    Attributes:
        oversample: sub-pixels per pixel edge; 0 is as many as the spots need.
        thick: the sensor's capture fraction of each sub-pixel.
        polar: the polarization factor of each sub-pixel.
        omega: the solid angle of each sub-pixel.
    """

    oversample: int = 0
    thick: bool = False
    polar: bool = False
    omega: bool = False


@dataclass(frozen=True)
class Output:
    """What the command line asks to be written, printed and traced; `simulate` looks at none of it.

    Attributes:
        float_file: the float image.
        trace_pixel: (slow, fast) of the pixel that is traced.
        int_file: the integer image, SMV.
        pgm_file: the PGM image; None where it is switched off.
        noise_file: the noise image, SMV; None where it is switched off.
        scale: of the integer image; 0 chooses one.
        pgm_scale: of the PGM image; 0 chooses one.
        adc: the offset of integer and noise image.
        seed: of the noise; the generator starts afresh where it is not above 0.
        dump_file: where the grid of a reflection list is written.
        printout: what pixels are made of is printed, of all or of printout_pixel.
        printout_pixel: (slow, fast) of the pixel that is printed alone.
        progress: a bar for who looks.
        show_config: the Config is printed.
    """

    float_file: Path = Path("floatimage.bin")
    trace_pixel: tuple[int, int] | None = None
    int_file: Path = Path("intimage.img")
    pgm_file: Path | None = Path("image.pgm")
    noise_file: Path | None = Path("noiseimage.img")
    scale: float = 0.0
    pgm_scale: float = 0.0
    adc: float = 40.0
    seed: int = -1
    dump_file: Path = Path("Fdump.bin")
    printout: bool = False
    printout_pixel: tuple[int, int] | None = None
    progress: bool = True
    show_config: bool = False


@dataclass(frozen=True)
class Config:
    """One simulation.

    Attributes:
        crystal: its cell, orientation, size and disorder.
        detector: where the pixels are, and which of them are rendered.
        beam: wavelength, fluence, polarization, sources.
        scan: the spindle.
        structure: structure factors.
        sampling: sub-pixels.
        quirks: which defects of the reference are copied.
        water_m: edge in metres of a cube of water in the beam, which scatters a flat background.
        dmin_m: resolution in metres beyond which nothing scatters; 0 is no limit.
        output: what the command line writes and prints.
        warnings: single lines for a person, gathered while flags and files were read.
        inputs: (flag, file) of each file that is read.
    """

    crystal: Crystal
    detector: Detector = Detector()
    beam: Beam = Beam()
    scan: Scan = Scan()
    structure: StructureFactors = StructureFactors()
    sampling: Sampling = Sampling()
    quirks: Quirks = field(default_factory=Quirks)
    water_m: Number = 0.0
    dmin_m: float = 0.0
    output: Output = Output()
    warnings: tuple[str, ...] = field(default=())
    inputs: tuple[tuple[str, Path], ...] = field(default=())
