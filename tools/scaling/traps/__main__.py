"""`python -m tools.scaling.traps`: run every trap, write docs/traps.md; exit 1 where ours is wrong."""

import sys

from nanobragg_torch.io.standard_output import say
from tools.scaling.files import write_text
from tools.scaling.render.traps import traps_lines, traps_markdown
from tools.scaling.repo import ROOT
from tools.scaling.traps.run import run_traps

PAGE = ROOT / "docs" / "traps.md"


def main() -> int:
    result = run_traps()
    write_text(PAGE, traps_markdown(result))
    say("\n".join([*traps_lines(result), f"wrote {PAGE}"]))
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
