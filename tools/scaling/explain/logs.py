"""The logs of each side of an explanation -> pairs of traces, one for each pixel."""

from dataclasses import replace

from tools.scaling.base.errors import BadInput
from tools.scaling.traces.read import Trace

Pixel = tuple[int, int]


def pairs(c: list[Trace], py: list[Trace], pixel: Pixel | None = None) -> list[tuple[Trace, Trace]]:
    """(reference, port) of every pixel that both sides have, in the order of the references.

    A log that names no pixel is of `pixel`, else of the one before it, else of the only one there is. Raises
    BadInput where a pixel is on one side only, or none is named.
    """
    known = list(dict.fromkeys(trace.pixel for trace in (*c, *py) if trace.pixel is not None))
    if pixel is not None and any(other != pixel for other in known):
        raise BadInput(f"--pixel {pixel[0]} {pixel[1]}: expected logs of that pixel, got logs of {known[0]}")
    if pixel is None and not known:
        raise BadInput(f"{c[0].source}: expected the traced pixel (a TRACE_CONFIG line, or --pixel S F), got none")
    mine, theirs = (_by_pixel(side, pixel, known) for side in (c, py))
    for one, other in ((mine, theirs), (theirs, mine)):
        for spot in one:
            if spot not in other:
                raise BadInput(
                    f"expected traces of one pixel, got (slow, fast) {spot} in {one[spot].source} and "
                    f"{next(iter(other))} in {other[next(iter(other))].source}"
                )
    return [(trace, theirs[spot]) for spot, trace in mine.items()]


def _by_pixel(traces: list[Trace], pixel: Pixel | None, known: list[Pixel]) -> dict[Pixel, Trace]:
    found: dict[Pixel, list[Trace]] = {}
    silent = all(trace.pixel is None for trace in traces) and len(traces) == len(known)
    spot = pixel
    for i, trace in enumerate(traces):
        if trace.pixel is not None:
            spot = trace.pixel
        elif silent and len(known) > 1:
            spot = known[i]
        elif spot is None and len(known) == 1:
            spot = known[0]
        if spot is None:
            raise BadInput(f"{trace.source}: expected the traced pixel (a TRACE_CONFIG line, or --pixel S F), got none")
        found.setdefault(spot, []).append(trace)
    return {spot: merged(logs, spot) for spot, logs in found.items()}


def merged(logs: list[Trace], pixel: Pixel) -> Trace:
    """One trace of several logs of one pixel: what an earlier log holds, a later one does not add to."""
    first = logs[0]
    records, rows = list(first.records), first.phi_rows
    names = {record.name for record in records if record.values}
    for log in logs[1:]:
        new = [replace(record, line=-1) for record in log.records if record.values and record.name not in names]
        records += new
        names.update(record.name for record in new)
        rows = rows or tuple(replace(row, line=-1) for row in log.phi_rows)
    return replace(
        first, pixel=pixel, records=tuple(records), phi_rows=rows, skipped=sum((x.skipped for x in logs), ())
    )
