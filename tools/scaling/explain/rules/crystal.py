"""Rules of the crystal: axes, orientations, Miller indices, lattice and structure factor (semantics 3, 6)."""

from dataclasses import replace

import torch
from torch import Tensor

from nanobragg_torch import config
from nanobragg_torch.physics import crystal, lattice_factor, structure_factor, vectors
from nanobragg_torch.scan import summation
from nanobragg_torch.scan.experiment import Experiment
from nanobragg_torch.units import RTD
from tools.scaling.explain.graph import Graph
from tools.scaling.explain.pixel import PreparedPixel, window


def add_crystal(g: Graph, exp: Experiment) -> None:
    """Reciprocal axes from matrix, cell and misset; direct axes from the traced reciprocal ones."""
    settings = exp.config
    given = settings.crystal
    like = exp.cells
    g.root("-lambda", vectors.to_tensor(settings.beam.wavelength_m, like), "-lambda")
    g.root("-mat", vectors.to_tensor(given.matrix or (), like) if given.matrix else like.new_zeros(9), "-mat")
    cell = given.cell
    lengths = (cell.a_angstrom, cell.b_angstrom, cell.c_angstrom) if cell else ()
    angles = (cell.alpha_rad, cell.beta_rad, cell.gamma_rad) if cell else ()
    g.root("-cell", vectors.to_tensor((*lengths, *angles), like) if cell else like.new_zeros(6), "-cell")
    misset = given.misset_rad
    g.root("-misset", like.new_zeros(3) if misset is None else vectors.to_tensor(misset, like), "-misset")

    def stars(wavelength: Tensor, matrix: Tensor, typed: Tensor, angle: Tensor) -> Tensor:
        changed = replace(
            given,
            matrix=None if given.matrix is None else tuple(matrix.unbind(-1)),
            cell=None if cell is None else config.Cell(*typed.unbind(-1)),
            misset_rad=None if misset is None else angle,
        )
        made = replace(settings, crystal=changed, beam=replace(settings.beam, wavelength_m=wavelength))
        axes = crystal.build_axes(made, wavelength)
        return torch.stack((axes.a_star, axes.b_star, axes.c_star))

    g.add("stars", "-lambda -mat -cell -misset", stars, each=True)
    for i, name in enumerate("abc"):
        g.add(f"rot_{name}_star_A_inv", "stars", lambda x, i=i: x[..., i, :], dims="s", traced=True)
    names = " ".join(f"rot_{name}_star_A_inv" for name in "abc")
    g.add("star", names, lambda *x: torch.stack([v[:, 0] for v in x], 1), whole=True)

    def direct(rows: Tensor, typed: Tensor) -> Tensor:
        # with a cell, its lengths and volume override those of the axes (semantics 3.1 C5)
        lengths = volume = None
        if cell is not None:
            lengths, volume = typed[:3], crystal.cell_volume(typed[:3], typed[3:])
        axes = crystal.finish_axes(rows[0], rows[1], rows[2], lengths, volume)
        return torch.stack((axes.a, axes.b, axes.c))

    g.add("direct", "star -cell", direct, each=True)
    g.root("-N", exp.cells, "-Na -Nb -Nc")


