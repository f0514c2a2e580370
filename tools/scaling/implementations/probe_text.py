"""The answers of the probe as lines, and as a profile."""

from collections.abc import Iterator

from tools.scaling.implementations.probe import NEITHER, OFF, ON, ProbeReport


def probe_lines(report: ProbeReport) -> Iterator[str]:
    """A line a quirk: its state, what it does in that state, by which probe or why not; then what program this is."""
    from nanobragg_torch.quirks import TABLE

    for quirk, answer in zip(TABLE, report.answers):
        does = {ON: quirk.reference, OFF: quirk.right}.get(answer.state, "")
        yield f"{quirk.id}  {answer.state:<3}  {quirk.name}: {does + ' (' + answer.why + ')' if does else answer.why}"
    decided = sum(answer.state in (ON, OFF) for answer in report.answers)
    yield f"{report.name}: {decided} of {len(report.answers)} quirks are known"
    if report.own:
        yield f"{report.name}: its arithmetic is its own, and leaves up to {report.own:.1g} of the largest value"
    yield variant_line(report)


def against_line(report: ProbeReport) -> str:
    """Which answers contradict what the program's description says."""
    answers = ", ".join(f"{answer.quirk} {answer.state}" for answer in report.against)
    return f"{answers} contradict{'s' * (len(report.against) == 1)} its description, {report.variant}"


def variant_line(report: ProbeReport) -> str:
    """Which known programs the answers agree with."""
    if not any(answer.state in (ON, OFF, NEITHER) for answer in report.answers):
        return "what program it is cannot be said, as it answered nothing"
    if report.alike:
        return f"it is as {' or '.join(report.alike)}"
    nearest, count = report.nearest
    return f"it is none of the known programs; nearest: {nearest}, with {count} against it"


def profile_text(report: ProbeReport) -> str:
    """The profile, a TOML file that --mode takes: on or off of each quirk that is known; the others as in golden."""
    lines = [f'name = "{report.name}"', "", "[quirks]"]
    for answer in report.answers:
        known = answer.state in (ON, OFF)
        lines.append(f'{answer.quirk} = "{answer.state}"' if known else f"# {answer.quirk}: {answer.state}")
    return "\n".join([*lines, ""])
