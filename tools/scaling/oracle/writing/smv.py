"""The header of integer and noise image once more (semantics 4.4, 7.2)."""

from tools.scaling.oracle.image import Oracle
from tools.scaling.oracle.vectors import add, dot, scale

_RTD = 180.0 * 0.318309886183790671538


def smv_header(oracle: Oracle) -> bytes:
    """Return what stands before the pixels: 512 bytes, or more where the text is longer."""
    config, detector, mount = oracle.config, oracle.config.detector, oracle.setup.mount
    pixel, x, y, z = mount.pixel, *mount.pix0
    beam = add(scale(mount.distance, mount.beam), scale(-1.0, mount.pix0))
    f_beam, s_beam = dot(mount.fdet, beam), dot(mount.sdet, beam)
    f_close, s_close = mount.near_point()
    start, osc = float(config.scan.phi_start_rad) * _RTD, float(config.scan.osc_rad) * _RTD
    lines = [
        "HEADER_BYTES=512;",
        "DIM=2;",
        "BYTE_ORDER=little_endian;",
        "TYPE=unsigned_short;",
        f"SIZE1={detector.pixels_fast};",
        f"SIZE2={detector.pixels_slow};",
        f"PIXEL_SIZE={pixel * 1000:g};",
        f"DISTANCE={mount.distance * 1000:g};",
        f"WAVELENGTH={float(config.beam.wavelength_m) * 1e10:g};",
        f"BEAM_CENTER_X={mount.xbeam * 1000:g};",
        f"BEAM_CENTER_Y={mount.ybeam * 1000:g};",
        f"ADXV_CENTER_X={f_beam * 1000:g};",
        f"ADXV_CENTER_Y={(float(detector.size_slow_m) - s_beam) * 1000:g};",
        f"MOSFLM_CENTER_X={(s_beam - 0.5 * pixel) * 1000:g};",
        f"MOSFLM_CENTER_Y={(f_beam - 0.5 * pixel) * 1000:g};",
        f"DENZO_X_BEAM={s_beam * 1000:g};",
        f"DENZO_Y_BEAM={f_beam * 1000:g};",
        f"DIALS_ORIGIN={1000 * z + 0.0:g},{1000 * y + 0.0:g},{0.0 - 1000 * x:g}",
        f"XDS_ORGX={f_close / pixel + 0.5:g};",
        f"XDS_ORGY={s_close / pixel + 0.5:g};",
        f"CLOSE_DISTANCE={mount.close * 1000:g};",
        f"PHI={start:g};",
        f"OSC_START={start:g};",
        f"OSC_RANGE={osc:g};",
        f"TWOTHETA={float(detector.twotheta_rad) * _RTD:g};",
        "DETECTOR_SN=000;",
        "BEAMLINE=fake;",
    ]
    text = "{\n" + "".join(line + "\n" for line in lines) + "}\f"
    return text.encode("ascii").ljust(512)
