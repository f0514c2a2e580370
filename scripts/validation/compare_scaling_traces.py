"""The old entry point of `python -m tools.scaling compare`: same flags, same outputs, exit code 0.

    KMP_DUPLICATE_LIB_OK=TRUE PYTHONPATH=src python scripts/validation/compare_scaling_traces.py \
        --c C.log --py PY.log --out SUMMARY.md
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.scaling.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
