"""The hash proposes, correlation after alignment confirms: copies are found, patients stay apart."""

import io

import imagehash
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from radloop import pixels, similarity
from radloop.sources import synthetic
from radloop.tables import GROUPS, PICTURES


def film(index, side_px=192):
    known = synthetic.patient(index, seed=0)
    return Image.fromarray(synthetic.picture(known, side_px=side_px))


def recompressed(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def cropped(image, share):
    width, height = image.size
    return image.crop((int(width * share), 0, width, int(height * (1 - share)))).resize(image.size)


COPIES = {
    "JPEG 95": lambda image: recompressed(image, 95),
    "JPEG 50": lambda image: recompressed(image, 50),
    "cropped by 1 %": lambda image: cropped(image, 0.01),
    "cropped by 3 %": lambda image: cropped(image, 0.03),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "turned by 1°": lambda image: image.rotate(1, Image.Resampling.BICUBIC),
    "turned by 3°": lambda image: image.rotate(-3, Image.Resampling.BICUBIC),
    "saved in its first size": lambda image: image.resize((300, 380), Image.Resampling.BICUBIC),
}


@pytest.fixture(scope="module")
def films():
    return {f"film{index:02}": film(index) for index in range(12)}


def groups(images, *, order=None):
    """The groups that `near_duplicates` finds among the images, as lists of image ids."""
    small = {name: similarity.thumbnail(np.asarray(image)) for name, image in images.items()}
    table = pl.DataFrame(
        [
            {
                "image_id": name,
                "phash": similarity.phash(small[name]),
                "pixels_md5": pixels.fingerprint(np.asarray(images[name])),
            }
            for name in order or images
        ],
        schema=PICTURES,
    )
    found = similarity.near_duplicates(table, lambda ids: np.stack([small[name] for name in ids]))
    assert found.schema == GROUPS
    assert found["image_id"].is_sorted()
    return found.group_by("group", maintain_order=True).agg("image_id").rows()


def test_distinct_patients_are_no_duplicates(films):
    assert groups(films) == []


@pytest.mark.parametrize("kind", COPIES)
def test_a_planted_copy_is_found(films, kind):
    planted = {f"{name}-copy": COPIES[kind](image) for name, image in list(films.items())[:4]}
    assert groups(films | planted) == [(name, [name, f"{name}-copy"]) for name in list(films)[:4]]


def test_the_groups_do_not_depend_on_row_order(films):
    images = films | {f"a{number}": copy(films["film00"]) for number, copy in enumerate(COPIES.values())}
    assert groups(images) == groups(images, order=sorted(images, reverse=True))


def test_the_groups_do_not_depend_on_the_tiles_in_which_pairs_are_compared(films, monkeypatch):
    images = films | {f"{name}-copy": recompressed(image, 50) for name, image in films.items()}
    whole = groups(images)
    monkeypatch.setattr(similarity, "_ROWS", 5)
    monkeypatch.setattr(similarity, "_COLUMNS", 7)
    assert groups(images) == whole
    assert len(whole) == len(films)


def test_equal_pixels_are_one_group_even_where_there_is_nothing_to_align():
    blank = Image.fromarray(np.zeros((64, 64), np.uint8))
    dark = Image.fromarray(np.full((64, 64), 9, np.uint8))
    assert groups({"a": blank, "b": blank, "c": dark}) == [("a", ["a", "b"])]


def test_small_steps_do_not_chain_pictures_that_are_not_alike(films):
    zoomed = {
        f"step{step:02}": films["film00"].crop((0, 0, 192 - 6 * step, 192 - 6 * step)).resize((192, 192))
        for step in range(12)
    }
    found = groups(zoomed)
    assert len(found) > 1
    for _, members in found:
        numbers = [int(name[4:]) for name in members]
        assert max(numbers) - min(numbers) < 11


def test_pictures_with_a_problem_belong_to_no_group():
    table = pl.DataFrame([{"image_id": "a", "problem": "cut off"}, {"image_id": "b", "problem": "cut off"}], PICTURES)
    assert similarity.near_duplicates(table, lambda ids: np.empty((0, 32, 32), np.uint8)).is_empty()


def test_likeness_is_high_for_a_copy_and_low_for_another_patient(films):
    first, second = (similarity.thumbnail(np.asarray(films[name])) for name in ("film00", "film01"))
    turned = similarity.thumbnail(np.asarray(COPIES["turned by 3°"](films["film00"])))
    assert similarity.likeness(first, turned) > similarity.LIKENESS > similarity.likeness(first, second)
    assert similarity.likeness(first, turned) == similarity.likeness(turned, first)
    assert similarity.likeness(first, np.zeros_like(first)) < 0.1


def random_thumbnail(seed):
    return np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8)


