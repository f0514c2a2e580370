"""matrix.md and matrix.json, and what changed since those that they take the place of."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.scaling.base.errors import BadInput
from tools.scaling.base.files import json_bytes, make_folder, refuse_foreign, text_bytes, write_all
from tools.scaling.base.reading import read_file
from tools.scaling.matrix.judge import Matrix

_LARGEST = 1 << 28  # bytes of a matrix.json
_COMPARED = {"outcome": "outcome", "worst_rel": "worst relative deviation", "unequal": "pixels off"}


def write_matrix(matrices: Sequence[Matrix], folder: Path) -> list[Path]:
    """matrix.md and matrix.json in `folder`, which is made if need be. Returns their paths."""
    from tools.scaling.matrix.text import matrix_markdown

    page, record = folder / "matrix.md", folder / "matrix.json"
    refuse_foreign({page: b"# Parity matrix", record: b'"cases"'})
    changed = changes(record, matrices) if record.exists() else None
    contents = {page: text_bytes(matrix_markdown(matrices, changed))}
    make_folder(folder)
    write_all(contents | {record: json_bytes(matrix_dict(matrices))})
    return [page, record]


def matrix_dict(matrices: Sequence[Matrix]) -> dict[str, Any]:
    """The matrix of a candidate as JSON has it; of several, all of them in a list."""
    return matrices[0].to_dict() if len(matrices) == 1 else {"matrices": [each.to_dict() for each in matrices]}


def changes(record: Path, matrices: Sequence[Matrix]) -> list[str]:
    """A line for each case whose outcome, worst deviation or pixels off are not as `record` has them."""
    try:
        data = json.loads(read_file(record, _LARGEST))
        before = [_rows(each) for each in data.get("matrices", [data])]
        then = {key: row for rows in before for key, row in rows.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{record}: expected the matrix of an earlier run, got {error!r}") from error
    now = {key: row for matrix in matrices for key, row in _rows(matrix.to_dict()).items()}
    lines = [f"{key}: new" for key in now if key not in then]
    lines += [f"{key}: no longer there" for key in then if key not in now]
    for key, row in now.items():
        differing = [name for name in _COMPARED if row[name] != then.get(key, row)[name]]
        told = (f"{_COMPARED[name]} was {_shown(then[key][name])}, is {_shown(row[name])}" for name in differing)
        lines += [f"{key}: {'; '.join(told)}"] if differing else []
    return lines


def _rows(matrix: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Candidate and case -> what is compared of it."""
    candidate = matrix.get("candidate", "port")
    return {
        f"{candidate}, {case['name']}": {
            "outcome": case["outcome"],
            "worst_rel": case["worst_rel"],
            "unequal": (case["image"] or {}).get("unequal"),
        }
        for case in matrix["cases"]
    }


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:.1e}" if isinstance(value, float) and value else str(value)
