"""The software bill of materials of a release: CycloneDX 1.6 as JSON, the same bytes for the same release."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component as Listed
from cyclonedx.model.component import ComponentScope, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from release import licences, shipped
from release.shipped import Component

_OURS: Final = uuid.UUID("5b6f9e3a-6f0a-5b0e-9a53-7f5d2c1f6a11")  # of no meaning: what serial numbers are derived from


def encode(components: Iterable[Component], *, wheel_sha256: str, when: datetime) -> bytes:
    """The bill of the wheel with this SHA-256, built from a commit of this time.

    What an extra brings is optional and says which (`radloop:extra`); libraries in a wheel are components of it.
    """
    about = shipped.project()
    listed = {one.name: (one, _listed(one)) for one in components}
    root = Listed(
        type=ComponentType.APPLICATION,
        name=about["name"],
        version=about["version"],
        bom_ref=about["name"],
        purl=PackageURL("pypi", name=about["name"], version=about["version"]),
        licenses=[LicenseExpression(about["license"])],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel_sha256)],
    )
    bom = Bom(components=[entry for _, entry in listed.values()], serial_number=uuid.uuid5(_OURS, wheel_sha256))
    bom.metadata.component = root
    bom.metadata.timestamp = when
    asked = {*about["dependencies"], *(one for some in about["optional-dependencies"].values() for one in some)}
    direct = {name for name in listed if any(_names(one, name) for one in asked)}
    bom.register_dependency(root, [listed[name][1] for name in sorted(direct)])
    for one, entry in listed.values():
        bom.register_dependency(entry, [listed[name][1] for name in one.needs if name in listed])
    return (JsonV1Dot6(bom).output_as_string(indent=2) + "\n").encode()


def _names(requirement: str, name: str) -> bool:
    return canonicalize_name(shipped.Requirement(requirement).name) == name


def _listed(one: Component) -> Listed:
    parts = [
        Listed(
            type=ComponentType.LIBRARY,
            name=library,
            bom_ref=f"{one.name}/{library}",
            description=licences.native(library)[0],
            licenses=[LicenseExpression(licences.native(library)[1])],
        )
        for library in one.native
    ]
    return Listed(
        type=ComponentType.LIBRARY,
        name=one.name,
        version=one.version,
        bom_ref=one.name,
        purl=PackageURL("pypi", name=one.name, version=one.version),
        licenses=[LicenseExpression(one.licence)],
        scope=ComponentScope.OPTIONAL if one.extras else ComponentScope.REQUIRED,
        properties=[Property(name="radloop:extra", value=extra) for extra in one.extras],
        components=parts,
    )
