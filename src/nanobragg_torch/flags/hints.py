"""What an unknown flag may have meant: the flag of that meaning, else one that is spelt nearly so, else nothing."""

from __future__ import annotations

import difflib

from nanobragg_torch.flags.table import TABLE

_ALMOST = 0.77  # of difflib's ratio: one letter wrong in five
_PROGRAM = ("--device", "--dtype", "--threads", "--block", "--help", "--version")

# words of other programs and of everyday speech: the flag that has their meaning here
_MEANINGS = {
    "--device cuda": "gpu cuda usegpu devices accelerator",
    "--device": "cpu",
    "--dtype": "precision float32 float64 single double dtypes fp32 fp64",
    "--threads": "nproc njobs jobs j cores ncpu nthreads numthreads omp nt",
    "--block": "batch batchsize chunk chunksize memory",
    "--mode": "parity cparity spec strict compat",
    "--quirk": "quirks bug fix",
    "--help": "usage man options flags",
    "-adc": "offset pedestal background_level dark bias",
    "-beam_vector": "beamdirection beam_direction incident s0",
    "-beamsize": "spotsize focus beam_size beamdiameter",
    "-cell": "unitcell uc ucell cellparameters lattice",
    "-close_distance": "near neardistance",
    "-curved_det": "curved spherical",
    "-default_F": "F0 defaultF default Fdefault",
    "-detector_rotx, -detector_roty or -detector_rotz": "tilt tiltx tilty tiltz rotx roty rotz tilts",
    "-detector_thick": "thick thickness sensor sensorthickness detthick",
    "-detpixels": "npixels pixels size dimensions nx ny width_pixels fpixels spixels numpixels",
    "-detsize": "detectorsize imagesize",
    "-dispersion": "bandwidth bandpass spectrum deltalambda dlambda",
    "-dispsteps": "nwavelengths wavelengths energies",
    "-distance": "dist detdist detectordistance camera cameralength clen length sdd dtx d",
    "-divergence": "div divergences crossfire",
    "-dmin": "resolution res reslimit dlimit highres hires cutoff",
    "-energy": "ev kev photonenergy",
    "-exposure": "time exptime exposuretime seconds t",
    "-floatfile": "o out output outfile output_file image outimage savefile",
    "-floatfile, -intfile or -noisefile": "prefix outdir basename",
    "-fluence": "intensity photons dose nphotons",
    "-flux": "photonspersecond brightness",
    "-hkl": "mtz cif reflections sf structurefactors fs fobs hklin f000 pdb",
    "-img": "header template refimage",
    "-intfile": "smv cbf integer",
    "-lambda": "wl wavelen angstrom w l",
    "-mask": "badpixels untrusted",
    "-mat": "amatrix matfile umat ub ubmatrix orientation amat crystal",
    "-misset": "rotate orient phixyz missets random euler",
    "-mosaic": "eta spread mos",
    "-mosaic_domains": "domains ndomains nmos numdomains",
    "-N": "ncells cells nabc unitcells crystalsize_cells repeats",
    "-noisefile": "noise poisson",
    "-nopolar": "nopolarization unpolarized",
    "-osc": "oscillation delphi dphi range width_phi oscrange deltaphi",
    "-oversample": "subpixels supersample sampling oversampling antialias",
    "-phi": "omega start phi0 phistart angle gonio",
    "-phisteps": "steps nsteps nphi frames images numsteps",
    "-pixel": "pixelsize pix pitch psize qx qy",
    "-polar": "polarisation kahn polfraction",
    "-progress": "bar meter progressbar tqdm",
    "-roi": "region window subset crop box",
    "-show_config": "verbose v debug config print settings dry dryrun show",
    "-sourcefile": "sources spectrumfile source beamfile",
    "-spindle_axis": "axis rotation rotationaxis rotaxis goniometer",
    "-trace_pixel": "trace tracepixels debugpixel",
    "-twotheta": "2theta tth swing arm",
    "--version": "versions revision release about",
    "-water": "background solvent bg droplet",
    "-Xbeam and -Ybeam": "beam center centre beamcenter beamcentre beamxy xy origin",
    "-ORGX and -ORGY": "org orgxy xdsorigin",
    "-xtalsize": "crystalsize xtal dimension",
}


def hint(argument: str) -> str:
    """The flag that `argument` may stand for, or an empty text."""
    word = _plain(argument)
    names = [*_PROGRAM, *(name.rstrip("*") for flag in TABLE if not flag.ignored for name in flag.names.split())]
    spelt = {_plain(name): name for name in reversed(names)}
    meant = {_plain(each): flag for flag, words in _MEANINGS.items() for each in words.split()}
    for known in (spelt, meant):
        if word in known:
            return known[word]
    known = {**meant, **spelt}
    begun = [name for name in known if min(len(word), len(name)) > 3 and name.startswith(word[: len(name)])]
    near = begun or [name for name in known if name[:1] == word[:1]]
    alike = difflib.get_close_matches(word, near, n=1, cutoff=_ALMOST) or sorted(begun, key=len)
    return known[alike[0]] if alike else ""


def _plain(name: str) -> str:
    """Without what people vary: case, dashes, underscores, and a value behind '='."""
    return name.partition("=")[0].lower().replace("-", "").replace("_", "")
