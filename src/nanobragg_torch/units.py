"""Units of the reference's flags and headers, in those of a Config: metres and radians.

Each conversion is the reference's own operation: a product with the reciprocal would differ in the last bit.
"""

RTD = 180.0 * 0.318309886183790671538  # degrees per radian, as the reference rounds it
PER_ANGSTROM = 1e10  # Angstrom in a metre
EV_ANGSTROM = 12398.42  # photon energy (eV) times wavelength (A)


def radians(degrees: float) -> float:
    """Degrees to radians."""
    return degrees / RTD


def thousandth(value: float) -> float:
    """Millimetres to metres, milliradians to radians."""
    return value / 1000.0


def micron(value: float) -> float:
    """Micrometres to metres."""
    return value * 1e-6


def angstrom(value: float) -> float:
    """Angstrom to metres."""
    return value / PER_ANGSTROM


def energy(ev: float) -> float:
    """Photon energy in eV to wavelength in metres."""
    return (EV_ANGSTROM / ev) / PER_ANGSTROM
