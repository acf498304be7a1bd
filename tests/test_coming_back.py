"""What comes back is read as it was meant, waits, or is said: from the command line to the published table."""

import json
import shutil
import threading
import time
from pathlib import Path

import polars as pl
import pytest

import written_loop
from feedback_files import bare, put
from radloop import cli, manifest, sums, tree
from radloop.catalog import version
from radloop.feedback.conventions import of_flags
from radloop.pipelines import checking
from radloop.simulation.journal import Journal
from radloop.tables import EDGES
from taxonomies import VINDR


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """A dataset of 144 images, 36 of them in production; nothing has come back yet."""
    out = tmp_path_factory.mktemp("loop")
    written_loop.run(out, VINDR, images=144)
    for folder in (out / "feedback", out / "reviews", out / "organized" / "retrain", out / "logs"):
        shutil.rmtree(folder)
    return out


@pytest.fixture
def out(loop, tmp_path):
    shutil.copytree(loop, tmp_path / "out")
    return tmp_path / "out"


def rewrite_summary(root: Path, summary: dict) -> None:
    data = tree.json_file(summary)
    (root / tree.SUMMARY).write_bytes(data)
    written = pl.col("key") == tree.SUMMARY
    files = manifest.read(root).with_columns(
        bytes=pl.when(written).then(len(data)).otherwise("bytes"),
        **{
            name: pl.when(written).then(pl.lit(digits)).otherwise(name)
            for name, digits in sums.of(data)._asdict().items()
        },
    )
    (root / manifest.NAME).unlink()
    (root / manifest.NAME).write_bytes(manifest.encode(files))


def drawn(out: Path) -> list[tuple]:
    """image_id, class_id, class_name and corners of a box that a reader drew, of each production image that has one."""
    known = version.read(out / "organized")
    rows = known.readings.filter(pl.col("class_id").is_not_null(), split="production").unique(
        "image_id", keep="first", maintain_order=True
    )
    return [
        (row["image_id"], row["class_id"], row["class_name"], *(row[e] for e in EDGES))
        for row in rows.iter_rows(named=True)
    ]


def give(out: Path, flag: str = "cxcywh", base: int = 0, factor: float = 1, **changes) -> list[str]:
    declared = of_flags(bbox_format=flag)
    for image_id, class_id, name, *corners in drawn(out):
        named = {"class_name": name} if base else {}
        box = declared.of_corners(corners)[0].tolist()
        content = bare(
            image_id=image_id, class_id=class_id + base, bbox=box, confidence=0.97 * factor, **named, **changes
        )
        put(out / "feedback", f"{image_id}.json", content)
    return [image_id for image_id, *_ in drawn(out)]


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return int(stopped.value.code or 0), told.out, told.err


def retrain(capsys, out: Path, *flags: object) -> tuple[int, str, str]:
    return run(capsys, "retrain", "--out", out, "--store", out.parent / "store", *flags)


def report(out: Path) -> dict:
    return json.loads((out / "organized" / "retrain" / tree.REPORT).read_bytes())


def rows(out: Path) -> pl.DataFrame:
    table = pl.read_csv(out / "organized" / "retrain" / tree.RETRAIN_TABLE)
    return table.select("image_id", "class_id", "x_min", "y_min", "x_max", "y_max", "confidence", "timestamp", "trains")


def labels(out: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (out / "organized" / "retrain" / "labels").glob("*.txt")}


def review(out: Path, feedback: dict, **changes) -> dict:
    return {
        "feedback_id": feedback["feedback_id"],
        "image_id": feedback["image_id"],
        "reviewer": "reader-7",
        "verdict": "reject",
        "findings": [],
        "timestamp": "2026-11-23T10:00:00Z",
        **changes,
    }


