"""How large the index of 1,000 bundles is, and how soon it answers: python -m tests.browser.measure_index [BUNDLES]"""

import sys
import tempfile
import time
from pathlib import Path

from tests.browser.conftest import FLAGS, found_chromium
from tests.scaling.page.bundles import thousand
from tools.scaling.base.repo import REPORTS_ROOT, ROOT
from tools.scaling.bundle.bundle import bundles
from tools.scaling.page.index import write_index

TYPED = """word => new Promise(done => {
  const words = document.getElementById("words"), start = performance.now();
  words.value = word;
  words.dispatchEvent(new Event("input", {bubbles: true}));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""


def main() -> None:
    from playwright.sync_api import sync_playwright

    home = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / REPORTS_ROOT
    source = [each for each in bundles(home) if each.path("metrics.json").exists()]
    if not source:
        sys.exit("expected a bundle to copy, got none; make one first: nox -s phase_m1")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        root = Path(scratch) / "many"
        thousand(root, source[-1])
        started = time.perf_counter()
        path = write_index(root)
        print(
            f"index of 1,000 bundles: {path.stat().st_size:,} bytes, written in {time.perf_counter() - started:.2f} s"
        )
        browser = playwright.chromium.launch(executable_path=found_chromium(), args=FLAGS)
        for width in (1280, 390):
            page = browser.new_page(viewport={"width": width, "height": 844})
            page.goto(path.as_uri(), wait_until="load")
            ready = page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
            typed = page.evaluate(TYPED, "float32")
            left = page.locator("#shown").inner_text()
            print(f"{width} px wide: interactive after {ready:.0f} ms; a filter ({left}) shown after {typed:.0f} ms")
        browser.close()


if __name__ == "__main__":
    main()
