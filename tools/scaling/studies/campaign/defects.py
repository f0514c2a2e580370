"""Mistakes that a porter makes, each a change of one place of the port's text: what is to be found and named."""

from dataclasses import dataclass
from pathlib import Path

PACKAGE = "src/nanobragg_torch"

# Quantities of a trace that one mistake moves together: whichever comes first names it.
_AXES = ("rot_a_star_A_inv", "rot_b_star_A_inv", "rot_c_star_A_inv", "rot_a_angstroms", "rot_b_angstroms",
         "rot_c_angstroms")  # fmt: skip
_TURNED = ("rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms", "hkl_frac", "PHI.k_frac")
_TILTED = ("ratio", "fdet_after_rotz", "sdet_after_rotz", "odet_after_rotz", "pix0_after_rotz")
_OMEGA = ("omega_pixel_sr", "omega_pixel")
_BEAMS = ("steps", "incident_vec", "lambda_meters", "I_before_scaling")
_SUM = ("F_latt", "I_before_scaling")  # of spots that are not SQUARE no lattice factor is traced
_FILES = {"int": "output.int_file", "pgm": "output.pgm_file", "noise": "output.noise_file", "dump": "output.dump_file"}


@dataclass(frozen=True)
class PlantedDefect:
    """One mistake. file: under PACKAGE. old: text that stands there once; new: what takes its place.

    right: names that tell where the mistake is, any of them: quantities of a trace, fields of the Config, which may go
    on behind a point or a bracket, or `kernel`.
    """

    name: str
    file: str
    old: str
    new: str
    right: tuple[str, ...]

    @property
    def room(self) -> str:
        """The part of the port that it is in."""
        return self.file.partition("/")[0].removesuffix(".py")

    def named_by(self, cause: str) -> bool:
        """Return whether `cause` is a right name."""
        return any(cause == name or cause.startswith((f"{name}.", f"{name}[")) for name in self.right)

    def planted(self, text: str) -> str:
        """Return the text of the file with the mistake in it. Raises ValueError unless `old` stands there once."""
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.name}: expected its text once in {self.file}, found it {text.count(self.old)} times"
            )
        return text.replace(self.old, self.new)

    def path(self, root: Path) -> Path:
        """The file under `root`, a folder that holds PACKAGE."""
        return root / PACKAGE / self.file


