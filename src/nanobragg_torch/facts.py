"""The lines that the reference prints about a run: convention, beam centres, samples, statistics."""

from __future__ import annotations

from torch import Tensor

from nanobragg_torch.detector import final_centre
from nanobragg_torch.experiment import Experiment
from nanobragg_torch.sampling import RTD
from nanobragg_torch.statistics import Statistics

_PIVOTS = {"BEAM": "pivoting detector around direct beam spot", "SAMPLE": "pivoting detector around sample"}


def fact_lines(exp: Experiment, measured: Statistics) -> list[str]:
    """In the reference's words and digits (%g), metres and degrees."""
    detector, crystal, geometry = exp.config.detector, exp.config.crystal, exp.geometry
    given, final = geometry.centre, final_centre(geometry)
    return [
        f"{detector.convention.lower()} convention selected.",
        _PIVOTS[detector.pivot],
        f"  created a total of {exp.n_sources} sources:",
        f"  created a total of {crystal.mosaic_domains} mosaic domains",
        f"  incident fluence: {_shown(exp.fluence)} photons/m^2",
        f"  Xbeam={_shown(given.x_beam)} Ybeam={_shown(given.y_beam)}",
        f"  Fbeam={_shown(final.fast_beam)} Sbeam={_shown(final.slow_beam)}",
        f"  Xclose={_shown(given.x_close)} Yclose={_shown(given.y_close)}",
        f"  Fclose={_shown(final.fast_close)} Sclose={_shown(final.slow_close)}",
        f"  DIRECTION_OF_DETECTOR_X-AXIS= {_shown(geometry.fdet)}",
        f"  DIRECTION_OF_DETECTOR_Y-AXIS= {_shown(geometry.sdet)}",
        f"  DIRECTION_OF_DETECTOR_Z-AXIS= {_shown(geometry.odet)}",
        f"  {crystal.mosaic_domains} mosaic domains over mosaic spread of "
        f"{float(crystal.mosaic_spread_rad) * RTD:g} degrees",
        f"solid angle subtended by detector = {measured.solid_angle_sr:g} steradian "
        f"( {measured.percent_of_sphere:g}% sphere)",
        f"max_I = {measured.max_I:g}  at {measured.max_fast_m:g} {measured.max_slow_m:g}",
        f"mean= {measured.mean:g} rms= {measured.rms:g} rmsd= {measured.rmsd:g}",
    ]


def _shown(quantity: Tensor) -> str:
    return " ".join(f"{value:g}" for value in quantity.flatten().tolist())
