"""The kinds of work that are measured: each feature of an image once, on a detector of 512 x 512 pixels."""

from tools.scaling.studies.bench.canonical import canonical_flags

BASE = (
    "-cell 70 80 90 90 90 90 -misset 10 20 30 -default_F 100 -lambda 1 -distance 150 -detpixels 512 -pixel 0.2 -N 20 "
    "-nonoise -nopgm"
)
PHI = "-phisteps 10 -osc 1 -phi 5 -oversample 1"
CANONICAL = "canonical whole detector"
# What is measured, and its flags behind those of BASE.
FEATURES = {
    "10 phi steps": PHI,
    "50 mosaic domains": "-mosaic 0.5 -mosaic_dom 50 -oversample 1",
    "39 sources": "-hdivrange 1 -vdivrange 1 -hdivsteps 5 -vdivsteps 5 -dispersion 1 -dispsteps 3 -oversample 1",
    "5 x 5 sub-pixels": "-oversample 5",
    "5 x 5 sub-pixels, 5 layers, all factors each": "-oversample 5 -oversample_thick -oversample_polar "
    "-oversample_omega -detector_thick 450 -detector_abs 250 -thicksteps 5",
    "10 phi steps, round": f"{PHI} -round_xtal",
    "10 phi steps, gauss": f"{PHI} -gauss_xtal",
    "10 phi steps, tophat": f"{PHI} -tophat_spots",
    "5 phi steps, tricubic": "-phisteps 5 -osc 1 -phi 5 -interpolate -hkl synthetic.hkl -oversample 1",
    "10 phi steps, dmin": f"{PHI} -dmin 2.0",
    "10 phi steps, water": f"{PHI} -water 10",
    "10 phi steps, curved detector": f"{PHI} -curved_det",
}
# A noise image of uniform counts: water, of a flux that makes the mean 0.2 and 2,000 of them.
WATER = (
    "-cell 70 80 90 90 90 90 -default_F 1e-9 -lambda 1 -distance 150 -detpixels 2048 -pixel 0.05 -N 1 -water 100 "
    "-exposure 1 -beamsize 1 -oversample 1 -nopgm -seed 1"
)
NOISES = {"few counts": f"{WATER} -flux 3.86e17", "many counts": f"{WATER} -flux 3.86e19"}


def works() -> dict[str, list[str]]:
    """Return the flags of every row of the table: the canonical command, then each feature."""
    return {CANONICAL: canonical_flags()} | {name: [*BASE.split(), *more.split()] for name, more in FEATURES.items()}