def add_orientations(g: Graph, pixel: PreparedPixel) -> None:
    """Add the crystal at every phi step and mosaic domain (semantics 3.5, 3.6)."""
    exp = pixel.run.exp
    settings, like = exp.config, exp.cells
    steps = settings.scan.phi_steps
    g.root("-phi", vectors.to_tensor(settings.scan.phi_start_rad, like), "-phi")
    g.root("-osc", vectors.to_tensor(settings.scan.phi_step_rad, like), "-osc -phistep -phisteps")
    g.add("phi_list", "-phi -osc", lambda a, b: crystal.phi_angles(a, b, steps), each=True)
    g.add("PHI.phi_deg", "phi_list", lambda x: (x * RTD).unsqueeze(1).expand(-1, g.sizes["s"], -1), dims="sp",
          traced=True, whole=True)  # fmt: skip
    g.add("phi", "PHI.phi_deg", lambda x: x / RTD, dims="s", whole=True)
    first = torch.zeros(g.sizes["s"], g.sizes["k"], dtype=torch.bool, device=like.device)
    if pixel.pixels.first is not None:
        first.view(-1)[pixel.pixels.first] = True

    def in_force(phi: Tensor) -> Tensor:
        if not settings.quirks.on("Q29"):
            return phi.unsqueeze(2).expand(-1, -1, g.sizes["k"], -1)
        rows = phi.reshape(-1, phi.shape[-1])
        later, at_first = (
            torch.stack([crystal.carried_phi(row, first=x) for row in rows]).reshape(phi.shape).unsqueeze(2)
            for x in (False, True)
        )
        return torch.where(first.unsqueeze(-1), at_first, later)

    g.add("phi_in_force", "phi", in_force, dims="skp", whole=True)

    def turned(rows: Tensor, spindle: Tensor, angle: Tensor) -> Tensor:
        return vectors.rotate_spindle(rows, spindle.unsqueeze(1), angle.unsqueeze(1))

    g.add("turned", "direct -spindle_axis phi_in_force", turned, dims="skp")
    domains = crystal.mosaic_domains(settings, like)
    if domains is None:
        g.add("axes_all", "turned", lambda x: x.unsqueeze(4), dims="skpd", whole=True)
    else:
        g.root("domains", domains, "-mosaic -mosaic_dom -mosaic_seed", dims="d")
        g.add("axes_all", "turned domains", lambda rows, m: vectors.apply_matrix(m.unsqueeze(1), rows), dims="skpd")
    before = "axes_all"
    for i, name in enumerate("abc"):
        merged = "axes" if name == "c" else f"axes_{name}"
        window(g, before, f"rot_{name}_angstroms", merged, (0, 0, 0, i), scale=1e10)
        before = merged


def add_lattice(g: Graph, exp: Experiment) -> None:
    """Miller indices and lattice factor (semantics 6.2, 6.3)."""
    every = slice(None)

    def indices(rows: Tensor, q: Tensor) -> Tensor:
        return lattice_factor.miller_indices(rows, q.unsqueeze(1))

    g.add("hkl_all", "axes q", indices, dims="skpd")
    window(g, "hkl_all", "hkl_frac", "hkl_first", (0, 0, 0))
    window(g, "hkl_first", "PHI.k_frac", "hkl", (0, every, 0, 1))
    g.add("nearest_all", "hkl", lattice_factor.nearest_index, dims="skpd", exact=True, jump=_near_half)
    window(g, "nearest_all", "hkl_rounded", "nearest", (0, 0, 0))
    shape = exp.config.crystal.shape
    if shape != "SQUARE":
        _other_shapes(g, exp)
        return
    repeats = torch.tensor(exp.repeats, device=exp.cells.device)

    def factors(hkl: Tensor, cells: Tensor) -> Tensor:
        return torch.where(repeats, lattice_factor.grating(hkl, cells), torch.ones_like(hkl))

    g.add("factors_all", "hkl -N", factors, dims="skpd")
    before = "factors_all"
    for i, name in enumerate("abc"):
        window(g, before, f"F_latt_{name}", f"factors_{name}", (0, 0, 0, i))
        before = f"factors_{name}"
    window(g, before, "PHI.F_latt_b", "factors", (0, every, 0, 1))
    g.add("lattice_all", "factors", lambda x: lattice_factor.square_factor(*x.unbind(-1)), dims="skpd")
    window(g, "lattice_all", "F_latt", "lattice_first", (0, 0, 0))
    window(g, "lattice_first", "PHI.F_latt", "lattice", (0, every, 0))


def _near_half(hkl: Tensor, error: Tensor) -> Tensor:
    """1 where rounding decides to which side an index goes."""
    return ((hkl - 0.5 - torch.round(hkl - 0.5)).abs() <= error).to(hkl)


