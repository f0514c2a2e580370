"""The beam: its sources, its polarization, and the background that water scatters of it (semantics 5, 6.8)."""

import math

from nanobragg_torch.config import Config
from tools.scaling.oracle.arithmetic import quotient
from tools.scaling.oracle.geometry import Mount
from tools.scaling.oracle.vectors import V, cross, dot, over, rot, scale, unit

R_E_SQR = 7.94079248018965e-30
AVOGADRO = 6.02214179e23

Source = tuple[V, float, float]  # direction of flight, wavelength in metres, weight


def sources_of(config: Config, mount: Mount) -> list[Source]:
    """Horizontal divergence outermost, then vertical, wavelength innermost; or those of a file."""
    beam = config.beam
    if beam.sources is not None:
        return _listed(config, mount)
    wavelength, vert = float(beam.wavelength_m), unit(cross(mount.beam, mount.polar))
    h, v, w = ((float(x.width), float(x.step), x.count) for x in (beam.horizontal, beam.vertical, beam.dispersion))
    lines = [wavelength * (1.0 + w[1] * k - w[0] / 2.0) for k in range(w[2])]
    found: list[Source] = []
    for i in range(h[2]):
        for j in range(v[2]):
            hdiv, vdiv = h[1] * i - h[0] / 2.0, v[1] * j - v[0] / 2.0
            if beam.round_divergence and (_outside(hdiv, *h) + _outside(vdiv, *v)) * 4.0 > 1.1:
                continue
            p = rot(rot(scale(-10.0, mount.beam), mount.polar, vdiv), vert, hdiv)
            # a beam that is taken as typed keeps its length
            along = over(p, 10.0) if "beam" in config.quirks.as_given else unit(p)
            found += [(scale(-1.0, along), line, 1.0) for line in lines]
    return found


def _outside(angle: float, width: float, step: float, count: int) -> float:
    even = 0.0 if count % 2 else 1.0
    return quotient(quotient(angle * angle - step * step / 4.0 * even, width), width)


def _listed(config: Config, mount: Mount) -> list[Source]:
    """What a row lacks is the beam's; a weight counts without Q13 only."""
    upstream, weighted = scale(-10.0, mount.beam), not config.quirks.on("Q13")
    found: list[Source] = []
    for *position, weight, length in config.beam.sources or ():
        x, y, z = (up if given is None else float(given) for given, up in zip(position, upstream))
        line = float(config.beam.wavelength_m) if length is None else float(length)
        counts = float(weight) if weighted and weight is not None else 1.0
        found.append((scale(-1.0, unit((x, y, z))), line, counts))
    return found


def polarization(incident: V, diffracted: V, axis: V, kahn: float) -> float:
    """Kahn's factor of unit vectors (5.3)."""
    cosine = dot(incident, diffracted)
    c2 = cosine * cosine
    psi = 0.0
    if kahn != 0.0:
        b = unit(cross(axis, incident))
        e = unit(cross(incident, b))
        psi = -math.atan2(dot(diffracted, b), dot(diffracted, e))
    return 0.5 * (1.0 + c2 - kahn * math.cos(2.0 * psi) * (1.0 - c2))


def background(config: Config) -> float:
    """I_bg (6.8)."""
    w = float(config.water_m)
    return 2.57 * 2.57 * R_E_SQR * float(config.beam.fluence_per_m2) * w * w * w * 1e6 * AVOGADRO / 18.0


def water_term(config: Config) -> float:
    """2.57^2 for each molecule of the water: what each term has of it without Q26."""
    w = float(config.water_m)
    return 2.57 * 2.57 * w * w * w * 1e6 * AVOGADRO / 18.0
