"""Page, Index, DevicePage and CampaignPage -> one self-contained HTML file each, in ASCII. No files, no network.

Everything from outside is escaped by jinja2; beyond that a Content-Security-Policy in each page lets the browser load
nothing and run nothing but the page's own script, which it knows by its hash.
"""

import base64
import hashlib
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tools.scaling.base.text import counted
from tools.scaling.page import curves
from tools.scaling.page.campaign_view import CampaignPage
from tools.scaling.page.view import DevicePage, Index, Number, Page

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
# Every other word is bad. DIVERGES is what a control does.
_TONES = {
    "PASS": "good", "AGREES": "good", "MINOR": "fair", "DIVERGES": "fair", "OPEN": "fair", "MEASURED": "fair",
    "NOT RUN": "halt", "BLOCKED": "halt", "GONE": "good", "FEWER": "fair",
}  # fmt: skip


def report_page(page: Page) -> str:
    """Return report.html of a bundle."""
    return _render("report.html.j2", page=page, plot=curves.plot, bars=curves.bars)


def index_page(index: Index) -> str:
    """Return index.html over many bundles."""
    return _render("index.html.j2", index=index, spark=curves.spark, **_script("index.js"))


def campaign_page(page: CampaignPage) -> str:
    """Return campaign.html."""
    return _render("campaign.html.j2", page=page, columns=curves.columns, **_script("campaign.js"))


def _script(name: str) -> dict[str, str]:
    script = (TEMPLATES / name).read_text(encoding="ascii")
    return {"script": script, "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}


def device_html(page: DevicePage) -> str:
    """Return report.html of the evidence of a device."""
    return _render("device.html.j2", page=page)


def _render(template: str, **values: object) -> str:
    text = _environment().get_template(template).render(**values, geometry=curves)
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="ascii"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (counted, value, delta, magnitude, percent, size, tone, times, many)
    environment.filters.update({each.__name__: each for each in filters})
    return environment


def value(number: Number) -> str:
    """Return the number with as many digits as a trace has."""
    return "-" if number is None else f"{number:.15g}"


def delta(number: Number, digits: int = 3) -> str:
    """Return a signed difference."""
    return value(number) if _has_no_magnitude(number) else f"{number:+.{digits}e}"


def magnitude(number: Number, digits: int = 3) -> str:
    """Return a difference without its sign."""
    return value(number) if _has_no_magnitude(number) else f"{number:.{digits}e}"


def _has_no_magnitude(number: Number) -> bool:
    return number is None or not math.isfinite(number) or number == 0


def percent(number: Number) -> str:
    return "-" if number is None else f"{number:.4%}".replace("%", " %")


def times(number: Number) -> str:
    return "-" if number is None else f"{number:,.4g} x"


def size(count: int | None) -> str:
    return "-" if count is None else f"{count:,} B"


def tone(word: str) -> str:
    """Return the colour class of a verdict or status word."""
    return _TONES.get(word, "bad")


def many(count: int) -> str:
    return f"{count:,}"
