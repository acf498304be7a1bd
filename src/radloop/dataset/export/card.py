"""What a dataset tells of itself where a format asks: in sentences, with figures from its own tables alone."""

import polars as pl

from radloop.boxes import FUSION_IOU
from radloop.dataset.export.contents import Contents
from radloop.tables import PREDICTION, READER
from radloop.words import several


def description(contents: Contents) -> str:
    """One paragraph."""
    made_up = " The images are synthetic: nothing in them says anything of patients." if is_made_up(contents) else ""
    return (
        f"Radiographs with boxes of {several(len(contents.classes), 'class')} of findings, in "
        f"{several(len(contents.splits), 'split')} that share no group of images, made by radloop of "
        f"{contents.source}: {several(contents.images.height, 'image')}, {several(contents.boxes.height, 'box')} "
        f"in its labels.{made_up}"
    )


def is_made_up(contents: Contents) -> bool:
    """Whether radloop drew the images itself."""
    return contents.source.startswith("synthetic:")


def responsible(contents: Contents) -> dict[str, str | list[str]]:
    """Croissant's fields for responsible AI."""
    annotations = contents.annotations
    own = annotations.filter(source=READER)
    readings = own.select("image_id", "rad_id").unique()
    looked = readings.group_by("image_id").len()["len"]
    program = annotations.filter(source=PREDICTION).height
    groups, images = annotations["group"].n_unique(), annotations["image_id"].n_unique()
    return {
        "rai:dataCollection": (
            "Drawn by a program from rates that were measured on real images."
            if is_made_up(contents)
            else f"Taken over from {contents.source}: radloop adds no image and no annotation of its own. How and "
            "where the images were taken is told by whoever published that source."
        ),
        "rai:dataPreprocessingProtocol": [
            "Every row was checked against the size of its picture; refused ones, and readings that lost a row, are in "
            "no label. Pictures are copied without text tags; splits keep patients and near-duplicates together."
        ],
        "rai:dataAnnotationProtocol": [
            f"{several(readings['rad_id'].n_unique(), 'reader')} each drew a box around every finding, or said that "
            'there is none (class_name "No finding", no box). A row of `annotations` is a reader\'s box or such a word.'
        ],
        "rai:annotationsPerItem": f"{_range(looked)} an image",
        "rai:dataAnnotationAnalysis": [
            "`consensus` holds the readers' boxes fused class by class (weighted boxes fusion at an IoU of "
            f"{FUSION_IOU:g}), each with how many readers drew it."
        ],
        "rai:machineAnnotationTools": [
            f'{several(program, "row")} of `annotations` are a detector\'s (source "{PREDICTION}").'
        ],
        "rai:dataBiases": [*_biases(own, readings)],
        "rai:dataLimitations": [
            f"{several(groups, 'group')} of {several(images, 'image')}: what the source does not tell of patients can "
            "only be suspected from likeness, so one patient may be in two splits. A label of one reader is an opinion."
        ],
        "rai:dataUseCases": [
            "Building, testing and comparing detectors, and measuring readers' disagreement. Not for diagnosis, and "
            "not for estimating how common a disease is."
        ],
        "rai:personalSensitiveInformation": [
            "image_id and rad_id are published in clear, patients' ids never. Text burnt into pictures is not looked "
            "for."
        ],
    }


def _range(counts: pl.Series) -> str:
    if counts.is_empty():
        return "no reading of a person on"
    low, high = int(counts.min()), int(counts.max())  # type: ignore[arg-type]  # of whole numbers
    return several(high, "reading") if low == high else f"{low} to {several(high, 'reading')}"


def _biases(own: pl.DataFrame, readings: pl.DataFrame) -> list[str]:
    if own.is_empty():
        return ["No reader has seen the images."]
    rows = own["rad_id"].value_counts(sort=True)
    busiest = rows.sort("count", "rad_id", descending=[True, False])["count"][0] / own.height
    found = own.filter(pl.col("class_id").is_not_null())["image_id"].n_unique()
    share = found / readings["image_id"].n_unique()
    return [
        f"Readers are uneven: the busiest wrote {busiest:.0%} of the rows. Who read an image may foretell its label, "
        "so rad_id is a confounder and never a feature.",
        f"{share:.0%} of the images have a finding, which is not the rate of any clinic.",
    ]
