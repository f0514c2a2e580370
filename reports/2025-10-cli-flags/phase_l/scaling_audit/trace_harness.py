"""The old entry point of `python -m tools.scaling harness`, with the same flags.

    PYTHONPATH=src python reports/2025-10-cli-flags/phase_l/scaling_audit/trace_harness.py \
        --config supervisor --phi-mode c-parity --pixel 685 1039 --device cpu --dtype float64 --out FILE
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tools.scaling.cli import main

if __name__ == "__main__":
    sys.exit(main(["harness", *sys.argv[1:]]))
