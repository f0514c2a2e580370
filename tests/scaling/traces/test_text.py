"""The summary: what its first lines say, tables that render, nothing that is not ASCII."""

import re

from tools.scaling.traces.compare import compare
from tools.scaling.traces.markdown import MAX_ROWS, comparison_markdown
from tools.scaling.traces.read import parse_trace

CELL = re.compile(r"(?<!\\)\|")


def head(report) -> list[str]:
    return comparison_markdown(report).splitlines()[2:7]


def tables(text: str) -> list[list[str]]:
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return [block for block in blocks if block[0].startswith("|")]


def test_the_first_lines_tell_the_verdict_and_the_first_differences(supervisor, legacy):
    assert head(compare(supervisor, legacy))[:4] == [
        "- **DIVERGES at I_before_scaling**",
        "- first_divergence: `I_before_scaling`",
        "- first_upstream_divergence: `initial_fdet` (initial_fdet[0], relative -4.874e-09)",
        "- num_divergent: 2 of 9 factors; 10 of 170 traced numbers",
    ]
    assert head(compare(supervisor, supervisor))[:3] == [
        "- **PASS: all factors agree**",
        "- first_divergence: `none`",
        "- first_upstream_divergence: `none`",
    ]


def test_a_loosened_tolerance_is_said_in_the_first_lines(supervisor, legacy):
    lines = head(compare(supervisor, legacy, tolerance=1e-2))
    assert lines[0] == "- **PASS: all factors agree**"
    assert lines[1] == "- **TOLERANCE LOOSENED: factors pass up to 0.01 relative, the default is 1e-06**"
    assert "LOOSENED" not in comparison_markdown(compare(supervisor, legacy, tolerance=1e-7))
    single = head(compare(supervisor, legacy, precision="float32"))
    assert single[1] == "- **TOLERANCE LOOSENED: float32 arithmetic, the upstream tolerance is 1e-05 relative**"


def test_the_figures_are_in_the_tables(supervisor, legacy):
    text = comparison_markdown(compare(supervisor, legacy))
    assert (
        "| I_before_scaling | Sum of F_cell^2 F_latt^2 before scaling | 943654.80923755 | 941686.2359774 "
        "| 1.969e+03 | -2.086116e-03 | DIVERGENT |"
    ) in text
    assert "| 2 | initial_fdet\\[0\\] | 0.999982004873912 | 0.999982 | 4.874e-09 | -4.874e-09 | -4.874e-09 |" in text
    assert "| 3 | 1 | k_frac | -0.595197691574922 | -0.595197691574922 | 0 | 0 | 0 | 0 | PASS |" in text


def test_hypotheses_come_last_and_name_the_amplification(supervisor, legacy):
    text = comparison_markdown(compare(supervisor, legacy))
    last = text.split("\n## ")[-1].splitlines()
    assert last[0] == "Hypotheses"
    assert last[2] == (
        "- The earliest difference is initial_fdet\\[0\\] (stage 2), relative -4.874e-09. To be the only cause of "
        "I_before_scaling (-2.086116e-03) it has to be amplified 4.28e+05 times."
    )
    assert last[3] == "- Others of the same stage differ too: initial_odet, initial_sdet."
    assert last[4] == (
        "- I_pixel_final differs by -2.086116e-03, the same within tolerance: it inherits I_before_scaling."
    )
    clean = comparison_markdown(compare(supervisor, supervisor)).splitlines()[-1]
    assert clean.startswith("- No number that both traces hold differs by more than rounding")


def test_every_table_renders_whatever_the_log_says(supervisor, supervisor_bytes):
    evil = b"TRACE_PY: polar a|b`<script>alert(1)</script>`\\|[x](y) \xc3\xa9\n"
    data = supervisor_bytes.replace(b"TRACE_C:", b"TRACE_PY:").replace(b"TRACE_C_", b"TRACE_PY_") + evil
    text = comparison_markdown(compare(supervisor, parse_trace(data, "p|`y.log")), title="a | <b>")
    assert text.isascii() and text.endswith("\n") and "<script" not in text and "# a \\| &lt;b&gt;" in text
    assert len(tables(text)) == 4
    for table in tables(text):
        assert len({len(CELL.findall(line.replace("\\\\", ""))) for line in table}) == 1
        assert set(CELL.split(table[1])[1:-1]) == {" --- "}


def test_a_long_comparison_shows_what_does_not_pass(supervisor_bytes, supervisor):
    many = b"".join(b"TRACE_C: extra %d\n" % i for i in range(MAX_ROWS))
    data = supervisor_bytes + many
    c = parse_trace(data, "c.log")
    py = parse_trace(data.replace(b"extra 1999\n", b"extra 1998\n"), "py.log")
    text = comparison_markdown(compare(c, py))
    assert "extra #2000 | 1999 | 1998 |" in text
    assert f"{MAX_ROWS} of {MAX_ROWS + 130} rows are shown, those that do not pass first" in text
