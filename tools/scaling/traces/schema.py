"""The traced quantities in causal order, each with its inputs, unit and meaning (semantics 8.4).

An input is a traced name. What lies between and is not traced (cell vectors before phi, the sensor's layer) is
represented by what it is computed from. Which flags a quantity is made of, the rules of explain say.
"""

from dataclasses import dataclass, field
from types import MappingProxyType

from tools.scaling.engine.tolerances import LARGEST_STEP

PRE_POLAR = "I_before_scaling_pre_polar"
POST_POLAR = "I_before_scaling_post_polar"
PORT_ONLY = frozenset({PRE_POLAR, POST_POLAR})  # what the reference does not print


@dataclass(frozen=True, slots=True)
class TracedQuantity:
    """One row of the causal graph.

    `stage` is its number in semantics 8.4, `order` its place in QUANTITIES, `tolerance` a floor of
    the relative tolerance where the quantity itself is stored in less than float64.
    """

    stage: str
    name: str
    inputs: tuple[str, ...]
    unit: str
    description: str
    tolerance: float = 0.0
    order: int = field(default=0, compare=False)


# stage | name | inputs | unit | description
# stage: the number in semantics 8.4, that of the row above where 8.4 has none: numbers do not go back
_TABLE = """
1  | angles_rad.rotx | | rad | detector rotation about x
1  | angles_rad.roty | | rad | detector rotation about y
1  | angles_rad.rotz | | rad | detector rotation about z
1  | angles_rad.twotheta | | rad | detector swing
1  | beam_center_m.pixel_mm | | mm | pixel size
1  | r_e_sqr | | m^2 | square of the classical electron radius
1  | r_e_meters | r_e_sqr | m | classical electron radius
1  | fluence_photons_per_m2 | | m^-2 | photons per area
2  | initial_fdet | | | fast axis, unitised
2  | initial_sdet | | | slow axis, unitised
2  | initial_odet | initial_fdet initial_sdet | | detector normal; unit(fdet x sdet) unless given as a unit vector (Q03)
2  | twotheta_axis | | | axis of the detector swing
3  | beam_center_m.X | beam_center_m.pixel_mm | m/1000 | beam centre x
3  | beam_center_m.Y | beam_center_m.pixel_mm | m/1000 | beam centre y
3  | beam_center_m.Xclose | beam_center_m.pixel_mm | m/1000 | near point x
3  | beam_center_m.Yclose | beam_center_m.pixel_mm | m/1000 | near point y
3  | Fclose_m | beam_center_m.pixel_mm | m | near point along the fast axis
3  | Sclose_m | beam_center_m.pixel_mm | m | near point along the slow axis
3  | Fbeam_m | beam_center_m.pixel_mm | m | beam centre along the fast axis
3  | Sbeam_m | beam_center_m.pixel_mm | m | beam centre along the slow axis
4  | ratio | initial_odet angles_rad.rotx angles_rad.roty angles_rad.rotz | | cosine between beam and detector normal
5  | close_distance_m | ratio | m | distance of the detector plane
5  | distance_m | ratio close_distance_m | m | distance along the beam
6a | term_fast_before_rot | Fclose_m initial_fdet | m | -Fclose fdet
6a | term_slow_before_rot | Sclose_m initial_sdet | m | -Sclose sdet
6a | term_close_before_rot | close_distance_m initial_odet | m | close_distance odet
6b | pix0_before_rotation | term_fast_before_rot term_slow_before_rot term_close_before_rot | m | first pixel's corner before rotation
6c | pix0_after_rotz | pix0_before_rotation angles_rad.rotx angles_rad.roty angles_rad.rotz | m | after rotx, roty, rotz
6d | pix0_after_twotheta | pix0_after_rotz twotheta_axis angles_rad.twotheta | m | after the swing
7  | Rx | angles_rad.rotx | | rotation matrix about x
7  | Ry | angles_rad.roty | | rotation matrix about y
7  | Rz | angles_rad.rotz | | rotation matrix about z
7  | R_total | Rx Ry Rz | | Rz (Ry Rx)
7  | fdet_after_rotz | initial_fdet angles_rad.rotx angles_rad.roty angles_rad.rotz | | fast axis after rotx, roty, rotz
7  | sdet_after_rotz | initial_sdet angles_rad.rotx angles_rad.roty angles_rad.rotz | | slow axis after rotx, roty, rotz
7  | odet_after_rotz | initial_odet angles_rad.rotx angles_rad.roty angles_rad.rotz | | normal after rotx, roty, rotz
8  | fdet_after_twotheta | fdet_after_rotz twotheta_axis angles_rad.twotheta | | final fast axis
8  | sdet_after_twotheta | sdet_after_rotz twotheta_axis angles_rad.twotheta | | final slow axis
8  | odet_after_twotheta | odet_after_rotz twotheta_axis angles_rad.twotheta | | final detector normal
8  | DETECTOR_FAST_AXIS | fdet_after_twotheta | | final fast axis
8  | DETECTOR_SLOW_AXIS | sdet_after_twotheta | | final slow axis
8  | DETECTOR_NORMAL_AXIS | odet_after_twotheta | | final detector normal
8  | fdet_vec | fdet_after_twotheta | | final fast axis
8  | sdet_vec | sdet_after_twotheta | | final slow axis
9a | term_fast | Fbeam_m fdet_after_twotheta | m | -Fbeam fdet
9a | term_slow | Sbeam_m sdet_after_twotheta | m | -Sbeam sdet
9a | term_beam | distance_m | m | distance beam
9b | pix0_vector | term_fast term_slow term_beam | m | first pixel's corner
9b | DETECTOR_PIX0_VECTOR | pix0_vector pix0_after_twotheta | m | first pixel's corner
9b | pix0_vector_meters | pix0_vector pix0_after_twotheta | m | first pixel's corner
10 | close_distance_meters | pix0_vector_meters odet_after_twotheta | m | pix0 . odet
16 | rot_a_star_A_inv | | A^-1 | a*, never rotated by phi (Q09)
16 | rot_b_star_A_inv | | A^-1 | b*, never rotated by phi (Q09)
16 | rot_c_star_A_inv | | A^-1 | c*, never rotated by phi (Q09)
17 | oversample_thick | | | capture inside the subpixel loop
17 | oversample_polar | | | polarization inside the subpixel loop
17 | oversample_omega | | | solid angle inside the subpixel loop
19 | incident_vec | | | source to sample, unit
19 | lambda_meters | | m | wavelength of the source
19 | lambda_angstroms | lambda_meters | A | wavelength of the source
19 | SOURCE2.source_index | | | index of the third source
19 | SOURCE2.lambda_angstroms | | A | wavelength of the third source
21 | steps | | | sources x mosaic domains x phi steps x subpixels
24 | pixel_pos_meters | beam_center_m.pixel_mm fdet_vec sdet_vec odet_after_twotheta pix0_vector_meters close_distance_meters ratio | m | subpixel's position
25 | R_distance_meters | pixel_pos_meters | m | sample to subpixel
25 | diffracted_vec | pixel_pos_meters R_distance_meters | | sample to subpixel, unit
26 | obliquity_factor | close_distance_meters R_distance_meters | | close_distance/R
27 | omega_pixel_sr | beam_center_m.pixel_mm R_distance_meters close_distance_meters | sr | solid angle of the pixel
27 | omega_pixel | omega_pixel_sr | sr | solid angle that scales the pixel
28 | capture_fraction | diffracted_vec odet_after_twotheta | | part of the photons that the sensor absorbs
29 | scattering_vec_A_inv | diffracted_vec incident_vec lambda_meters | m^-1 | (diffracted - incident)/lambda
31 | polar | incident_vec diffracted_vec | | polarization factor
31 | SOURCE2.cos2theta | diffracted_vec | | cosine of the third source's scattering angle
31 | SOURCE2.polar | diffracted_vec polar | | polarization factor of the third source
32 | PHI.phi_deg | | deg | nominal spindle angle
34 | rot_a_angstroms | rot_a_star_A_inv rot_b_star_A_inv rot_c_star_A_inv PHI.phi_deg | A | a after phi and mosaic, phi step 0 (Q29)
34 | rot_b_angstroms | rot_a_star_A_inv rot_b_star_A_inv rot_c_star_A_inv PHI.phi_deg | A | b after phi and mosaic, phi step 0 (Q29)
34 | rot_c_angstroms | rot_a_star_A_inv rot_b_star_A_inv rot_c_star_A_inv PHI.phi_deg | A | c after phi and mosaic, phi step 0 (Q29)
35 | hkl_frac | rot_a_angstroms rot_b_angstroms rot_c_angstroms scattering_vec_A_inv | | Miller indices, fractional
35 | PHI.k_frac | PHI.phi_deg rot_a_star_A_inv rot_b_star_A_inv rot_c_star_A_inv scattering_vec_A_inv | | k of this phi step
35 | TAP5_HKL.hkl_frac | hkl_frac | | Miller indices, fractional
36 | hkl_rounded | hkl_frac | | Miller indices, nearest
36 | TAP5_HKL.h0 | hkl_frac | | nearest h
36 | TAP5_HKL.k0 | hkl_frac | | nearest k
36 | TAP5_HKL.l0 | hkl_frac | | nearest l
37 | F_latt_a | hkl_frac | | lattice factor along a
37 | F_latt_b | hkl_frac | | lattice factor along b
37 | F_latt_c | hkl_frac | | lattice factor along c
37 | F_latt | F_latt_a F_latt_b F_latt_c | | lattice factor
37 | PHI.F_latt_b | PHI.k_frac | | lattice factor along b of this phi step
37 | PHI.F_latt | PHI.F_latt_b rot_a_star_A_inv rot_b_star_A_inv rot_c_star_A_inv PHI.phi_deg scattering_vec_A_inv | | lattice factor of this phi step
37 | SOURCE2.F_latt | SOURCE2.lambda_angstroms diffracted_vec rot_a_star_A_inv rot_b_star_A_inv rot_c_star_A_inv PHI.phi_deg | | lattice factor of the third source
37 | SOURCE2.F_latt_squared | SOURCE2.F_latt | | its square
38 | F_cell | hkl_frac hkl_rounded | | structure factor
38 | TAP5_HKL.F_cell | F_cell | | structure factor
38 | TAP5_HKL.out_of_bounds | hkl_rounded | | 1 outside the list's box
38 | SOURCE2.F_cell | SOURCE2.lambda_angstroms diffracted_vec rot_a_star_A_inv rot_b_star_A_inv rot_c_star_A_inv PHI.phi_deg | | structure factor of the third source
38 | SOURCE2.F_cell_squared | SOURCE2.F_cell | | its square
39 | SOURCE2.I_contribution | SOURCE2.F_cell SOURCE2.F_latt | | F_cell^2 F_latt^2 of the third source
39 | I_before_scaling | F_cell F_latt PHI.F_latt SOURCE2.lambda_angstroms incident_vec odet_after_twotheta beam_center_m.pixel_mm fluence_photons_per_m2 | | sum of F_cell^2 F_latt^2
39 | I_before_scaling_pre_polar | I_before_scaling | | the port's name of I_before_scaling
39 | I_before_scaling_post_polar | I_before_scaling polar | | I_before_scaling times polar, printed by the port alone
40 | cos_2theta | incident_vec diffracted_vec | | cosine of the scattering angle
41 | I_pixel_final | I_before_scaling r_e_sqr fluence_photons_per_m2 steps capture_fraction polar omega_pixel | photon | photons in the pixel
41 | TAP5.pixel | | | slow and fast index
41 | TAP5.I_before_scaling | I_before_scaling | | sum of F_cell^2 F_latt^2
41 | TAP5.steps | steps | | as steps
41 | TAP5.omega_pixel | omega_pixel | sr | as omega_pixel
41 | TAP5.capture_fraction | capture_fraction | | as capture_fraction
41 | TAP5.polar | polar | | as polar
41 | TAP5.I_pixel_final | I_pixel_final | photon | as I_pixel_final
42 | floatimage_accumulated | I_pixel_final | photon | the image's float32
"""  # noqa: E501