def test_bare_feedback_becomes_a_published_table_without_a_label(out, capsys):
    given = give(out)
    status, said, _ = retrain(capsys, out)
    assert status == 0
    assert rows(out)["trains"].to_list() == [False] * len(given)
    unit = {path.name for path in (out.parent / "store" / "organized" / "retrain").iterdir()}
    assert tree.RETRAIN_TABLE in unit
    assert tree.RETRAIN_DATA not in unit
    assert labels(out) == {}
    assert "it tells one box of perhaps many" in " ".join(said.split())
    assert report(out)["rows_that_train"] == 0
    assert report(out)["kept_without_training"] == {"bare-feedback": len(given)}


@pytest.mark.parametrize(
    ("written", "flags"),
    [
        pytest.param({"flag": "xyxy"}, ["--bbox-format", "xyxy"], id="corners"),
        pytest.param({"flag": "xywh"}, ["--bbox-format", "xywh"], id="top-left"),
        pytest.param({"flag": "cxcywh:pixel"}, ["--bbox-format", "cxcywh:pixel"], id="pixels"),
        pytest.param({"flag": "xyxy:percent"}, ["--bbox-format", "xyxy:percent"], id="corners in percent"),
        pytest.param({"base": 1}, ["--class-base", "1"], id="ids from one"),
        pytest.param({"factor": 100}, ["--confidence-unit", "percent"], id="percent"),
        pytest.param({"timestamp": "1795428000250"}, ["--time-unit", "milliseconds"], id="milliseconds"),
        pytest.param({"timestamp": 1795428000.25}, ["--time-unit", "seconds"], id="seconds"),
    ],
)
def test_other_convention_stops_and_with_its_flag_gives_the_same_table(out, capsys, written, flags):
    give(out, timestamp="2026-11-23T10:00:00.250Z")
    assert retrain(capsys, out)[0] == 0
    expected = rows(out)
    shutil.rmtree(out / "feedback")
    shutil.rmtree(out / "organized" / "retrain")
    give(out, **{"timestamp": "2026-11-23T10:00:00.250Z", **written})

    status, _, error = retrain(capsys, out)
    assert status == 1
    assert " ".join(flags) in error
    assert not (out / "organized" / "retrain").exists()
    for command in ("review", "evaluate"):
        assert run(capsys, command, "--out", out, *(["--queue"] if command == "review" else []))[0] == 1

    assert retrain(capsys, out, *flags)[0] == 0
    edges = ["x_min", "y_min", "x_max", "y_max"]
    assert rows(out).drop(edges).equals(expected.drop(edges))
    assert rows(out).select(edges).to_numpy() == pytest.approx(expected.select(edges).to_numpy(), abs=1e-6)


def test_no_image_that_a_radiologist_rejected_trains_however_the_file_looks(out, capsys):
    given = give(out)
    kinds = [
        lambda one: json.dumps(one).encode()[:90],
        lambda one: b"\xef\xbb\xbf" + json.dumps(one).encode(),
        lambda one: json.dumps(one | {"verdict": "Reject"}).encode(),
        lambda one: json.dumps(one | {"image_id": one["image_id"].upper()}).encode(),
        lambda one: json.dumps(one | {"timestamp": 1795168800}).encode(),
    ]
    for number, image_id in enumerate(given):
        path = out / "feedback" / f"{image_id}.json"
        feedback = json.loads(path.read_bytes()) | {"feedback_id": f"{number:032x}", "detections": []}
        feedback["detections"] = [{name: feedback[name] for name in ("class_id", "confidence", "bbox")}]
        put(out / "feedback", path.name, feedback)
        data = kinds[number % 5](review(out, feedback))
        put(out / "reviews", f"{feedback['feedback_id']}.reader-7.{number:032x}.json", data)

    status, said, _ = retrain(capsys, out)

    assert status == 0
    assert not (out / "organized" / "retrain").exists()
    assert "feedback files wait for reviews that can be read" in " ".join(said.split())
    assert f"{0:032x}.reader-7.{0:032x}.json" in "".join(said.split())
    refused = pl.read_csv(out / tree.REFUSED)
    waiting = [number for number in range(len(given)) if number % 5 in (0, 4)]
    assert sorted(refused["code"]) == sorted("not-json" if number % 5 == 0 else "bad-timestamp" for number in waiting)

    for number in waiting:  # mended
        feedback = json.loads((out / "feedback" / f"{given[number]}.json").read_bytes())
        content = review(
            out, feedback, verdict="accept", findings=[{"class_id": feedback["class_id"], "bbox": feedback["bbox"]}]
        )
        put(out / "reviews", f"{feedback['feedback_id']}.reader-7.{number:032x}.json", content)
    assert retrain(capsys, out)[0] == 0
    assert sorted(rows(out)["image_id"]) == sorted(given[number] for number in waiting)
    assert rows(out)["trains"].all()
    assert not (out / tree.REFUSED).exists()


