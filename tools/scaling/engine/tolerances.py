"""The one table of tolerances: what may differ and still counts as rounding, in traces, images and the matrix.

All are relative where nothing else is said. It needs no torch.
"""

from types import MappingProxyType

# The gate: the nine factors of a trace; of an image each pixel, its correlation and the ratios of its sum and peak.
DEFAULT_TOLERANCE = 1e-6
MINOR_BELOW = 1e-4
DIVERGENT_BELOW = 1e-2

# Every other traced number, by the precision of the arithmetic: a component's deviation against its vector's length.
# Traces carry 15 digits (5e-15); `conditioning` widens what amplifies rounding.
UPSTREAM_TOLERANCE = MappingProxyType({"float64": 1e-12, "float32": 1e-5})
UNIT_ROUNDOFF = MappingProxyType({"float64": 2.0**-53, "float32": 2.0**-24})
LARGEST_STEP = MappingProxyType({name: 2.0 * roundoff for name, roundoff in UNIT_ROUNDOFF.items()})  # of normal numbers
LEAST_SUM = 1e-30  # float32 loses sums of squares below this: the squares are below 2^-126

LEAST_NORMAL = MappingProxyType({"float64": 2.0**-1022, "float32": 2.0**-126})

# Steps of a pixel that are rounding, whatever they are relatively; of counts none.
FREE_STEPS = MappingProxyType({"float32": 2, "float64": 2})

# Roundings one after the other on the way to a Miller index, of two programs that order their operations alike or not.
SAME_ORDER_ROUNDINGS = 1  # functions such as sine are what is left
ROUNDINGS = 8
EDGE_ROUNDINGS = 15  # position 3, length and direction 3, q 2, cell vectors 4, a . q 3

# What a case of the matrix may hold, as shares.
BOUNDED_SHARE = 0.01  # of its numbers: need the conditioning bound
UNEQUAL_SHARE = 0.001  # of an image's pixels: differ in their bits
