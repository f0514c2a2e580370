"""Have numba compile all that the port compiles: whoever comes later, side by side with others, reads it from the disk.

A script, and no part of the tests.
"""

import numpy as np
import torch
from golden_cases import load

from nanobragg_torch.io.load import loaded
from nanobragg_torch.physics.generator import Generator
from nanobragg_torch.products.noise import Noise
from nanobragg_torch.scan import simulate
from nanobragg_torch.scan.experiment import prepare

FOREVER = 10**9  # so many numbers would take longer than numba's import

if __name__ == "__main__":
    torch.set_num_threads(1)
    case = prepare(loaded(load("tricubic_falls_out").config()), device="cpu", dtype=torch.float64)
    simulate.render_window(simulate.start(case, kernel=True), 1)
    Noise(Generator(), 0.0, FOREVER).digits(np.ones(1, np.float32))