# One float32 ulp: a difference of 1e-16 in I_pixel_final may round to the neighbour.
_TOLERANCES = {"floatimage_accumulated": LARGEST_STEP["float32"]}


def _rows() -> tuple[TracedQuantity, ...]:
    rows = []
    for order, line in enumerate(_TABLE.strip().splitlines()):
        stage, name, inputs, unit, description = (cell.strip() for cell in line.split("|"))
        tolerance = _TOLERANCES.get(name, 0.0)
        rows.append(TracedQuantity(stage, name, tuple(inputs.split()), unit, description, tolerance, order))
    return tuple(rows)


QUANTITIES = _rows()
_BY_NAME = {quantity.name: quantity for quantity in QUANTITIES}

# In BEAM pivot the *_after_rotz lines come twice, the second time with the final axes (semantics 8.1).
_AGAIN = {f"{axis}_after_rotz": f"{axis}_after_twotheta" for axis in ("fdet", "sdet", "odet")}

# The factors of the intensity in chain order.
FACTORS: MappingProxyType[str, str] = MappingProxyType(
    {
        "I_before_scaling": "Sum of F_cell^2 F_latt^2 before scaling",
        "r_e_sqr": "Square of the classical electron radius (m^2)",
        "fluence_photons_per_m2": "Fluence of the beam (photons/m^2)",
        "steps": "Sources x mosaic domains x phi steps x subpixels",
        "capture_fraction": "Fraction of the photons that the sensor captures",
        "polar": "Polarization factor",
        "omega_pixel": "Solid angle of the pixel (sr)",
        "cos_2theta": "Cosine of the scattering angle 2theta",
        "I_pixel_final": "Intensity of the pixel (photons)",
    }
)
FACTOR_NAMES = tuple(FACTORS)


def quantity(name: str, occurrence: int = 0) -> TracedQuantity:
    """The row of a traced name; a name that the table lacks comes after all others."""
    if occurrence:
        name = _AGAIN.get(name, name)
    unknown = TracedQuantity("-", name, (), "", "not in the causal graph", 0.0, len(QUANTITIES))
    return _BY_NAME.get(name, unknown)


def descendants(name: str) -> set[str]:
    """The names of all that is computed from a traced quantity, directly or not."""
    below: set[str] = set()
    for row in QUANTITIES:  # an input stands before what is made of it
        if {name, *below} & set(row.inputs):
            below.add(row.name)
    return below