def _other_shapes(g: Graph, exp: Experiment) -> None:
    """ROUND, GAUSS, TOPHAT: their lattice factor is not traced."""
    shape = exp.config.crystal.shape
    g.root("-fudge", exp.fudge, "-fudge")
    if shape == "ROUND":

        def ball(hkl: Tensor, nearest: Tensor, cells: Tensor, fudge: Tensor) -> Tensor:
            return lattice_factor.round_factor(hkl - nearest, cells, fudge)

        g.add("lattice", "hkl nearest -N -fudge", ball, dims="skpd")
        return
    function = lattice_factor.gauss_factor if shape == "GAUSS" else lattice_factor.tophat_factor

    def radius(hkl: Tensor, nearest: Tensor, cells: Tensor, *stars: Tensor) -> Tensor:
        return lattice_factor.spot_radius_squared(hkl - nearest, cells, *stars)

    def cells_from_peak(hkl: Tensor, nearest: Tensor, cells: Tensor) -> Tensor:
        return lattice_factor.cells_from_peak_squared(hkl - nearest, cells)

    if exp.config.quirks.on("Q24"):
        stars = " ".join(f"rot_{name}_star_A_inv" for name in "abc")
        g.add("spot_radius", f"hkl nearest -N {stars}", radius, dims="skpd")
    else:
        g.add("spot_radius", "hkl nearest -N", cells_from_peak, dims="skpd")

    def near_edge(square: Tensor, cells: Tensor, fudge: Tensor, error: Tensor, *rest: Tensor) -> Tensor:
        near = (square * fudge - 0.3969).abs() <= error * fudge
        return torch.where(near, cells.prod(-1), torch.zeros_like(square))

    g.add("lattice", "spot_radius -N -fudge", function, dims="skpd", jump=near_edge if shape == "TOPHAT" else None)


def add_structure(g: Graph, pixel: PreparedPixel) -> None:
    """F of every term (semantics 6.4, 6.5). What a trace shows of one reflection holds for all its terms."""
    run, exp = pixel.run, pixel.run.exp
    shape = [g.sizes[d] for d in "skpd"]
    like = exp.cells.new_zeros(shape[0] * shape[1], shape[2] * shape[3], 1)
    inside = summation.interpolated(run, pixel.pixels, 0, 0, like)
    g.root("-hkl", exp.grid.default, "-hkl -default_F")
    cubic_terms = torch.zeros_like(like) if inside is None else inside.to(like)
    nothing = not bool(cubic_terms.any())
    g.root("interpolated", cubic_terms.reshape(shape), dims="skpd")
    every = exp.grid.default if exp.grid.values is None else torch.cat((exp.grid.values, exp.grid.default.reshape(1)))
    largest = every.abs().max()
    g.root("F_range", every.max() - every.min())

    def structure(hkl: Tensor, nearest: Tensor, cubic: Tensor, _: Tensor) -> Tensor:
        listed = structure_factor.nearest(exp.grid, *(x.contiguous() for x in nearest.unbind(-1)))
        if nothing:
            return listed
        return torch.where(cubic > 0, structure_factor.tricubic(exp.grid, *hkl.unbind(-1)), listed)

    def undecided(hkl: Tensor, nearest: Tensor, cubic: Tensor, _: Tensor, *errors: Tensor) -> Tensor:
        return torch.where((errors[1] >= 1).any(-1) & (cubic == 0), largest, torch.zeros_like(largest))

    g.add("structure_all", "hkl nearest interpolated -hkl", structure, dims="skpd", jump=undecided)
    g.add("F_cell", "structure_all", lambda x: x[:, :, 0, 0, 0], dims="s", traced=True, whole=True)

    def spread(every: Tensor, shown: Tensor, nearest: Tensor, cubic: Tensor) -> Tensor:
        first = nearest[:, :, :1, :1, :1]
        same = (nearest == first).all(-1) & (cubic == 0) & (cubic[:, :, :1, :1, :1] == 0)
        merged = torch.where(same, shown[:, :, None, None, None], every)
        merged[:, :, 0, 0, 0] = shown
        return merged

    g.add("structure", "structure_all F_cell nearest interpolated", spread, dims="skpd", whole=True)
