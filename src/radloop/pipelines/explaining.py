"""Where every box of an image comes from and where it went: source row, label, prediction, review, re-training row."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import boxes, manifest, sealed, storage, tree
from radloop.catalog import version
from radloop.catalog.rule import Rule, standing
from radloop.catalog.version import Version
from radloop.errors import DatasetError, RadloopError
from radloop.feedback import guard, retraining, reviews, worklists
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records
from radloop.options import Explain
from radloop.pipelines import coming_back
from radloop.progress import Progress, silent
from radloop.storage import layout
from radloop.tables import CLASS_ID, CONSENSUS, EDGES, REFUSED_FILES, SCALED_SIDE_PX
from radloop.taxonomy import Taxonomy

_RETRAIN: Final = f"{manifest.RETRAIN}/"
_INCOMING: Final = f"{manifest.INCOMING}/"
_SIDES: Final = ("x_min", "y_min", "x_max", "y_max")


@dataclass(frozen=True)
class Node:
    """One thing, and what came of it. `facts` are the values behind `text`."""

    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple["Node", ...] = ()

    def lines(self, indent: str = "") -> Iterator[str]:
        """The tree as a person reads it."""
        yield self.text
        for number, part in enumerate(self.parts):
            last = number == len(self.parts) - 1
            first, *rest = part.lines()
            yield f"{'└─' if last else '├─'} {first}"
            yield from (f"{'  ' if last else '│ '} {line}" for line in rest)


@dataclass(frozen=True)
class Explanation:
    """The genealogy of one image."""

    asked: str
    image_id: str
    tree: Node


def explain(options: Explain, *, progress: Progress = silent) -> Explanation:
    """Everything that is known of the image `asked`, or of the image of the feedback `asked`.

    What became of feedback follows from the rule of the round that stands; where there is none, from `rule`. Raises
    DatasetError where no image and no feedback has this id. The store is asked once; where it does not answer, the tree
    says so.
    """
    asked, feedback, store = options.asked, options.feedback_folder, options.store_address
    known = version.read(options.dataset_folder)
    classes = known.taxonomy
    found = coming_back.feedback(options, known, keep=True, jobs=options.jobs, progress=progress)
    about = found.feedback.filter((pl.col("feedback_id") == asked) | (pl.col("image_id") == asked))
    in_dataset = asked in known.images["image_id"]
    if not in_dataset and about.is_empty():
        raise DatasetError(f"{asked}: neither {known.root} nor {feedback} knows an image or a feedback of this id.")
    image_id = asked if in_dataset else str(about["image_id"][0])

    published, trouble = _published(store)
    by = standing(known.root / manifest.RETRAIN) or options.rule
    rows = known.annotations.filter(image_id=image_id).sort("rad_id", "class_id", *EDGES, nulls_last=True)
    now = datetime.now(UTC)
    reviewed = reviews.read(options.reviews_folder, classes, convention=options.convention, now=now)
    parts = [
        *_picture(known, image_id, published),
        *_arrival(known, image_id, published),
        *_labels(known, rows, image_id, published),
        *_feedback(known, found, reviewed, image_id, by, published),
        *_place_in_line(options, known, found, reviewed, image_id),
    ]
    own = known.images.filter(image_id=image_id)
    place = f"{own['split'][0]}, group {own['group'][0]}" if own.height else "not in the dataset"
    facts = {"split": own["split"].first(), "group": own["group"].first(), "dataset": known.id, "store": store}
    return Explanation(asked, image_id, Node(f"image {image_id}: {place}{trouble}", facts, tuple(parts)))


def _published(address: str) -> tuple[dict[str, str], str]:
    """{key: MD5} of what the store's manifests list, and what is to be said where they cannot be read."""
    listed: dict[str, str] = {}
    try:
        with closing(storage.open_store(address)) as store:
            for prefix in ("", _RETRAIN, _INCOMING):
                unit = f"{manifest.UNIT}/{prefix}".rstrip("/")
                table = layout.read_manifest(store, prefix=unit)
                if table is not None:
                    listed |= {prefix + key: md5 for key, md5 in table.select("key", "md5").iter_rows()}
    except RadloopError as trouble:
        return listed, f" (the store cannot be asked: {trouble})"
    return listed, ""


