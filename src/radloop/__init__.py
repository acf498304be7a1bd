"""radloop: a closed-loop data pipeline for radiology detection."""

from importlib.metadata import version

__version__ = version("radloop")
