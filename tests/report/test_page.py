"""The page in a real browser, where one is installed: it works, and nothing leaves it."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from test_summary import ATLPA, BLACK, NONE, PAT, record

from atlpa.records import Credibility, Embedding, Finding, ImageCondition, Landscape, Regions
from atlpa.report import collect, write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

PROBE = """
<script>
window.addEventListener("load", () => {
  const found = {};
  const column = (number) =>
    [...document.querySelectorAll("#table1 tbody tr")].map((row) => row.cells[number].textContent.trim());
  const heads = document.querySelectorAll("#table1 th button");
  found.before = column(0);
  heads[1].click(); found.ascending = column(1);
  heads[1].click(); found.descending = column(1);
  heads[0].click(); found.names = column(0);
  const images = [...document.querySelectorAll(".figure img")];
  found.images = images.map((image) => image.naturalWidth);
  images[0].closest("button").click();
  found.opened = document.querySelector("dialog").open;
  found.enlarged = document.querySelector("dialog img").getBoundingClientRect().width >= images[0].naturalWidth;
  document.querySelector("dialog").click();
  found.closed = !document.querySelector("dialog").open;
  found.requests = performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 40));
  found.links = [...document.querySelectorAll("td a, li a")].map((link) => link.getAttribute("href"));
  document.querySelector('.ways a[href="#advice-0"]').click();
  found.advice = document.querySelector("#checks details").open;
  found.errors = window.problems;
  const place = document.createElement("pre");
  place.id = "probe";
  place.textContent = JSON.stringify(found);
  document.body.append(place);
});
</script>
"""
WATCH = """
<script>
window.problems = [];
const problem = (told) => window.problems.push(String(told));
window.onerror = problem;
window.addEventListener("unhandledrejection", (event) => problem(event.reason));
console.error = console.warn = problem;
</script>
"""


def analyses(network):
    data = replace(record(NONE, NONE, "white", 1).data, count=9, classes=3)
    machine = record(NONE, NONE, "white", 1).machine
    common = {"target": network, "data": data, "seed": 0, "seconds": 2.0, "machine": machine, "atlpa": "0"}
    seen = ImageCondition(threat="gray", epsilon=0.25, source=NONE, attack=record(NONE, NONE, "white", 1).attack)
    yield Regions(seen=seen, stage="conv4_x", inside=(0.2, 0.4), outside=(0.1, 0.5), **common)
    points = tuple((float(n % 3), float(n)) for n in range(9))
    scores = {"silhouettes": (0.1, 0.2), "raw_silhouette": 0.3}
    yield Embedding(
        seen=seen,
        classes=("rose", "tulip", "lily"),
        labels=(0, 1, 2) * 3,
        perplexity=3.0,
        points=points,
        **scores,
        **common,
    )
    grid = tuple(tuple(float(a * b) for b in range(3)) for a in range(3))
    yield Landscape(images=("one",), steps=(-0.1, 0.0, 0.1), losses=(grid,), **common)


@pytest.fixture
def page(tmp_path):
    """A report of three networks with everything on it."""
    evaluations = [
        *(record(network, network, "white", right) for network, right in ((NONE, 0), (PAT, 30), (ATLPA, 4))),
        *(record(network, NONE, "gray", right) for network, right in ((PAT, 40), (ATLPA, 60))),
        *(record(network, BLACK, "black", right) for network, right in ((NONE, 10), (PAT, 45), (ATLPA, 46))),
    ]
    finding = Finding(
        check="noise", status="warn", measured="<5 %", expected="0", source="Carlini", advice="look & see"
    )
    common = {"data": evaluations[0].data, "seed": 0, "seconds": 1.0, "machine": evaluations[0].machine, "atlpa": "0"}
    checks = [Credibility(target=PAT, epsilon=0.25, findings=(finding,), **common)]
    for number, one in enumerate([*evaluations, *checks, *analyses(PAT), *analyses(ATLPA)]):
        one.save(tmp_path / "records" / f"{number:02}.json")
    (tmp_path / "records" / "broken.json").write_text("{")
    write_report(collect([tmp_path / "records"]), tmp_path / "report")
    return tmp_path / "report" / "index.html"


def test_page_is_whole_without_a_browser(page):
    text = page.read_text()
    assert "1 of 16 records could not be read" in text
    assert "&lt;5 %" in text
    assert "look &amp; see" in text
    assert "warn: noise" in text
    assert not re.search(r'(src|href)="(https?:)?//', text)
    assert text.count("data:image/png;base64,") == 4


def browsed(address, folder, *flags):
    """What the page wrote into the probe at its end."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *flags]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    probe = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(probe[1]))


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_page_in_a_browser(page, tmp_path):
    page.write_text(page.read_text().replace("<head>", f"<head>{WATCH}").replace("</body>", f"{PROBE}</body>"))
    found = browsed(page.as_uri(), tmp_path)
    assert found["errors"] == []
    assert found["before"] == ["none resnet18", "pat resnet18", "atlpa resnet18"]
    assert found["names"] == sorted(found["names"])
    assert found["descending"] == found["ascending"][::-1] or len(set(found["ascending"])) == 1
    assert len(found["images"]) == 4
    assert min(found["images"]) > 100
    assert found["opened"]
    assert found["enlarged"]
    assert found["closed"]
    assert found["advice"]  # a link to what to do opens it
    assert all(name.startswith("data:") for name in found["requests"])
    ids = set(re.findall(r'id="([^"]+)"', page.read_text()))
    inside = [link for link in found["links"] if link.startswith("#")]
    assert {"#table1", "#transfer", "#advice-0"} <= set(inside)
    assert all(link[1:] in ids for link in inside)
    files = [link for link in found["links"] if not link.startswith("#")]
    assert files
    assert all((page.parent / link).is_file() for link in files)