def _in_store(key: str, md5: str, published: Mapping[str, str]) -> str:
    if key not in published:
        return "not in the store"
    return "in the store" if published[key] == md5 else "another version in the store"


def _file(key: str, md5: str, published: Mapping[str, str], parts: tuple[Node, ...] = ()) -> Node:
    stored = _in_store(key, md5, published)
    return Node(f"{key} ({stored})", {"key": key, "md5": md5, "store": stored}, parts)


def _picture(known: Version, image_id: str, published: Mapping[str, str]) -> Iterator[Node]:
    files = known.files.filter(kind="image", image_id=image_id).sort("key")
    if files.height:
        keys = tuple(_file(key, md5, published) for key, md5 in files.select("key", "md5").iter_rows())
        yield Node(f"picture, MD5 {files['md5'][0]}", {"md5": files["md5"][0]}, keys)


def _arrival(known: Version, image_id: str, published: Mapping[str, str]) -> Iterator[Node]:
    """When the picture of the image came in, and by which recipe it was made."""
    for one in known.incoming.filter(image_id=image_id).iter_rows(named=True):
        listed = manifest.read(known.root / manifest.INCOMING)
        own = () if listed is None else listed.filter(kind="image", image_id=image_id).select("key", "md5").iter_rows()
        files = tuple(_file(_INCOMING + key, md5, published) for key, md5 in own)
        recipe = f", made by {one['recipe']}" if one["recipe"] else ""
        kind = "an audit image: it measures, and never trains" if one["audit"] else "free to train once it is read"
        if one["held_out"]:
            kind = f"held out with its group, in {one['held_out']}"
        facts = {name: one[name] for name in ("recipe", "audit", "held_out", "site", "view")}
        facts["arrived_at"] = one["arrived_at"].isoformat()
        yield Node(f"came in {one['arrived_at']:%Y-%m-%d %H:%M}{recipe}; {kind}", facts, files)


def _labels(known: Version, rows: pl.DataFrame, image_id: str, published: Mapping[str, str]) -> Iterator[Node]:
    """The label files of the image with their lines, each with the rows that it comes from; then rows in none."""
    fused, normal = _consensus(known, image_id), _normal(known)
    for key, rad_id, md5 in (
        known.files.filter(kind="label", image_id=image_id).sort("key").select("key", "rad_id", "md5").iter_rows()
    ):
        if rad_id is None:
            parts = tuple(_fused(one, rows, known.taxonomy) for one in fused.iter_rows(named=True))
        else:
            mine = rows.filter("used", rad_id=rad_id)
            parts = tuple(_line(one, (_row(one),), normal=normal) for one in mine.iter_rows(named=True))
        yield _file(f"{key}", md5, published, parts)
    unused = rows.filter(~pl.col("used"))
    if unused.height:
        parts = tuple(_row(one) for one in unused.iter_rows(named=True))
        yield Node("rows in no label: a model's where people have read, or set aside", {}, parts)


def _normal(known: Version) -> str | None:
    """The line of a reading that found nothing; None where its label is an empty file."""
    is_class = known.settings.get("no_finding") == "class"
    return tree.whole_picture(known.taxonomy.nothing).rstrip() if is_class else None


def _consensus(known: Version, image_id: str) -> pl.DataFrame:
    path = known.root / tree.CONSENSUS
    if not path.is_file():
        return CONSENSUS.to_frame()
    table = sealed.decode(path.read_bytes(), name=str(path))
    if table is None:
        raise DatasetError(f"{path} is not radloop's, or damaged. Write the dataset again.")
    return table.cast({"class_id": CLASS_ID}).filter(image_id=image_id)


def _fused(one: Mapping[str, Any], rows: pl.DataFrame, classes: Taxonomy) -> Node:
    """A consensus box with the readers' boxes that were fused into it."""
    corners = [[one[edge] for edge in EDGES]]
    drawn = rows.filter(pl.col("rad_id").is_in(one["rad_ids"]), class_id=one["class_id"])
    members = tuple(
        _row(row)
        for row in drawn.iter_rows(named=True)
        if boxes.iou(corners, [[row[edge] for edge in EDGES]])[0, 0] > boxes.FUSION_IOU
    )
    said = f"{one['support']} of {one['readers']} readers, up to {one['spread']:.0%} apart"
    if one["kept"]:
        return _line(one, members, said=f"fused from {said}")
    return Node(f"{classes.name(one['class_id'])}: not in the label, drawn by {said}", dict(one), members)