def test_what_was_simulated_does_not_train_real_data_unless_it_is_said(out, capsys):
    summary = json.loads((out / "organized" / tree.SUMMARY).read_bytes())
    for source, flags, trains in (
        ("synthetic:48", [], True),
        ("/my/xrays", [], False),
        ("kaggle", ["--allow-simulated"], True),
    ):
        rewrite_summary(out / "organized", summary | {"source": source})
        for image_id, class_id, _, *corners in drawn(out):
            box = of_flags().of_corners(corners)[0].tolist()
            found = {"class_id": class_id, "confidence": 0.97, "bbox": box}
            feedback = bare(image_id=image_id, **found, detections=[found], model={"name": "random"})
            put(out / "feedback", f"{image_id}.json", feedback)
        status, said, _ = retrain(capsys, out, *flags)
        assert status == 0
        assert set(rows(out)["trains"]) == {trains}
        assert bool(labels(out)) is trains
        assert (out / "organized" / "retrain" / tree.RETRAIN_DATA).exists() is trains
        assert ("--allow-simulated was used" in said) is bool(flags)
        assert report(out)["rule"]["allow_simulated"] is bool(flags)
        assert checking.check(out).violations.filter(pl.col("key").str.starts_with("retrain/")).rows() == []


def test_run_that_still_plays_is_waited_for(out, capsys):
    give(out)
    log = out / "logs" / "online_data.log"
    last = drawn(out)[-1][0]
    late = (out / "feedback" / f"{last}.json").read_bytes()
    (out / "feedback" / f"{last}.json").unlink()

    def play(journal: Journal) -> None:
        time.sleep(0.5)
        put(out / "feedback", f"{last}.json", late)
        journal.write("end")

    with Journal(log, "r1") as journal:
        journal.write("start")
        status, said, _ = retrain(capsys, out, "--wait", "0")
        assert status == 0
        assert "run r1 of the simulator still plays" in " ".join(said.split())
        assert last not in rows(out)["image_id"].to_list()
        playing = threading.Thread(target=play, args=(journal,))
        playing.start()
        status, said, error = retrain(capsys, out, "--wait", "1m")
        playing.join()
    assert status == 0
    assert "waiting for run r1" in error
    assert "still plays" not in said
    assert last in rows(out)["image_id"].to_list()


def test_times_without_a_zone_are_counted_once_and_read_as_declared(out, capsys):
    given = give(out, timestamp="2026-11-22T10:00:00")
    said = " ".join(retrain(capsys, out)[1].split())
    assert f"! {len(given)} times without a zone were read as UTC: --time-zone names another" in said
    assert set(rows(out)["timestamp"]) == {"2026-11-22T10:00:00.000000+00:00"}
    said = " ".join(retrain(capsys, out, "--time-zone", "Europe/Berlin")[1].split())
    assert f"! {len(given)} times without a zone were read as Europe/Berlin" in said
    assert set(rows(out)["timestamp"]) == {"2026-11-22T09:00:00.000000+00:00"}
