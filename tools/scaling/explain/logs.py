"""The logs of each side of an explanation -> pairs of traces, one for each pixel."""

import math
from dataclasses import replace

from tools.scaling.base.errors import BadInput
from tools.scaling.traces.read import Trace

Spot = tuple[int, int]  # (slow, fast)


def pairs(c: list[Trace], py: list[Trace], pixel: Spot | None = None) -> list[tuple[Trace, Trace]]:
    """Pair the logs of both sides: (reference, port) of every pixel that both have, in the order of the references.

    A log that names no pixel is of `pixel`, else of the one before it, else of the only one there is. Raises
    BadInput where a pixel is on one side only, or none is named.
    """
    known = list(dict.fromkeys(trace.pixel for trace in (*c, *py) if trace.pixel is not None))
    if pixel is not None and any(other != pixel for other in known):
        raise BadInput(f"--pixel {pixel[0]} {pixel[1]}: expected logs of that pixel, got logs of {known[0]}")
    if pixel is None and not known:
        raise BadInput(f"{c[0].source}: expected the traced pixel (a TRACE_CONFIG line, or --pixel S F), got none")
    reference, candidate = (_by_pixel(side, pixel, known) for side in (c, py))
    for one, other in ((reference, candidate), (candidate, reference)):
        for spot in one:
            if spot not in other:
                raise BadInput(
                    f"expected traces of one pixel, got (slow, fast) {spot} in {one[spot].source} and "
                    f"{next(iter(other))} in {other[next(iter(other))].source}"
                )
    return [(trace, candidate[spot]) for spot, trace in reference.items()]


def put_right(c: list[Trace], py: list[Trace]) -> tuple[list[Trace], dict[Spot, str]]:
    """The port's logs under the pixel that they show where they name it as (fast, slow), and a note for each such one.

    Such a log has the pixel position of the reference's log, not one that is as far off as the named pixel is.
    """
    of = {trace.pixel: trace for trace in c if trace.pixel is not None}
    righted, notes = [], {}
    for trace in py:
        spot = None if trace.pixel is None else (trace.pixel[1], trace.pixel[0])
        if spot in of and trace.pixel not in of and _same_place(of[spot], trace, spot):
            notes[spot] = (
                f"{trace.source} names pixel {trace.pixel}: slow and fast exchanged; "
                f"its pixel position is that of {spot}"
            )
            trace = replace(trace, pixel=spot)
        righted.append(trace)
    return righted, notes


def _same_place(reference: Trace, candidate: Trace, spot: Spot) -> bool:
    """Return whether the traced positions lie nearer to each other than half of the way to the exchanged pixel."""
    places = [trace.numbers("pixel_pos_meters")[:1] for trace in (reference, candidate)]
    sizes = reference.numbers("beam_center_m.pixel_mm")
    if not all(places) or not sizes:
        return False
    way = math.sqrt(2.0) * abs(spot[0] - spot[1]) * sizes[0].values[0] / 1000.0
    one, other = (place[0].values for place in places)
    return len(one) == len(other) and math.dist(one, other) < 0.5 * way


def _by_pixel(traces: list[Trace], pixel: Spot | None, known: list[Spot]) -> dict[Spot, Trace]:
    logs: dict[Spot, list[Trace]] = {}
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
        logs.setdefault(spot, []).append(trace)
    return {spot: merged(each, spot) for spot, each in logs.items()}


def merged(logs: list[Trace], pixel: Spot) -> Trace:
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
