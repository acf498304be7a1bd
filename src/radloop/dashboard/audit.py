"""The section of the Detector page that says how often the model is wrong: on images drawn by lot."""

import streamlit as st

from radloop.catalog import judging
from radloop.catalog.rule import Rule
from radloop.dashboard import layout, loop
from radloop.dashboard.loading import Dataset, Feedback, Reviewed, measured
from radloop.feedback import audit, weighing
from radloop.feedback.audit import Audited
from radloop.options import Dashboard


def show(inputs: Dashboard, said: Feedback) -> None:
    """A sentence for each detector; nothing where the dataset or the reviews cannot be read."""
    found, reviewed = layout.quiet_dataset(inputs), layout.reviews(inputs)
    if found is None or reviewed is None or not loop.has_images(found):
        return
    st.markdown("**How often is the model wrong? The images drawn by lot**")
    audits = measure(found, said, reviewed, inputs.seed)
    for each in audits:
        name = judging.name(each.model, each.model_version)
        st.markdown((f"{layout.plain(name)}: " if len(audits) > 1 else "") + sentence(each))
    if not audits:
        st.markdown("The lot, which draws a tenth of the images that may train, has drawn none of those with feedback.")
    st.caption(
        "Drawn by their ids alone, whatever the model said, outside training and the held-out splits. Wrong: the "
        f"model's boxes from {Rule().doubtful:g} on are not those of the review, class by class at an IoU above "
        f"{weighing.SAME_BOX_IOU:g}. All reviews together would not tell: the queue begins with what the model doubts."
    )


@measured
def measure(dataset: Dataset, said: Feedback, reviewed: Reviewed, seed: int) -> list[Audited]:
    """`audit.audited` of what the dashboard has read."""
    images = dataset.images
    return audit.audited(said.records, loop.judged(dataset, said), reviewed.reviews, images, seed=seed)


def sentence(each: Audited) -> str:
    """What the lot says of one detector.

    >>> print(sentence(Audited("net", "1", 61, 40, 12, 2, 0, 0, (0.176, 0.452))).replace(". ", ".\\n"))
    Of 61 images drawn by lot 40 are reviewed: the model was wrong on 12 (30.0%, 95 % interval 17.6% to 45.2%).
    19 without a review that counts: they may differ.
    2 rejected as not usable.
    """
    said = "none is reviewed yet: how often the model is wrong is unknown."
    if each.reviewed:
        interval = "too few for an interval"
        if each.wrong_interval is not None:
            interval = "95 % interval {} to {}".format(*map(layout.share, each.wrong_interval))
        share = layout.share(each.wrong / each.reviewed)
        said = f"{each.reviewed:,} are reviewed: the model was wrong on {each.wrong:,} ({share}, {interval})."
    further = (
        (each.waiting, "without a review that counts: they may differ."),
        (each.unusable, "rejected as not usable."),
        (each.top_box_only, "of which only the top box is told: what else the model saw there counts as missed."),
        (each.simulated, "reviewed by a program (simulated)."),
    )
    told = (f" {count:,} {what}" for count, what in further if count)
    return f"Of {each.drawn:,} images drawn by lot {said}" + "".join(told)
