"""The page in a real browser, where one is installed: it works, and nothing leaves it."""

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
  found.links = [...document.querySelectorAll("td a")].map((link) => link.getAttribute("href"));
  found.errors = window.problems;
  const place = document.createElement("pre");
  place.id = "probe";
  place.textContent = JSON.stringify(found);
  document.body.append(place);
});
</script>
"""
WATCH = "<script>window.problems = []; window.onerror = (message) => window.problems.push(message);</script>"


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


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_page_in_a_browser(page, tmp_path):
    text = page.read_text().replace("<head>", f"<head>{WATCH}").replace("</body>", f"{PROBE}</body>")
    page.write_text(text)
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    command += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    probe = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    found = json.loads(probe[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert found["errors"] == []
    assert found["before"] == ["none resnet18", "pat resnet18", "atlpa resnet18"]
    assert found["names"] == sorted(found["names"])
    assert found["descending"] == found["ascending"][::-1] or len(set(found["ascending"])) == 1
    assert len(found["images"]) == 4
    assert min(found["images"]) > 100
    assert found["opened"]
    assert found["enlarged"]
    assert found["closed"]
    assert all(name.startswith("data:") for name in found["requests"])
    assert found["links"]
    assert all((page.parent / link).is_file() for link in found["links"])
