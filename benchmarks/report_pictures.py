"""The pictures of docs/report.md, anew: `python -m benchmarks.report_pictures`.

Screenshots need Chromium on the PATH.
"""

import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

from turnout import config, prices
from turnout.report import page

ROOT = Path(__file__).parents[1]
FLEET, FOLDER = ROOT / "benchmarks/report_fleet.yaml", ROOT / "docs/report"
#: Pictures that docs/report.md shows, of all that the report has.
SHOWN = ("fleet.svg", "break-even-churn.svg", "freshness-churn.svg")
#: Width and height of a desk, a tablet and a phone.
SIZES = {"desk": (1280, 2150), "tablet": (820, 2150), "phone": (390, 2500)}


def main() -> None:
    models = config.load(FLEET, root=ROOT).models
    found = page.report(models, config.stage("prod"), prices.load(), date.today())
    FOLDER.mkdir(exist_ok=True)
    drawn = page.files(found)
    for name in SHOWN:
        (FOLDER / name).write_text(drawn[name], encoding="utf-8")
    html = ROOT / ".turnout/report.html"
    html.parent.mkdir(exist_ok=True)
    html.write_text(page.page(found), encoding="utf-8")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("There is no Chromium on the PATH: pictures were written, screenshots were not.")
    for device, size in SIZES.items():
        for scheme, preferred in {"dark": 0, "light": 1}.items():
            shoot(chromium, html, FOLDER / f"{device}-{scheme}.png", size, preferred)


def shoot(chromium: str, html: Path, to: Path, size: tuple[int, int], scheme: int) -> None:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options += [f"--blink-settings=preferredColorScheme={scheme}", f"--window-size={size[0]},{size[1]}"]
    subprocess.run([chromium, *options, f"--screenshot={to}", html.as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    main()