def _line(one: Mapping[str, Any], parts: tuple[Node, ...], said: str = "", normal: str | None = None) -> Node:
    """A line of a label file."""
    if one["class_id"] is None:
        text = f"line `{normal}`: nothing was found" if normal else "no line: nothing was found"
        return Node(text, {"line": normal}, parts)
    inside = pl.DataFrame([{"class_id": one["class_id"], **{edge: min(max(one[edge], 0.0), 1.0) for edge in EDGES}}])
    line = tree.lines(inside).item().rstrip()
    return Node(f"line `{line}`{f', {said}' if said else ''}", {"line": line}, parts)


def _row(row: Mapping[str, Any]) -> Node:
    """A row of the source, in the pixels it came in."""
    facts = {key: row[key] for key in ("rad_id", "class_id", "class_name", *EDGES, "width", "height")}
    if row["class_id"] is None:
        return Node(f"source row: {row['rad_id']} found nothing", facts)
    sides = (row["width"], row["height"]) * 2
    box = " ".join(f"{row[edge] * side:.0f}" for edge, side in zip(EDGES, sides, strict=True))
    frame = f"{row['width']}×{row['height']}"
    return Node(f"source row: {row['rad_id']} drew {row['class_name']} at {box} of {frame} px", facts)


def _feedback(
    known: Version, found: Records, said: Reviews, image_id: str, rule: Rule, published: Mapping[str, str]
) -> Iterator[Node]:
    """The feedback on the image, newest last: what was seen, what reviewers said, and what trains."""
    mine = Records(
        found.feedback.filter(image_id=image_id), found.detections.filter(image_id=image_id), REFUSED_FILES.to_frame()
    )
    if mine.feedback.is_empty():
        return
    looked = said.reviews.join(mine.feedback, on="feedback_id", how="semi", maintain_order="left")
    theirs = Reviews(looked, said.findings, REFUSED_FILES.to_frame(), said.waiting)
    judged = guard.judge(mine.feedback, known.images)
    decided = retraining.decide(mine, judged, theirs, rule, synthetic=known.synthetic)
    fates = {one["feedback_id"]: one for one in decided.fates.iter_rows(named=True)}
    trained = _retrained(known.root, image_id)
    for one in mine.feedback.iter_rows(named=True):
        key = one["feedback_id"]
        fate = fates[key]
        why = f": {fate['reason']}" if fate["reason"] else ""
        parts = (
            *(
                _detection(box, known.taxonomy, *_threshold(box, one, rule))
                for box in mine.detections.filter(feedback_id=key).iter_rows(named=True)
            ),
            *(
                _review(row, said.findings, known.taxonomy)
                for row in looked.filter(feedback_id=key).iter_rows(named=True)
            ),
            *(_training_row(row, known, published) for row in trained.filter(feedback_id=key).iter_rows(named=True)),
        )
        model = " ".join(filter(None, (one["model"], one["model_version"]))) or "a model"
        facts = {
            "feedback_id": key,
            "file": one["file"],
            "timestamp": one["timestamp"].isoformat(),
            "model": model,
            "fate": fate["fate"],
            "code": fate["code"],
            "reason": fate["reason"],
            "simulated": one["simulated"],
        }
        yield Node(f"feedback {key} by {model}, {one['timestamp']:%Y-%m-%d %H:%M}: {fate['fate']}{why}", facts, parts)


