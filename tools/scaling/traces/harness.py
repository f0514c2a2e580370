"""Traces one pixel of a case through the port. What needs torch is imported by the function that needs it."""

from pathlib import Path
from typing import Any

from tools.scaling.base.errors import of_port
from tools.scaling.base.files import json_bytes, refuse_foreign, text_bytes, write_all, write_text
from tools.scaling.cases.case import find_case


def harness(
    case_name: str,
    *,
    out: Path,
    pixel: tuple[int, int] | None,
    phi_mode: str | None = None,
    mode: str | None = None,
    vectors: str,
    device: str,
    dtype: str,
    hkl: Path | None = None,
    dump_per_phi: bool = False,
) -> list[Path]:
    """Trace one pixel of a case through the port into `out`. Returns the files written.

    phi_mode: what phi == 0 does, whatever the program of `mode` or of the case does there; None: as it does.
    With `dump_per_phi` the TRACE_PY_PHI rows go also to STEM_per_phi.log and .json beside it.
    """
    case = find_case(case_name).with_hkl(hkl)
    slow, fast = case.pixel(pixel)
    followed = ("--mode", mode) if mode else ()
    config = case.config(*followed, *(("--phi-mode", phi_mode) if phi_mode else ()), "--vectors", vectors)
    import torch

    from nanobragg_torch.errors import NanoBraggError
    from nanobragg_torch.products.trace import render, trace_pixel
    from tools.scaling.engine.diff import open_device

    try:
        lines = trace_pixel(config, slow, fast, device=open_device(device), dtype=getattr(torch, dtype))
    except NanoBraggError as error:
        raise of_port(error) from error
    text = render(lines, prefix="TRACE_PY")
    if not dump_per_phi:
        write_text(out, text)
        return [out]
    log, table = (out.with_name(f"{out.stem}_per_phi{suffix}") for suffix in (".log", ".json"))
    refuse_foreign({log: b"TRACE_PY_PHI ", table: b'"phi_mode"'})
    rows = [line for line in text.splitlines() if line.startswith("TRACE_PY_PHI ")]
    fields = [dict(item.split("=", 1) for item in row.split()[1:]) for row in rows]
    numbers = [{k: int(v) if k == "phi_tic" else float(v) for k, v in row.items()} for row in fields]
    settings: dict[str, Any] = {"case": case.name, "pixel_slow_fast": [slow, fast]}
    settings |= {"phi_mode": "c-parity" if config.quirks.on("Q29") else "spec"}
    settings |= {"vectors": vectors} | ({"mode": mode} if mode else {})
    settings |= {"device": device, "dtype": dtype, "per_phi": numbers}
    per_phi = "".join(f"{row}\n" for row in rows)
    write_all({out: text_bytes(text), log: text_bytes(per_phi), table: json_bytes(settings)})
    return [out, log, table]
