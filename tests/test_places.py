"""What the places of the queue go by: shares that leave room for the order's own."""

from typing import get_args

from radloop.feedback.orders import ORDERS
from radloop.feedback.places import Places
from radloop.words import Order


def test_most_places_of_the_default_go_by_the_order():
    places = Places()
    assert 1 - places.audit_share - places.nothing_share - places.suspect_share > 0.5


def test_default_is_an_order_that_there_is():
    assert tuple(ORDERS) == get_args(Order)
    assert Places().order in ORDERS
