"""The figures of the finished demo: of the command, its --json, the reports, the pages, and of other packages."""

import json
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app_pages import opened
from radloop import options, summaries
from radloop.catalog import truth, version
from radloop.dashboard import loading
from radloop.display import Summary
from radloop.measures import agreement
from radloop.pipelines import demo, evaluating

pytestmark = pytest.mark.peers

HERE = Path(__file__).parent
PYTHON = HERE.parent.parent / ".venv-peers/bin/python"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    demo.run(options.Demo(out=folder))
    return folder


@pytest.fixture(scope="module")
def peers(out: Path) -> dict[str, float]:
    """What pandas, pycocotools, scikit-learn and statsmodels make of the same files."""
    agreed = out / "truth.parquet"
    truth.of(version.read(out).readings).write_parquet(agreed)
    command = [PYTHON, HERE / "figures.py", out, agreed]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def of_record(record: evaluating.Evaluation) -> dict[str, float]:
    """The figures of `radloop evaluate`, and of its --json, by the names that the peers give them."""
    figures: dict[str, Any] = {}
    for each in record.models:
        named = {"images": each.images, "boxes of the truth": each.truth, "calibration error": each.calibration_error}
        named |= {"mAP@0.4": each.map_40["ap"], "mAP@0.5": each.map_50["ap"]}
        for name in ("precision", "recall"):
            ends = (("", ""), ("_low", ", low"), ("_high", ", high"))
            named |= {f"{name}{said}": each.pseudo_labels[f"{name}{end}"] for end, said in ends}
        figures |= {f"{each.split}: {name}": value for name, value in named.items() if value is not None}
    return figures


def of_text(summary: Summary) -> dict[str, str]:
    """The figures as the command prints them."""
    figures = {}
    for grid in summary.grids:
        where = grid.title.partition(" on ")[2]
        split = where.split(",")[0].split(":")[0]
        if grid.title.endswith("with 95 % intervals"):
            figures |= {f"{split}: {name}": value for name, value in grid.rows[1:]}
        elif "taken as labels" in grid.title:
            *_, precision, recall, _ = grid.rows[-1]
            figures |= {f"{split}: precision": precision, f"{split}: recall": recall}
    return figures


def of_page(out: Path) -> dict[str, str]:
    """The figures as the dashboard's Detector page shows them, of test."""
    test = opened("detector", options.Dashboard(out=out))
    shown = {metric.label: metric.value for metric in test.metric}
    names = {
        "mAP@0.4": "mAP@0.4",
        "mAP@0.5": "mAP@0.5",
        "Right above 0.9": "precision",
        "Calibration error": "calibration error",
    }
    return {f"test: {name}": shown[label] for label, name in names.items()}


def of_tables(out: Path) -> dict[str, float]:
    """The figures of summary.json, report.json and the Readers page."""
    summary = json.loads((out / "organized/summary.json").read_text())
    report = json.loads((out / "organized/retrain/report.json").read_text())
    found = loading.dataset(out / "organized")
    looked = agreement.readings(found.readings, found.taxonomy)
    kappas = agreement.by_class(looked).filter(population="all")
    pairs = agreement.by_pair(looked).filter(pl.col("class_id").is_not_null(), population="all").drop_nulls("kappa")
    of_pairs = {
        f"kappa of {pair['reader_a']} and {pair['reader_b']}, class {pair['class_id']}": pair["kappa"]
        for pair in pairs.iter_rows(named=True)
    }
    return {
        **{f"images of {split}": images for split, images in summary["splits"].items()},
        "rows of retrain.csv": sum(report["rows"].values()),
        "images of retrain.csv": report["images"],
        "rows that train": report["rows_that_train"],
        "feedback files": report["feedback"],
        **{
            f"kappa of class {n}": kappa
            for n, kappa in kappas.select("class_id", "kappa").iter_rows()
            if kappa is not None
        },
        **of_pairs,
    }


def test_figures_are_equal_wherever_their_words_are(out: Path, peers: dict[str, float]) -> None:
    record = evaluating.evaluate(options.Evaluate(out=out))
    printed, shown, text = of_record(record) | of_tables(out), of_page(out), of_text(summaries.of(record))
    names = [name for name in peers if name in printed]
    print(f"\n{'figure':34}{'peers':>12}{'--json':>12}{'page':>10}   command")
    for name in names:
        print(f"{name:34}{peers[name]:12.6g}{printed[name]:12.6g}{shown.get(name, ''):>10}   {text.get(name, '')}")
    assert {name: printed[name] for name in names} == pytest.approx({name: peers[name] for name in names}, abs=1e-9)
    unasked = {name for name in set(printed) - set(peers) if not name.startswith("kappa of R")}  # one pair is enough
    assert unasked <= {f"kappa of class {version.read(out).taxonomy.nothing}"}
    assert any(name.startswith("kappa of R") for name in names)
    assert {f"test: {name}" for name in ("mAP@0.4", "precision", "recall", "calibration error")} <= set(names)
    for name, value in shown.items():
        digits = f"{peers[name]:.1%}" if value.endswith("%") else f"{peers[name]:.3f}"
        assert value == digits, name
    for name in ("mAP@0.4", "mAP@0.5", "precision", "recall"):
        assert text[f"test: {name}"].startswith(f"{peers[f'test: {name}']:.2f}"), name
