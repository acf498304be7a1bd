"""Which images are meant by an image or a person that is to be forgotten, and what else they are known by.

A patient's id is asked for here, compared, and goes no further: no message and no record repeats what was asked.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from radloop import manifest, pixels, tree, values
from radloop.catalog import heldout, history, incoming, version
from radloop.dataset import forgetting, ids, patients, pictures
from radloop.dataset.forgetting import Gone, renamed_groups
from radloop.dicom import pseudonyms
from radloop.dicom.pseudonyms import Origin, Pseudonyms
from radloop.errors import DatasetError, SourceError, UsageError
from radloop.feedback import mentions
from radloop.feedback.mentions import Wanted
from radloop.options import Forget
from radloop.sources import formats, raw
from radloop.words import several

Get = Callable[[str], bytes | None]  # the bytes of a key such as organized/data.yaml; None where there is none
_Origins = Sequence[tuple[Origin, str | None]]  # the table that leads back; the pseudonym of each one's patient

_KNOWN: Final = pl.Schema(
    {
        "image_id": pl.String,
        "group": pl.String,
        "md5": pl.String,
        "pixels_md5": pl.String,
        "patient": pl.String,
        "key": pl.String,  # of its picture, with its unit's name
    }
)


@dataclass(frozen=True)
class Whose:
    """The images, and all that leads to them."""

    gone: Gone
    wanted: Wanted
    pixels: Mapping[str, str | None]  # MD5s of the gray values, by image; None where there is no picture to decode
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """What lies in OUT/raw, or is read where it lies."""

    rows: pl.DataFrame  # image_id, patient_id
    pictures: pl.DataFrame  # image_id, path
    folder: Path | None
    is_dicom: bool = False


def find(options: Forget, here: Get, store: Get) -> Whose:
    """The images that `options.asked` means, in OUT, in the store, in what the source's labels tell, and in feedback.

    Raises UsageError where nothing is known of it, or where it may mean two things.
    """
    known = pl.concat([_KNOWN.to_frame(), *(table for get in (here, store) for table in _known(get))])
    source, trouble = _source(options.out)
    keyed = Pseudonyms.open(options.out, writing=False)
    meant = _meant(options, known, source, keyed, lineages=tuple(filter(None, map(_lineage, (here, store)))))
    meant |= _twins(known, meant)
    told = known.filter(pl.col("image_id").is_in(list(meant)))
    files = {*told["md5"].drop_nulls(), *_md5s_of_source(source, meant)}
    others = frozenset(known["image_id"]) | frozenset(source.pictures["image_id"])
    wanted = Wanted(meant, frozenset(files), others=others - meant)
    found = [mentions.find(folder, wanted) for folder in (options.feedback_folder, options.reviews_folder)]
    feedback_ids = found[0].feedback_ids | _trained(here, meant) | _trained(store, meant)
    tables = known.select("image_id", "group").drop_nulls()
    gone = Gone(meant, frozenset(files), feedback_ids, renamed_groups(meant, tables))
    notes = [*trouble, *_of_twins(known, meant), *_alike(options, source), *_left_alone(options, source, meant)]
    unreadable = sum(one.unreadable for one in found)
    if unreadable:
        notes.append(
            f"{several(unreadable, 'file')} of feedback and reviews cannot be read: their names alone were looked at"
        )
    wanted = replace(wanted, feedback_ids=feedback_ids)
    return Whose(gone, wanted, _pixels(told, meant, source, here, store), tuple(notes))


def _meant(
    options: Forget,
    known: pl.DataFrame,
    source: _Source,
    keyed: Pseudonyms,
    *,
    lineages: tuple[str, ...],
) -> frozenset[str]:
    asked = options.asked.strip()
    origins = [(one, keyed.patient(one.patient_id, one.issuer)) for one in keyed.origins()]
    as_image = {asked} & {*known["image_id"], *source.pictures["image_id"], *source.rows["image_id"]}
    as_image |= {one.image_id for one, _ in origins if one.sop_instance_uid == asked}
    if not as_image and mentions.find(options.feedback_folder, Wanted(frozenset({asked}))).count:
        as_image = {asked}
    names = {asked, *_pseudonyms(options, asked, keyed, origins)}
    hashes = names | _hashes(names, lineages)
    as_patient = {one.image_id for one, patient in origins if patient in names}
    told = known.select("image_id", "patient").drop_nulls()
    as_patient |= {image_id for image_id, named in told.iter_rows() if hashes & {*named.split()}}
    as_patient |= {*source.rows.filter(pl.col("patient_id").is_in(list(names)))["image_id"]}
    if options.kind == "image":
        as_patient = set()
    elif options.kind == "patient":
        as_image = set()
    if as_image and as_patient - as_image:
        raise UsageError(
            f"it is the id of an image, and that of a patient with {several(len(as_patient), 'image')}. Say which is "
            "meant with --kind image or --kind patient."
        )
    if not as_image | as_patient:
        raise UsageError(_unknown(options, source, origins))
    return frozenset(as_image | as_patient)


def _unknown(options: Forget, source: _Source, origins: _Origins) -> str:
    """The sentence of what was looked for, without what it was."""
    places = [f"the dataset and the incoming pictures of {options.out} and {options.store_address}"]
    places += [f"the labels and pictures of the source ({several(source.rows['image_id'].n_unique(), 'image')})"]
    places += (
        [f"{options.feedback_folder}", f"{options.out / pseudonyms.FOLDER}"]
        if origins
        else [f"{options.feedback_folder}"]
    )
    return (
        "unknown image or patient: no image_id, patient_id, PatientID, SOPInstanceUID or pseudonym is written so. "
        f"Looked in {'; '.join(places)}."
    )


def _hashes(names: set[str], lineages: tuple[str, ...]) -> set[str]:
    """How the memories of these lineages call a patient of one of these names, as it is written."""
    written = pl.DataFrame({"patient": [patients.hashes(name)[0] for name in sorted(names) if name.strip()]})
    return {name for one in lineages for name in heldout.patients_of(written, one)["patient"]}


def _pseudonyms(options: Forget, asked: str, keyed: Pseudonyms, origins: _Origins) -> Iterator[str]:
    """What the patient of a PatientID in clear is called. Raises UsageError where several may be meant."""
    issuers = {one.issuer for one, _ in origins} | {""} if options.issuer is None else {options.issuer}
    named = {name for issuer in issuers if (name := keyed.patient(asked, issuer))}
    known = {patient for _, patient in origins if patient in named}
    if len(known) > 1:
        raise UsageError(
            f"{len(known)} patients have this id, each of another issuer. Say whose is meant with --issuer (an empty "
            "one: none was named)."
        )
    yield from named


def _lineage(get: Get) -> str | None:
    data = get(f"{manifest.UNIT}/{tree.SUMMARY}")
    return None if data is None else version.lineage_of_summary(data)


def _known(get: Get) -> Iterator[pl.DataFrame]:
    """_KNOWN of all images that a place has or remembers; the current version is asked last."""
    unit, apart = manifest.UNIT, manifest.INCOMING_UNIT
    yield from _kept(get)
    for prefix in (unit, apart):
        data = get(f"{prefix}/{manifest.NAME}")
        if data is None:
            continue
        listed = manifest.decode(data, name=prefix)
        keys = listed.filter(pl.col("kind") == "image").group_by("image_id").agg(pl.col("key").min())
        keys = keys.with_columns(key=pl.format(f"{prefix}/{{}}", "key"))
        if prefix == apart:
            tables = [incoming.decode(get(f"{apart}/{tree.INCOMING}") or b"", name=f"{apart}/{tree.INCOMING}")]
        else:
            tables = _tables(get)
        for table in tables:
            yield table.join(keys, on="image_id", how="left").match_to_schema(
                _KNOWN, missing_columns="insert", extra_columns="ignore"
            )


def _kept(get: Get) -> Iterator[pl.DataFrame]:
    """_KNOWN of the images of earlier versions; what is damaged of these, `forget` keeps no more."""
    told = history.decode(get(f"{manifest.UNIT}/{history.NAME}"), name=history.NAME)
    for one, kept in told.kept.items():
        listed_key, documents_key = (f"{manifest.UNIT}/{key}" for key in kept.keys(one))
        with suppress(DatasetError):
            listed = manifest.decode(get(listed_key) or b"", name=listed_key)
            files = history.unpacked(get(documents_key), listed, name=documents_key)
            rows = listed.filter(kind="image").select("image_id", "key", "md5").unique("image_id").iter_rows()
            places = {image_id: f"{manifest.UNIT}/{history.picture_key(key, md5)}" for image_id, key, md5 in rows}
            keys = pl.DataFrame({"image_id": list(places), "key": list(places.values())}, schema_overrides=_KEYS)
            for table in _tables({f"{manifest.UNIT}/{key}": data for key, data in files.items()}.get):
                yield table.join(keys, on="image_id", how="left").match_to_schema(
                    _KNOWN, missing_columns="insert", extra_columns="ignore"
                )


_KEYS: Final = {"image_id": pl.String, "key": pl.String}


def _tables(get: Get) -> list[pl.DataFrame]:
    annotations, memory = (get(f"{manifest.UNIT}/{key}") for key in (tree.ANNOTATIONS, tree.HELDOUT))
    classes = version.taxonomy_of(get(f"{manifest.UNIT}/{tree.SUMMARY}"), name=manifest.UNIT)
    found = [version.images(version.decode(annotations or b"", classes, name=tree.ANNOTATIONS))]
    if memory is not None:
        found.append(heldout.decode(memory, name=tree.HELDOUT).rename({"patients": "patient"}))
    return found


def _source(out: Path) -> tuple[_Source, list[str]]:
    """The labels' ids as the pictures are named, and what is to be said where the labels cannot be read."""
    nothing = pl.DataFrame(schema={"image_id": pl.String, "patient_id": pl.String})
    empty = pl.DataFrame(schema={"image_id": pl.String, "path": pl.String})
    if not (out / "raw" / "source.json").is_file():
        return _Source(nothing, empty, None), []
    try:
        data = raw.read(out)
        found = pictures.find(data.pictures) if data.pictures else empty
        rows = formats.read(data).rows
        rows = ids.match(rows["image_id"], found, name=data.annotations.name).apply(rows)
    except (SourceError, OSError):
        return _Source(nothing, empty, None), [
            "the labels of the source cannot be read any more: a patient that only they name was not looked for in them"
        ]
    told = values.text("patient_id") if "patient_id" in rows.columns else pl.lit("").alias("patient_id")
    return _Source(
        rows.select("image_id", told).unique(), found.select("image_id", "path"), data.pictures, data.recipe is not None
    ), []


