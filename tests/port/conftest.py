"""One thread for torch: the port's tensors are small here, and idle threads only get in each other's way."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)
pytest.register_assert_rewrite("quirk_checks", "quirks_of_input", "quirks_of_physics", "quirks_of_variants")
