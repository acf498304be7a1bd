"""Coded concepts, as DICOM and terminologies write them: what a finding is called outside this dataset."""

import hashlib
from typing import Final, NamedTuple

from radloop.taxonomy import Taxonomy, normal

PRIVATE: Final = "99RADLOOP"  # PS3.16, section 8.1: a coding scheme of one's own begins with 99

_LONGEST_MEANING: Final = 64  # characters of DICOM's LO


class Code(NamedTuple):
    """A code, the scheme that it is of, and its meaning in words; value and scheme alone say what is meant."""

    value: str
    scheme: str
    meaning: str

    @property
    def key(self) -> tuple[str, str]:
        """What two codes of one concept have in common."""
        return self.value, self.scheme


def private(name: str) -> Code:
    """The code of a class that no terminology names: the same for the same name, in whatever taxonomy.

    >>> private("Cracked tooth")
    Code(value='73DF4B2617F3', scheme='99RADLOOP', meaning='Cracked tooth')
    """
    value = hashlib.sha256(normal(name).encode()).hexdigest()[:12].upper()
    return Code(value, PRIVATE, name.replace("\\", "/")[:_LONGEST_MEANING].strip())


def of_names(taxonomy: Taxonomy) -> tuple[Code, ...]:
    """A code of our own for each class, in the order of their numbers."""
    return tuple(map(private, taxonomy.names))