def _twins(known: pl.DataFrame, meant: frozenset[str]) -> frozenset[str]:
    """The images whose picture is one of theirs, under another name."""
    theirs = known.filter(pl.col("image_id").is_in(list(meant)))
    same = [
        known.filter(pl.col(column).is_in(theirs[column].drop_nulls().unique().to_list()))["image_id"]
        for column in ("md5", "pixels_md5")
    ]
    return frozenset(pl.concat(same))


def _of_twins(known: pl.DataFrame, meant: frozenset[str]) -> Iterator[str]:
    theirs = known.filter(pl.col("image_id").is_in(list(meant))).drop_nulls("md5")
    twins = theirs.select("image_id", "md5").unique().filter(pl.col("md5").is_duplicated())["md5"].n_unique()
    if twins:
        yield f"{several(twins, 'picture')} stood there under several ids: all of them are meant"


def _alike(options: Forget, source: _Source) -> Iterator[str]:
    """That other ids of patients are probably this one's."""
    asked = options.asked.strip()
    others = {one for one in source.rows["patient_id"].unique() if one and one != asked}
    if asked in {*source.rows["patient_id"]} and any(values.plain_id(one) == values.plain_id(asked) for one in others):
        yield (
            "the source has a patient whose id differs from this one only in leading zeros, a trailing .0 or the case "
            "of letters, and who is probably the same: only what is written exactly so is meant. Forget that one, too"
        )