def _place_in_line(options: Explain, known: Version, found: Records, said: Reviews, image_id: str) -> Iterator[Node]:
    """Where the image waits in the worklist, and what its place goes by; nothing where it does not wait."""
    judged = guard.judge(found.feedback, known.images)
    waits = worklists.waiting(judged, said, found.detections, seed=options.seed, read_twice=options.read_twice)
    if waits.filter(image_id=image_id).is_empty():
        return
    measured = worklists.measured(judged, found, known.readings, said)
    work = worklists.ordered(waits, found, known.readings, known=measured, places=options.places, seed=options.seed)
    for one in work.filter(image_id=image_id).iter_rows(named=True):
        names = ("place", "kind", "score", "state", "suspicion", "suspected")
        place = (
            f"waits to be read ({one['state']}): place {one['place']:,} of {work.height:,} of the order {options.order}"
        )
        doubt = f"; its labels: {one['suspicion']} ({one['suspected']:.2f})" if one["suspicion"] else ""
        yield Node(f"{place}, by {one['kind']}{doubt}", {"order": options.order, **{name: one[name] for name in names}})


def _threshold(box: Mapping[str, Any], told: Mapping[str, Any], rule: Rule) -> tuple[float | None, str]:
    """Above which a box of this feedback is a label, and how that reads where each class has its own."""
    above = rule.threshold(told["model"] or "", told["model_version"] or "", box["class_id"])
    if rule.policy == "threshold":
        return above, ""
    if above is None:
        return above, "; its class has no proven threshold"
    return above, f"; {'above' if box['confidence'] > above else 'not above'} its class's threshold {above:g}"


def _detection(box: Mapping[str, Any], classes: Taxonomy, threshold: float | None, said: str) -> Node:
    name = classes.name(box["class_id"])
    facts = {"class_id": box["class_id"], "confidence": box["confidence"], **{edge: box[edge] for edge in EDGES}}
    text = f"prediction: {name} with confidence {box['confidence']:.3f} at {_place(box)}{said}"
    return Node(text, facts | {"threshold": threshold})


def _place(box: Mapping[str, Any]) -> str:
    return " ".join(f"{box[edge] * SCALED_SIDE_PX:.0f}" for edge in EDGES) + f" of {SCALED_SIDE_PX}×{SCALED_SIDE_PX} px"


def _review(row: Mapping[str, Any], findings: pl.DataFrame, classes: Taxonomy) -> Node:
    drawn = tuple(
        Node(
            f"finding: {classes.name(one['class_id'])} at {_place(one)}",
            {"class_id": one["class_id"], **{edge: one[edge] for edge in EDGES}},
        )
        for one in findings.filter(file=row["file"]).iter_rows(named=True)
    )
    facts = {key: row[key] for key in ("review_id", "reviewer", "verdict", "adjudicates", "simulated", "file")}
    by = f"{row['reviewer']}{' (simulated)' if row['simulated'] else ''}"
    return Node(f"review by {by}: {row['verdict']}{', adjudicating' if row['adjudicates'] else ''}", facts, drawn)


def _retrained(root: Path, image_id: str) -> pl.DataFrame:
    path = root / manifest.RETRAIN / tree.RETRAIN_TABLE
    if not path.is_file():
        return pl.DataFrame(schema=dict.fromkeys(retraining.COLUMNS, pl.String))
    try:
        rows = pl.read_csv(path, infer_schema=False)
        if set(retraining.COLUMNS) - set(rows.columns):
            raise DatasetError(f"{path} has other columns than radloop writes. Run `radloop retrain` again.")
        return rows.filter(image_id=image_id).cast(dict.fromkeys((*_SIDES, "confidence"), pl.Float64))
    except pl.exceptions.PolarsError as broken:
        raise DatasetError(f"{path} cannot be read ({broken}). Run `radloop retrain` again.") from broken


def _training_row(row: Mapping[str, Any], known: Version, published: Mapping[str, str]) -> Node:
    """A row of retrain.csv and the label file that its line is in."""
    key = f"{_RETRAIN}labels/{tree.stem(row['image_id'], row['rad_id'])}.txt"
    path = known.root / key
    listed = manifest.read(known.root / manifest.RETRAIN)
    sums = {} if listed is None else dict(listed.select("key", "md5").iter_rows())
    label = (_file(key, sums.get(key.removeprefix(_RETRAIN), ""), published),) if path.is_file() else ()
    box = "".join(f" {row[side]:.1f}" for side in _SIDES if row[side] is not None)
    kind = "to ignore" if row.get("ignore") == "true" else row["source"]
    weight = f", weight {float(row['weight']):.2f}" if row.get("weight") else ""
    return Node(f"re-training row: {row['class_name']}{box} ({kind}{weight})", dict(row), label)