DEFECTS = tuple(
    PlantedDefect(*row)
    for row in (
        # what the command line means
        ("sensor thickness in mm", "units.py", "return value * 1e-6", "return value / 1000.0",
         ("detector.sensor.thickness_m",)),
        ("hc of another source", "units.py", "EV_ANGSTROM = 12398.42 ", "EV_ANGSTROM = 12398.4198 ",
         ("beam.wavelength_m",)),
        ("vertical divergence taken for horizontal", "flags/table.py", '"vertical divergence (mrad)", vdivrange,',
         '"vertical divergence (mrad)", hdivrange,', ("beam.horizontal", "beam.vertical")),
        ("-nopolar does not undo -polar", "flags/table.py", '"polarization, Kahn factor", kahn, default="0", '
         "sets={polarized: True})", '"polarization, Kahn factor", kahn, default="0")', ("beam.polarized",)),
        ("phi steps reach the end of the range", "flags/sampling.py",
         "        elif step < 0:\n            step = osc / steps",
         "        elif step < 0:\n            step = osc / max(steps - 1, 1)", ("scan.phi_step_rad",)),
        ("one step more within a range", "flags/sampling.py", "steps = math.ceil(width / step)",
         "steps = math.floor(width / step) + 1", ("beam.horizontal", "beam.vertical", "beam.dispersion")),
        ("layers within the sensor", "flags/sampling.py", "parts = layers - 1", "parts = layers",
         ("detector.sensor.parts",)),
        ("a part of a pixel counts", "flags/assemble.py", "math.ceil(size / pixel - 0.5)", "math.ceil(size / pixel)",
         ("detector.pixels_fast", "detector.pixels_slow")),
        ("flux of a round beam", "flags/assemble.py", "return flux * exposure / beam / beam",
         "return flux * exposure / (math.pi / 4 * beam * beam)", ("beam.fluence_per_m2",)),
        ("crystal clipped along b alone", "flags/assemble.py", "y, z = min(y, beam), min(z, beam)", "y = min(y, beam)",
         ("crystal.size_m",)),
        ("small crystals from 3 cells on", "flags/assemble.py", "min(given.Na, given.Nb, given.Nc) <= 2",
         "min(given.Na, given.Nb, given.Nc) < 2", ("structure.interpolate",)),
        ("negative seeds keep their sign", "flags/assemble.py", 'if given.on("Q55") else -abs(number)',
         'if given.on("Q55") else number', ("crystal.mosaic_seed", "crystal.misset_seed", "output.seed")),
        ("a mask's centre from the fast end", "flags/header.py", "given.detsize_s - given.y_beam",
         "given.detsize_f - given.y_beam", ("detector.y_beam_m",)),
        ("a header's centre taken for the near point", "flags/header.py", '("BEAM_CENTER_X", Given.x_beam, 1000.0)',
         '("BEAM_CENTER_X", Given.x_close, 1000.0)', ("detector.x_beam_m", "detector.x_close_m")),
        ("twotheta from another component", "flags/parse.py", "degrees = given.twotheta_axis[0]",
         "degrees = given.twotheta_axis[2]", ("detector.twotheta_rad",)),
        # records and switches
        ("region of interest cut by the other axis", "config.py", "min(roi.fast_max, whole.fast_max)",
         "min(roi.fast_max, whole.slow_max)", ("detector.roi", "detector.rendered", _FILES["int"])),
        ("step of the layers without parts", "config.py",
         "self.thickness_m / (self.layers if self.parts is None else self.parts)", "self.thickness_m / self.layers",
         ("capture_fraction", "pixel_pos_meters", "detector.sensor")),
        ("a program without one of its switches", "quirks.py", '"Q62": True, "Q63": True, "Q65": True}',
         '"Q62": True, "Q63": True}', ("quirks", "detector.pixels_fast", "detector.pixels_slow",
                                       "detector.size_fast_m", "detector.size_slow_m")),
        # files
        ("the last four columns of a list", "io/hkl.py", 'words = _words(line.partition("#")[0])[:4]',
         'words = _words(line.partition("#")[0])[-4:]', ("structure.reflections", "-hkl")),
        ("a colon does not delimit", "io/sources.py", '_DELIMITERS = " \\t,;:!"', '_DELIMITERS = " \\t,;"',
         ("beam.sources", "-sourcefile")),
        ("a mask turned about its diagonal", "io/smv.py", "fast * slow).reshape(slow, fast)",
         "fast * slow).reshape(fast, slow).T.copy().reshape(slow, fast)", ("detector.mask",)),
        ("the highest index of a dump", "io/fdump.py", "(low, low + count - 1)]", "(low, low + count)]",
         (_FILES["dump"],)),
        ("white space of a dump", "io/fdump.py", "skipped = _white_space(stream) if skip_white_space else 2",
         "skipped = 2", ("structure.reflections",)),
        # physics
        ("sources on the wrong side", "physics/beam.py", "upstream = -10.0 * beam", "upstream = 10.0 * beam",
         ("incident_vec", "scattering_vec_A_inv")),
        ("divergence turned in the other order", "physics/beam.py",
         "rotate_axis(rotate_axis(-10.0 * beam, polar, vdiv), vertical, hdiv)",
         "rotate_axis(rotate_axis(-10.0 * beam, vertical, hdiv), polar, vdiv)", _BEAMS),
        ("ellipse of another size", "physics/beam.py", "* 4.0 > 1.1", "* 4.0 > 1.0", _BEAMS),
        ("dispersion counted in steps", "physics/beam.py", "(1.0 + step * index - dispersion / 2.0)",
         "(1.0 + step * (index - dispersion / 2.0))", ("lambda_meters", "lambda_angstroms")),
        ("electron radius of another year", "physics/beam.py", "7.94079248018965e-30", "7.940787682e-30",
         ("r_e_sqr", "r_e_meters")),
        ("Avogadro's number of another year", "physics/beam.py", "6.02214179e23", "6.02214076e23",
         ("I_before_scaling", "water_m")),
        ("resolution without the half", "physics/beam.py", "dmin > 0.5 / stol", "dmin > 1.0 / stol",
         ("dmin_m", "I_before_scaling", "rot_a_angstroms", "rot_a_star_A_inv", "polar", "F_cell", "cos_2theta")),
        ("polarization turned by a right angle", "physics/corrections.py",
         "(d_along * d_along - d_across * d_across) / safe", "(d_across * d_across - d_along * d_along) / safe",
         ("polar",)),
        ("depth of the layer along the normal", "physics/corrections.py",
         "- torch.exp(-(layer + 1) * step * mu / cosine)", "- torch.exp(-(layer + 1) * step * mu * cosine)",
         ("capture_fraction",)),
        ("solid angle never negative", "physics/corrections.py", "/ distance * close_distance / distance",
         "/ distance * torch.abs(close_distance) / distance", _OMEGA),
        ("random misset turned back", "physics/crystal.py", "torch.atan2(-uzx, square_root(",
         "torch.atan2(uzx, square_root(", _AXES),
        ("first evaluation inherits", "physics/crystal.py", "    if not first:\n", "    if True:\n", _TURNED),
        ("rotation angle of a domain in double precision", "physics/mosaic.py",
         "(spread.float() * cube_root).to(spread)",
         "spread * torch.pow(1.0 - to_tensor(draws[:, 2] * draws[:, 2], spread), 1.0 / 3.0)",
         ("I_before_scaling", "crystal.mosaic_spread_rad", *_AXES)),  # of a random misset, too
        ("width of a gaussian spot", "physics/lattice_factor.py", "radius_squared / 0.63 * fudge",
         "radius_squared / (0.63 * fudge)", _SUM),
        ("window of the interpolation", "physics/structure_factor.py", "((x - low + 3) > count)",
         "((x - low + 2) > count)", ("F_cell",)),
        ("rotation about y turned back", "physics/vectors.py", "vector(x * c + z * s, y, -x * s + z * c)",
         "vector(x * c - z * s, y, x * s + z * c)", (*_TILTED, *_AXES)),
        ("centre of DENZO with X along fast", "physics/detector.py", '(y, x) if convention == "DENZO"',
         '(x, y) if convention == "DENZO"', ("Fbeam_m", "Sbeam_m")),
        ("arcs of the curved detector exchanged", "physics/detector.py",
         "rotate_axis(start, sdet, y / distance), fdet, z / distance", "rotate_axis(start, sdet, z / distance), fdet, y"
         " / distance", ("pixel_pos_meters",)),
        ("near point of a header", "physics/detector.py", "orgx=fast_close / geometry.pixel + 0.5",
         "orgx=fast_close / geometry.pixel + 1.0", (_FILES["int"], _FILES["noise"])),
        # the sum
        ("capture of the first layer", "scan/evaluate.py", "last = exp.n_subpixels - per_layer if final",
         "last = 0 if final", ("capture_fraction",)),
        ("no first evaluation", "scan/simulate.py", "_first_evaluation(exp, block) if exp.first_differs else None",
         "None", _TURNED),
        ("Kahn factor in single precision", "scan/experiment.py", "to_tensor(config.beam.kahn, like)",
         "to_tensor(config.beam.kahn, like).float().to(like)", ("polar",)),
        ("kernel: stride of the list", "scan/fused.py", "(grid.shape[1] * grid.shape[2], grid.shape[2])",
         "(grid.shape[1] * grid.shape[2], grid.shape[1])", ("kernel",)),
        ("kernel: polarization", "kernel/geometry.py", "kahn * cos_2psi * (1.0 - c2)", "kahn * cos_2psi * (1.0 + c2)",
         ("kernel",)),
        # files of an image
        ("integer image without rounding", "products/outputs.py", "(level + 0.5).astype(np.float32)",
         "level.astype(np.float32)", (_FILES["int"],)),
        ("PGM scaled by rms", "products/outputs.py", "250.0 / (5.0 * measured.rmsd)", "250.0 / (5.0 * measured.rms)",
         (_FILES["pgm"],)),
        ("another border of the counting", "physics/generator.py", "_GAUSSIAN_ABOVE = 12.0, 1e6",
         "_GAUSSIAN_ABOVE = 10.0, 1e6", (_FILES["noise"],)),
    )
)  # fmt: skip