def _left_alone(options: Forget, source: _Source, meant: frozenset[str]) -> Iterator[str]:
    """That a folder of the user's own still has them."""
    theirs = meant & {*source.pictures["image_id"]}
    if not theirs or source.folder is None:
        return
    if not source.folder.is_relative_to(options.out.absolute() / "raw"):
        yield (
            f"the source's own folder is never changed: it still has {several(len(theirs), 'picture')} of them, which "
            "no later version takes in, and only you can remove"
        )
    elif source.is_dicom:
        yield "the source's DICOM files are never changed: no later version takes them in, and only you can remove them"


def _md5s_of_source(source: _Source, meant: frozenset[str]) -> Iterator[str]:
    """Of the source's own pictures, which may have tags that the published ones have not."""
    for path in source.pictures.filter(pl.col("image_id").is_in(list(meant)))["path"]:
        with suppress(OSError):
            yield hashlib.md5((source.folder / path).read_bytes()).hexdigest()


def _trained(get: Get, meant: frozenset[str]) -> frozenset[str]:
    """The feedback on them that the re-training data name."""
    prefix = manifest.RETRAIN_UNIT
    tables = [forgetting.rows(get(f"{prefix}/{key}")) for key in (tree.RETRAIN_TABLE, tree.WITHHELD)]
    named = (row for table in tables for row in table if row.get("image_id") in meant)
    return frozenset(one for row in named if (one := row.get("feedback_id")))


def _pixels(told: pl.DataFrame, meant: frozenset[str], source: _Source, here: Get, store: Get) -> dict[str, str | None]:
    """The MD5 of each one's gray values; None where there is no picture, or none that can be decoded."""
    known = dict(told.drop_nulls("pixels_md5").select("image_id", "pixels_md5").iter_rows())
    keys = dict(told.drop_nulls("key").select("image_id", "key").iter_rows())
    paths = dict(source.pictures.iter_rows())
    for image_id in sorted(meant):
        if image_id not in known:
            key = keys.get(image_id, "")
            data = (here(key) or store(key)) if key else None
            if data is None and image_id in paths and source.folder:
                with suppress(OSError):
                    data = (source.folder / paths[image_id]).read_bytes()
            with suppress(SourceError):
                known |= {image_id: pixels.fingerprint(pixels.decode(data))} if data else {}
    return {image_id: known.get(image_id) for image_id in sorted(meant)}
