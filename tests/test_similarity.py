"""The hash proposes, correlation after alignment confirms: copies are found, patients stay apart."""

import io

import imagehash
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from radloop import alignment, comparison, neighbors, pixels, similarity
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


def cut(image, left, top, right, bottom):
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), width - round(right * width), height - round(bottom * height))
    )


def bordered(image, fill):
    return ImageOps.expand(image, border=(round(0.05 * image.width), round(0.05 * image.height)), fill=fill)


def framed(image, fill):
    inner = cut(image, 0.05, 0.05, 0.05, 0.05)
    whole = Image.new("L", image.size, fill)
    whole.paste(inner, (round(0.05 * image.width), round(0.05 * image.height)))
    return whole


def stamped(image, left, top, fill, *, upright=False):
    """With a box of 15 % × 5 % that holds some letters, its corner at a share of the width and height."""
    width, height = (0.05, 0.15) if upright else (0.15, 0.05)
    x, y = round(left * image.width), round(top * image.height)
    whole = image.copy()
    draw = ImageDraw.Draw(whole)
    draw.rectangle((x, y, x + round(width * image.width), y + round(height * image.height)), fill=fill)
    draw.text((x + 1, y), "R 27", fill=255 - fill, font_size=max(6, round(0.03 * image.height)))
    return whole


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
    "mirrored": ImageOps.mirror,
    "inverted": ImageOps.invert,
    "mirrored and inverted": lambda image: ImageOps.invert(ImageOps.mirror(image)),
    "in a black border": lambda image: bordered(image, 0),
    "in a white border": lambda image: bordered(image, 255),
    "its margin painted black": lambda image: framed(image, 0),
    "its margin painted white": lambda image: framed(image, 255),
    "with a white text box": lambda image: stamped(image, 0.7, 0.1, 255),
    "with a black text box": lambda image: stamped(image, 0.4, 0.8, 0),
    "with an upright text box": lambda image: stamped(image, 0.45, 0.45, 255, upright=True),
    "cropped by 5 % off every side": lambda image: cut(image, 0.05, 0.05, 0.05, 0.05),
    "cropped by 10 % on the left": lambda image: cut(image, 0.1, 0, 0, 0),
    "cropped by 10 % on top": lambda image: cut(image, 0, 0.1, 0, 0),
    "cropped by 10 % on the right": lambda image: cut(image, 0, 0, 0.1, 0),
    "cropped by 10 % at the bottom": lambda image: cut(image, 0, 0, 0, 0.1),
    "turned by 7°": lambda image: image.rotate(7, Image.Resampling.BICUBIC),
    "turned by -7°": lambda image: image.rotate(-7, Image.Resampling.BICUBIC),
    "mirrored and turned by 7°": lambda image: ImageOps.mirror(image).rotate(7, Image.Resampling.BICUBIC),
    "mirrored and turned by -7°": lambda image: ImageOps.mirror(image).rotate(-7, Image.Resampling.BICUBIC),
    "mirrored, cropped, with text": lambda image: cut(stamped(ImageOps.mirror(image), 0.6, 0.1, 255), 0, 0.03, 0, 0),
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
    images = films | {f"{name}-copy": ImageOps.mirror(recompressed(image, 50)) for name, image in films.items()}
    whole = groups(images)
    monkeypatch.setattr(comparison, "ROWS", 5)
    monkeypatch.setattr(comparison, "_COLUMNS", 7)
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
    assert similarity.likeness(first, turned) > comparison.LIKENESS > similarity.likeness(first, second)
    assert similarity.likeness(first, turned) == similarity.likeness(turned, first)
    assert similarity.likeness(first, np.zeros_like(first)) < 0.1


def random_thumbnail(seed):
    return np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8)


@given(st.integers(0, 2**32))
def test_likeness_is_a_share(seed):
    small = random_thumbnail(seed)
    assert 0 <= similarity.likeness(small, small[::-1]) < comparison.LIKENESS
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


@pytest.mark.slow
def test_300_generated_patients_are_300_groups():
    assert groups({f"{index:03}": film(index, side_px=128) for index in range(300)}) == []


def test_pairs_dismissed_by_their_low_frequencies_are_not_alike():
    rng = np.random.default_rng(5)
    small = np.stack([random_thumbnail(int(seed)) for seed in rng.integers(2**32, size=40)])
    small = np.concatenate(
        [small, np.clip(small.astype(int) + 9, 0, 255).astype(np.uint8), np.full((1, 32, 32), 7, np.uint8)]
    )
    bases = alignment.bases(small)
    for view in alignment.VIEWS:
        vectors = alignment.vectors(small, view)
        low = alignment.low_frequencies(vectors)
        for basis, few in zip(bases, alignment.low_bases(bases), strict=True):
            within = alignment.squares(low) - alignment.explained(few, low)
            whole = alignment.squares(vectors) - alignment.explained(basis, vectors)
            assert (within <= whole + 1e-5).all()


def test_a_mirror_negates_the_odd_frequencies():
    small = np.stack([random_thumbnail(seed) for seed in range(5)])
    there, here = alignment.vectors(small[:, :, ::-1]), alignment.vectors(small)
    assert np.allclose(there, alignment.mirrored(here), atol=1e-6)
    there, here = alignment.low_frequencies(there), alignment.low_frequencies(here)
    assert np.allclose(there[:, alignment.EVEN], here[:, alignment.EVEN], atol=1e-6)
    assert np.allclose(there[:, alignment.ODD], -here[:, alignment.ODD], atol=1e-6)


