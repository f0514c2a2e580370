"""What the compiled sum is told, and where it keeps what belongs to a chunk of pixels."""

from __future__ import annotations

import numpy as np

CHUNK, LANES = 384, 8  # pixels; numbers of the widest vector
FINAL, RUNNING, TERM = 0, 1, 2  # when a factor is applied
SQUARE, ROUND, GAUSS, GAUSS_Q24, TOPHAT, TOPHAT_Q24 = 0, 1, 2, 3, 4, 5
FLAT, CURVED, WRAPPED = 0, 1, 2
OBLIQUE, POINT, FACING = 0, 1, 2  # solid angles
NEVER, INSIDE, UNTIL = 0, 1, 2  # tricubic interpolation

# Columns of a source: its incident direction and wavelength, its weight; that direction unitised, and the two of its
# polarization.
INCIDENT, WAVELENGTH, WEIGHT, UNIT, ACROSS, ALONG = 0, 3, 4, 5, 8, 11

# Rows of all pixels of a chunk: the scattering vector (1/m), the diffracted direction, what is known of a pixel.
SX, SY, SZ, DX, DY, DZ, TOTAL, POLAR = range(0, 8 * CHUNK, CHUNK)
CACHED, ALIVE, OMEGA, CAPTURE, FAST, SLOW, STEADY, UNTIL_TERM, ANGLES = range(8 * CHUNK, 17 * CHUNK, CHUNK)
# Rows of those pixels of it whose terms are summed together: their scattering vector, sum and term.
QX, QY, QZ, SUM, H, K, L, PLACE = range(17 * CHUNK, 25 * CHUNK, CHUNK)
F, LATTICE, ADDED, RADIUS = range(25 * CHUNK, 29 * CHUNK, CHUNK)
ROWS = 29


# What no pixel, source or orientation changes: lengths in metres, angles in radians, choices as numbered above.
# reach: the largest difference of any orientation from the one in the middle, with room for rounding.
# alike: terms differ by nothing but their reflection. lowest, counts, strides: the box of the listed F, in C order.
# scale: r_e^2 times the fluence. tricubic_end: terms, in scan order, before interpolation ends.
PARAMETERS = np.dtype(
    [
        ("fdet", "f8", 3),
        ("sdet", "f8", 3),
        ("odet", "f8", 3),
        ("pix0", "f8", 3),
        ("pixel", "f8"),
        ("oversample", "i8"),
        ("layers", "i8"),
        ("layer_step", "f8"),
        ("mu", "f8"),
        ("surface", "i8"),
        ("start", "f8", 3),
        ("radius", "f8"),
        ("hand", "f8"),
        ("fast_close", "f8"),
        ("slow_close", "f8"),
        ("close_distance", "f8"),
        ("solid", "i8"),
        ("kahn", "f8"),
        ("unpolarized", "?"),
        ("polarized", "?"),
        ("reunitised", "?"),
        ("dmin", "f8"),
        ("reach", "f8", (3, 3)),
        ("alike", "?"),
        ("cells", "f8", 3),
        ("shape", "i8"),
        ("reduced", "?"),
        ("fudge", "f8"),
        ("a_star", "f8", 3),
        ("b_star", "f8", 3),
        ("c_star", "f8", 3),
        ("lowest", "f8", 3),
        ("counts", "f8", 3),
        ("strides", "i8", 2),
        ("default_F", "f8"),
        ("tricubic", "i8"),
        ("tricubic_end", "i8"),
        ("terms", "i8"),
        ("slots", "i8"),
        ("background", "f8"),
        ("term", "f8"),
        ("dry", "?"),
        ("capture", "i8"),
        ("polar", "i8"),
        ("omega", "i8"),
        ("captured", "?"),
        ("scale", "f8"),
        ("steps", "f8"),
    ],
    align=True,
)
