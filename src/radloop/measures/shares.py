"""A share of independent units with an interval that is honest for few of them."""


def jeffreys(hits: int, of: int) -> tuple[float, float] | None:
    """The 95 % interval of the share `hits` / `of` by Jeffreys' prior; None of nothing.

    Brown, Cai & DasGupta 2001 (Statistical Science 16:101): the middle 95 % of what is believed after the count, down
    to 0 where there is no hit and up to 1 where there is nothing else. It covers in about 95 % on the mean of all
    shares, also of very few units, and its width is never zero.
    """
    from scipy.stats import beta  # a quarter of a second: not before it is needed

    if of == 0:
        return None
    low = beta.ppf(0.025, hits + 0.5, of - hits + 0.5) if hits else 0.0
    high = beta.ppf(0.975, hits + 0.5, of - hits + 0.5) if hits < of else 1.0
    return float(low), float(high)