@given(st.integers(0, 2**32))
def test_likeness_is_a_share(seed):
    small = random_thumbnail(seed)
    assert 0 <= similarity.likeness(small, small[::-1]) < similarity.LIKENESS
    assert 0.999 < similarity.likeness(small, small) < 1.001


def test_the_hash_is_that_of_imagehash(films):
    for image in films.values():
        ours = imagehash.hex_to_hash(similarity.phash(similarity.thumbnail(np.asarray(image))))
        assert ours - imagehash.phash(image) <= 4


@given(st.integers(0, 2**32))
def test_the_hash_of_a_thumbnail_is_exactly_that_of_imagehash(seed):
    small = random_thumbnail(seed)
    assert similarity.phash(small) == str(imagehash.phash(Image.fromarray(small)))


def test_matches_by_hash_alone_are_near_and_sorted():
    known = pl.DataFrame(
        {
            "image_id": ["far", "two", "same", "three", "unknown"],
            "phash": ["ffff000000000000", "000000000000000c", "000000000000000f", "0000000000000001", None],
        }
    )
    assert similarity.matches("000000000000000f", known).rows() == [("same", 0), ("two", 2)]


def test_300_generated_patients_are_300_groups():
    assert groups({f"{index:03}": film(index, side_px=128) for index in range(300)}) == []


def test_pairs_dismissed_by_their_main_directions_are_not_alike():
    rng = np.random.default_rng(5)
    small = np.stack([random_thumbnail(int(seed)) for seed in rng.integers(2**32, size=40)])
    small = np.concatenate(
        [small, np.clip(small.astype(int) + 9, 0, 255).astype(np.uint8), np.full((1, 32, 32), 7, np.uint8)]
    )
    vectors, bases = similarity._vectors(similarity._smooth(small)), similarity._bases(similarity._smooth(small))
    axes = similarity._main_axes(vectors)
    for basis, few in zip(bases, similarity._reduced(bases, axes), strict=True):
        part = vectors @ axes
        within = similarity._squares(part) - similarity._explained(few, part)
        whole = similarity._squares(vectors) - similarity._explained(basis, vectors)
        assert (within <= whole + 1e-5).all()


def blended(small, strange, share):
    """A thumbnail with a share of another picture in it."""
    mixed = (1 - share) * small.astype(float) + share * strange.astype(float)
    return np.rint(mixed).astype(np.uint8)


def as_alike_as(small, strange, likeness):
    """`small` with just so much of `strange` that they are alike by `likeness`, give or take 0.001."""
    low, high = 0.0, 0.6
    for _ in range(40):
        share = (low + high) / 2
        if similarity.likeness(small, blended(small, strange, share)) > likeness:
            low = share
        else:
            high = share
    found = blended(small, strange, low)
    assert abs(similarity.likeness(small, found) - likeness) < 0.001
    return found


@pytest.mark.parametrize(("likeness", "together"), [(0.9960, True), (0.9945, True), (0.9915, False), (0.9880, False)])
def test_two_pictures_are_one_film_from_a_likeness_of_993_in_a_thousand_on(films, likeness, together):
    small, strange = (similarity.thumbnail(np.asarray(films[name])) for name in ("film00", "film03"))
    other = as_alike_as(small, strange, likeness)
    assert groups({"a": Image.fromarray(small), "b": Image.fromarray(other)}) == (
        [("a", ["a", "b"])] if together else []
    )