MEASURE = """
<script>
window.addEventListener("load", () => {
  const colors = (element) => {
    let behind = element;
    while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
    return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
  };
  const table = document.querySelector("#table1 .wide");
  const head = [...table.querySelectorAll("th")];
  const row = [...table.querySelectorAll("tbody tr:last-child td")];
  table.scrollLeft = 1000;
  parent.postMessage(JSON.stringify({
    width: innerWidth,
    page: document.documentElement.scrollWidth,
    seen: head.filter((cell) => cell.getBoundingClientRect().right + table.scrollLeft <= innerWidth).length,
    columns: head.length,
    name: row[0].getBoundingClientRect().left - table.getBoundingClientRect().left,
    figures: [...document.querySelectorAll(".figure img")].map(
      (image) => image.getBoundingClientRect().width / image.naturalWidth),
    colors: ["h1", "li", "section > p", "td", "td a", "th button", "summary"].map(
      (name) => colors(document.querySelector(name))),
  }), "*");
});
</script>
"""
FRAME = """
<body style="margin: 0"><iframe src="{}" style="border: 0; width: {}px; height: 900px"></iframe>
<script>
addEventListener("message", (event) => {{
  const place = document.createElement("pre");
  place.id = "probe";
  place.textContent = event.data;
  document.body.append(place);
}});
</script>
"""


def contrast(pair):
    """WCAG 2.1's ratio of two CSS colors."""

    def luminance(color):
        parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted(map(luminance, pair))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_page_can_be_read_on_a_phone_and_at_night(page, tmp_path, width, dark):
    page.write_text(page.read_text().replace("</body>", f"{MEASURE}</body>"))
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(page.as_uri(), width))
    found = browsed(
        frame.as_uri(), tmp_path, "--window-size=1500,900", f"--blink-settings=preferredColorScheme={1 - dark}"
    )
    assert found["width"] == width
    assert found["page"] <= width  # tables and figures scroll, the page does not
    assert found["name"] == 0  # a row's name stays in sight
    assert found["seen"] >= 3 if width < 500 else found["seen"] == found["columns"]
    # 10 points are 21 pixels of a figure of 150 dots per inch: nine or more on the screen can be read.
    assert min(found["figures"]) * 21 >= 9
    assert min(map(contrast, found["colors"])) >= 4.5
    assert (contrast([found["colors"][0][1], "rgb(0, 0, 0)"]) < 4.5) == dark
