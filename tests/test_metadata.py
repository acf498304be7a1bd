"""Synthetic metadata of a hospital group."""

from radloop.simulation import metadata


def test_the_same_image_is_of_the_same_place_for_the_same_seed():
    places = [metadata.of(f"i{number}", seed=1) for number in range(200)]
    assert places == [metadata.of(f"i{number}", seed=1) for number in range(200)]
    assert places != [metadata.of(f"i{number}", seed=2) for number in range(200)]
    assert {site for site, _, _ in places} == {"north", "south", "clinic"}
    assert {view for _, view, _ in places} == {"PA", "AP"}
