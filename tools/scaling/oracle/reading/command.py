"""What the reference's command line means, computed a second time, from the specification alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from nanobragg_torch.config import (
    Beam,
    Cell,
    Config,
    Crystal,
    Detector,
    Output,
    Sampling,
    StructureFactors,
)
from nanobragg_torch.quirks import Quirks
from tools.scaling.oracle.reading import derived
from tools.scaling.oracle.reading.files import read_dump, read_matrix, read_reflections, read_sources
from tools.scaling.oracle.reading.headers import read_header, read_mask
from tools.scaling.oracle.reading.switches import own_words, switches
from tools.scaling.oracle.reading.variables import RTD, Variables
from tools.scaling.oracle.reading.words import headers_named, read_words
from tools.scaling.oracle.uncovered import Uncovered


def read_command(argv: Sequence[str], folder: Path) -> Config:
    """Return the simulation that a command line asks for, with the contents of the files that it names.

    Args:
        argv: the words of the port's command line: the reference's flags, --mode, --quirk, --phi-mode, --vectors and
            --fdump.
        folder: where the files are, Fdump.bin among them (Q57).

    Raises:
        Uncovered: for what this does not read.
        OSError: for a file that is not there.
    """
    own, words = own_words(argv)
    quirks = switches(own, folder)
    given = Variables()
    mask, image = headers_named(words)
    if mask is not None:
        read_header(folder / mask, quirks, given, mask=True)
    if image is not None:
        read_header(folder / image, quirks, given, mask=False)
    read_words(words, quirks, given)
    for flag, value in own:
        if flag == "--fdump":
            given.fdump = value
    return _config(given, quirks, folder, mask)


def _config(of: Variables, quirks: Quirks, folder: Path, mask: str | None) -> Config:
    return Config(
        crystal=_crystal(of, quirks, folder),
        detector=_detector(of, quirks, None if mask is None else folder / mask),
        beam=_beam(of, quirks, None if of.sourcefile is None else folder / of.sourcefile),
        scan=derived.scan(of, quirks),
        structure=_structure(of, quirks, folder),
        sampling=_sampling(of, quirks),
        quirks=quirks,
        water_m=of.water,
        dmin_m=of.dmin,
        output=_output(of, quirks, _cache(of, folder)),
    )


def _crystal(of: Variables, quirks: Quirks, folder: Path) -> Crystal:
    if of.cell[0] == 0.0 and (of.mat is None or of.user_cell):
        raise Uncovered("a cell without a: the program prints its usage page or, with a matrix, NaN")
    spread, domains = derived.mosaic(of)
    return Crystal(
        cell=_cell(of.cell) if of.user_cell else None,
        matrix=None if of.mat is None else read_matrix(folder / of.mat),
        misset_rad=of.misset_angles if of.misset == "explicit" else None,
        misset_seed=_misset_seed(of, quirks) if of.misset == "random" else None,
        cells=(of.Na, of.Nb, of.Nc),
        size_m=derived.size(of, quirks),
        shape=of.shape,
        fudge=of.fudge,
        mosaic_spread_rad=spread,
        mosaic_domains=domains,
        mosaic_seed=_restarting(of.mosaic_seed, quirks),
    )


def _cell(given: list[float]) -> Cell:
    """Semantics 2.2: what is missing."""
    a = given[0]
    lengths = [length if length > 0.0 else a for length in given[1:3]]
    angles = [angle if angle > 0.0 else 90.0 / RTD for angle in given[3:]]
    return Cell(a, *lengths, *angles)


def _restarting(seed: int, quirks: Quirks) -> int:
    """Without Q55 a seed above 0, which does not start the generator afresh, is turned around."""
    return seed if quirks.on("Q55") else -abs(seed)


def _misset_seed(of: Variables, quirks: Quirks) -> int:
    seed = of.misset_seed
    if quirks.on("Q63") or (seed is None and not quirks.on("Q20")):
        seed = of.seed
    if seed is None:
        raise Uncovered("a random misset whose seed is the clock")
    return _restarting(seed, quirks)


def _convention(of: Variables, quirks: Quirks) -> tuple[str, str]:
    """Return the convention and the pivot (4.1): only CUSTOM keeps the pivot of the flags (Q06)."""
    convention = of.convention if quirks.on("Q54") else of.named
    if convention == "CUSTOM":
        return convention, of.pivot
    if of.pivot_asked is not None and not quirks.on("Q06"):
        return convention, of.pivot_asked
    return convention, "SAMPLE" if convention in ("XDS", "DIALS") else "BEAM"


def _distance_wins(of: Variables, quirks: Quirks) -> bool:
    """Without Q07 a -distance wins over the CLOSE_DISTANCE of a header."""
    return not quirks.on("Q07") and "distance" in of.typed and "close_distance" not in of.typed


def _centre_wins(of: Variables, quirks: Quirks, axis: str) -> bool:
    """Without Q05 a centre that is typed wins over the ORGX or ORGY of a header."""
    typed = not of.typed.isdisjoint((f"{axis}beam", f"{axis}close"))
    return not quirks.on("Q05") and typed and f"ORG{axis}" not in of.typed


def _detector(of: Variables, quirks: Quirks, mask: Path | None) -> Detector:
    convention, pivot = _convention(of, quirks)
    fast, slow, size_fast, size_slow = derived.pixels(of)
    return Detector(
        convention=convention,
        pivot=pivot,
        pixels_fast=fast,
        pixels_slow=slow,
        pixel_m=of.pixel,
        size_fast_m=size_fast,
        size_slow_m=size_slow,
        distance_m=of.distance,
        close_distance_m=None if _distance_wins(of, quirks) else of.close_distance,
        x_beam_m=of.Xbeam,
        y_beam_m=of.Ybeam,
        x_close_m=of.Xclose,
        y_close_m=of.Yclose,
        orgx_pixels=None if _centre_wins(of, quirks, "X") else of.ORGX,
        orgy_pixels=None if _centre_wins(of, quirks, "Y") else of.ORGY,
        beam_vector=_vector(of.beam_vector),
        fdet_vector=_vector(of.fdet_vector),
        sdet_vector=_vector(of.sdet_vector),
        odet_vector=_vector(of.odet_vector),
        polar_vector=_vector(of.polar_vector),
        spindle_axis=_vector(of.spindle_axis),
        twotheta_axis=_vector(of.twotheta_axis),
        pix0_vector_m=_vector(of.pix0_vector),
        rotx_rad=of.rotx,
        roty_rad=of.roty,
        rotz_rad=of.rotz,
        twotheta_rad=of.twotheta,
        curved=of.curved,
        point_pixel=of.point_pixel,
        sensor=derived.sensor(of, quirks),
        roi=derived.roi(of, fast, slow),
        mask_file=mask,
        mask=None if mask is None else read_mask(mask, slow, fast),
    )


def _vector(given: tuple[float, ...] | None) -> tuple[float, float, float] | None:
    return None if given is None else (given[0], given[1], given[2])


def _beam(of: Variables, quirks: Quirks, sources: Path | None) -> Beam:
    return Beam(
        wavelength_m=of.lambda0,
        fluence_per_m2=derived.fluence(of),
        kahn=of.kahn,
        polarized=not of.nopolar,
        horizontal=derived.divergence(of.hdivsteps, of.hdivrange, of.hdivstep, quirks),
        vertical=derived.divergence(of.vdivsteps, of.vdivrange, of.vdivstep, quirks),
        dispersion=derived.dispersion(of, quirks),
        round_divergence=of.round_div,
        source_file=sources,
        sources=None if sources is None else read_sources(sources, quirks),
    )


def _structure(of: Variables, quirks: Quirks, folder: Path) -> StructureFactors:
    listed = None if of.hkl is None else folder / of.hkl
    dump = _dump(of, quirks, folder) if listed is None else None
    reflections = read_dump(dump, quirks) if dump else read_reflections(listed, quirks) if listed else None
    interpolate = False if reflections is None else _interpolate(of, quirks)
    return StructureFactors(listed, of.default_F, interpolate, dump, reflections)


def _interpolate(of: Variables, quirks: Quirks) -> bool | None:
    """Semantics 6.5: tricubic where a crystal has few cells, by the flags alone (without Q51: None, by the crystal)."""
    if of.interpolate != 2:
        return of.interpolate == 1
    return min(of.Na, of.Nb, of.Nc) <= 2.0 if quirks.on("Q51") else None


def _dump(of: Variables, quirks: Quirks, folder: Path) -> Path | None:
    """The dump that is read where there is no list: --fdump, that of -dump, or (Q57) a stray Fdump.bin."""
    if of.fdump is not None:
        return folder / of.fdump
    named = of.dump or ("Fdump.bin" if quirks.on("Q57") else None)
    return folder / named if named and (folder / named).is_file() else None


def _sampling(of: Variables, quirks: Quirks) -> Sampling:
    """Semantics 6.9; without Q28 a sensor that is not there, without Q23 -nopolar, leaves no factor to evaluate."""
    thick = of.oversample_thick and (quirks.on("Q28") or of.thick > 0.0)
    polar = of.oversample_polar and (quirks.on("Q23") or not of.nopolar)
    return Sampling(max(of.oversample, 0), thick, polar, of.oversample_omega)


def _cache(of: Variables, folder: Path) -> Path:
    """Where the grid of a list is written (Q61)."""
    named = of.dump or "Fdump.bin"
    return folder / named if of.dump and (folder / named).is_file() else Path(named)


def _output(of: Variables, quirks: Quirks, cache: Path) -> Output:
    seed = -int(time.time()) if of.seed is None else of.seed
    return Output(
        float_file=Path(of.floatfile),
        trace_pixel=_pair(of.trace_pixel),
        int_file=Path(of.intfile),
        pgm_file=Path(of.pgmfile) if of.pgm else None,
        noise_file=Path(of.noisefile) if of.noise else None,
        scale=of.scale,
        pgm_scale=of.pgmscale,
        adc=of.adc,
        seed=_restarting(seed, quirks),
        dump_file=cache,
        printout=of.printout,
        printout_pixel=_pair(of.printout_pixel[::-1] if of.printout_pixel and of.printout_pixel[0] >= 0 else None),
        progress=of.progress,
        show_config=of.show_config,
    )


def _pair(given: tuple[int, ...] | None) -> tuple[int, int] | None:
    return None if given is None else (given[0], given[1])