def test_a_basis_explains_a_shift_of_a_pixel():
    smooth = np.asarray(film(2).resize((34, 34), Image.Resampling.LANCZOS))
    basis = alignment.bases(smooth[None, 1:33, 1:33])[0]
    for down, right in ((0, 1), (1, 0), (2, 1), (1, 2)):
        assert alignment.explained(basis, alignment.vectors(smooth[None, down : down + 32, right : right + 32])) > 0.99


@pytest.mark.parametrize(("height", "width"), [(4, 6), (6, 4)])
def test_a_covered_patch_is_left_out_wherever_it_lies(height, width):
    patches = [patch.reshape(14, 14) for patch in alignment._covers()[0]]
    for top in range(14 - height + 1):
        for left in range(14 - width + 1):
            assert any(patch[top : top + height, left : left + width].all() for patch in patches)


def thumbnails(images):
    return np.stack([similarity.thumbnail(np.asarray(image)) for image in images])


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_of_something_known_is_found_in_both_directions(films, kind):
    known = thumbnails(films.values())
    copies = thumbnails(COPIES[kind](image) for image in list(films.values())[3:7])
    assert similarity.find(known, copies).tolist() == [[3, 0], [4, 1], [5, 2], [6, 3]]
    assert similarity.find(copies, known).tolist() == [[0, 3], [1, 4], [2, 5], [3, 6]]


def test_what_is_not_known_is_not_found(films):
    small = thumbnails(films.values())
    assert similarity.find(small[:6], small[6:]).shape == (0, 2)
    assert similarity.find(small[:0], small).shape == (0, 2)
    assert similarity.find(small, small[:0]).shape == (0, 2)


def test_something_known_is_found_under_each_of_its_copies(films):
    image = films["film02"]
    copies = thumbnails([image, ImageOps.mirror(image), bordered(image, 0), films["film05"]])
    assert similarity.find(thumbnails(films.values()), copies).tolist() == [[2, 0], [2, 1], [2, 2], [5, 3]]


def test_what_is_found_does_not_depend_on_batches(films):
    known = thumbnails(films.values())
    copies = thumbnails(copy(image) for copy, image in zip(COPIES.values(), [*films.values()] * 3, strict=False))
    whole = similarity.find(known, copies)
    assert len(whole) == len(copies)
    parts = [
        similarity.find(known[k : k + 5], copies[n : n + 7]) + np.array([k, n])
        for k in range(0, len(known), 5)
        for n in range(0, len(copies), 7)
    ]
    assert sorted(np.concatenate(parts).tolist()) == whole.tolist()


def test_a_thumbnail_is_compared_with_its_equal(films):
    small = thumbnails(films.values())
    assert similarity.find(small, small.copy()).tolist() == [[number, number] for number in range(len(small))]
    assert similarity.find(small, small).tolist() == [[number, number] for number in range(len(small))]


def test_blank_pictures_are_like_none(films):
    small = np.concatenate(
        [thumbnails(films.values()), np.zeros((2, 32, 32), np.uint8), np.full((1, 32, 32), 9, np.uint8)]
    )
    assert similarity.find(small, small[-3:]).shape == (0, 2)


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


def test_known_thumbnails_are_found_as_if_all_were_compared_at_once():
    films = np.random.default_rng(5).integers(0, 255, (30, 6, 6), dtype=np.uint8)
    small = np.stack([np.asarray(Image.fromarray(film).resize((32, 32), Image.Resampling.BICUBIC)) for film in films])
    new = np.concatenate([small[3:6, :, ::-1], 255 - small[20:22], small[:1] // 2 + 40])
    known = similarity.Known()
    assert known.find(new).tolist() == []
    for part in (small[:4], small[4:4], small[4:29], small[29:]):
        known.add(part)
    assert (
        known.find(new).tolist()
        == similarity.find(small, new).tolist()
        == [[0, 5], [3, 0], [4, 1], [5, 2], [20, 3], [21, 4]]
    )
    assert known.find(small[:0]).tolist() == []


def test_an_index_is_recorded_by_the_number_of_distinct_pictures(monkeypatch):
    monkeypatch.setattr(neighbors, "EXACT", 2)
    rows = [{"image_id": name, "pixels_md5": name[0]} for name in ("a1", "a2", "b1")]
    bad = {"image_id": "c1", "problem": "cut off"}
    assert similarity.recorded(pl.DataFrame([*rows, bad], PICTURES)) == {}
    more = pl.DataFrame([*rows, {"image_id": "d1", "pixels_md5": "d"}], PICTURES)
    assert similarity.recorded(more)["near_duplicates"]["probes"] == 16


def test_a_picture_that_is_nearly_blank_stops_no_search_and_changes_no_other():
    nearly = np.zeros((2, 32, 32), np.uint8)
    nearly[:, :1] = 1
    nearly[1, -1, -1] = 1
    known = np.stack([similarity.thumbnail(np.asarray(film(index))) for index in range(3)])
    among = np.concatenate([known, nearly])
    bases = alignment.bases(among)
    assert np.isfinite(bases).all()
    assert (alignment.explained(bases[3], alignment.vectors(among)) <= 1.001).all()
    np.testing.assert_array_equal(bases[:3], alignment.bases(known))
    assert set(neighbors.pairs(among).ravel().tolist()) <= {3, 4}
