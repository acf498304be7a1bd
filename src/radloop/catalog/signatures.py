"""Signing a payload and verifying it: DSSE by securesystemslib, with keys as `openssl genpkey` makes them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from radloop import files, tree
from radloop.catalog import attestations
from radloop.errors import AttestationError, UsageError

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey

_HOW: Final = "`openssl genpkey -algorithm ed25519` makes one"
_SCHEMES: Final = ("ed25519", "ecdsa-sha2-nistp256")


def signer(path: Path, passphrase: bytes | None) -> "CryptoSigner":
    """What signs with a private key. Raises UsageError where the file holds none that may sign."""
    pem = _pem(path, "private", passphrase=passphrase)
    from securesystemslib.signer import CryptoSigner

    try:
        made = CryptoSigner(pem)
    except ValueError as wrong:
        _refuse_kind(path, wrong)
    if made.public_key.scheme not in _SCHEMES:
        _refuse_kind(path, None)
    return made


def is_open_to_others(path: Path) -> bool:
    """Whether others on this machine may read a private key."""
    return bool(path.stat().st_mode & files.OTHERS)


def public_key(path: Path) -> "SSlibKey":
    """The key that verifies. Raises UsageError where the file holds none."""
    pem = _pem(path, "public")
    from securesystemslib.signer import SSlibKey

    try:
        key = SSlibKey.from_crypto(pem)
    except ValueError as wrong:
        _refuse_kind(path, wrong)
    if key.scheme not in _SCHEMES:
        _refuse_kind(path, None)
    return key


def sign(payload: bytes, by: "CryptoSigner") -> bytes:
    """The bytes of the envelope."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, attestations.PAYLOAD_TYPE, {})
    envelope.sign(by)
    return _bytes(envelope)


def verified(data: bytes, key: "SSlibKey", *, name: str, attestation: str | None = None) -> bytes:
    """The payload of an envelope that this key has signed.

    Raises AttestationError otherwise. `attestation`: the id under which it lies, if that is known.
    """
    from securesystemslib.exceptions import VerificationError

    envelope = _envelope(data, name)
    if envelope.payload_type != attestations.PAYLOAD_TYPE:
        raise AttestationError(
            f"{name}: its payload type is {envelope.payload_type[:80]!r}, not {attestations.PAYLOAD_TYPE}: it was "
            "altered, or is the envelope of something else."
        )
    is_called_otherwise = attestation is not None and attestations.id_of(envelope.payload) != attestation
    try:
        envelope.verify([key], 1)
    except VerificationError as wrong:
        _refuse(envelope, key, name, other_payload=is_called_otherwise, wrong=wrong)
    if _bytes(envelope) != data:
        raise AttestationError(f"{name} was altered: the signature holds, but the file is not as radloop wrote it.")
    if is_called_otherwise:
        raise AttestationError(
            f"{name} was put in the place of another: it is attestation {attestations.id_of(envelope.payload)}, and "
            f"lies where {attestation} was."
        )
    return envelope.payload


def _refuse(envelope: "Envelope", key: "SSlibKey", name: str, *, other_payload: bool, wrong: Exception) -> NoReturn:
    ids = [signature.keyid for signature in envelope.signatures.values()]
    if not ids:
        raise AttestationError(f"{name} holds no signature.") from wrong
    if key.keyid not in ids:
        if any(_holds(envelope, signature.signature, key) for signature in envelope.signatures.values()):
            raise AttestationError(f"{name} was altered: the signature is this key's, the key id in it is not.")
        raise AttestationError(
            f"{name} was signed with another key ({ids[0][:16]}…), not with this one ({key.keyid[:16]}…): give the "
            "public key of whoever signed it. Or the key id was altered."
        ) from wrong
    if other_payload:
        raise AttestationError(
            f"{name}: the payload was altered: it is not what this key has signed, nor what its folder is called by."
        ) from wrong
    raise AttestationError(
        f"{name}: the signature was altered, or the payload: this key has not signed the one over the other."
    ) from wrong


def _holds(envelope: "Envelope", signature: str, key: "SSlibKey") -> bool:
    from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
    from securesystemslib.signer import Signature

    try:
        key.verify_signature(Signature(key.keyid, signature), envelope.pae())
    except (UnverifiedSignatureError, VerificationError):
        return False
    return True


def _envelope(data: bytes, name: str) -> "Envelope":
    from securesystemslib.dsse import Envelope

    try:
        envelope = Envelope.from_dict(json.loads(data))
        signed = envelope.signatures.values()
        for text in (envelope.payload_type, *(text for one in signed for text in (one.keyid, one.signature))):
            str.encode(text)  # refuses a number, and half a character
        return envelope
    except Exception as broken:
        raise AttestationError(
            f"{name} is not a signed statement (DSSE), or damaged ({len(data):,} bytes): {type(broken).__name__}."
        ) from broken


def _bytes(envelope: "Envelope") -> bytes:
    return tree.json_file(envelope.to_dict())


def _pem(path: Path, kind: str, *, passphrase: bytes | None = None) -> Any:
    """The key in a PEM file."""
    try:
        import securesystemslib.dsse  # noqa: F401
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
    except ImportError as missing:
        raise UsageError("attestations need securesystemslib: pip install 'radloop[attest]'.") from missing
    data = path.read_bytes()
    if kind == "public" and b"PRIVATE KEY" in data:
        raise UsageError(
            f"{path} is a private key, which stays with whoever signs. Give the public one: `openssl pkey -in "
            f"{path.name} -pubout`."
        )
    if kind == "private" and b"PRIVATE KEY" not in data:
        raise UsageError(f"{path} holds no private key (PEM): {_HOW}.")
    if kind == "private" and b"ENCRYPTED" in data and not passphrase:
        raise UsageError(
            f"{path} needs its passphrase: --passphrase-file FILE, or the variable RADLOOP_KEY_PASSPHRASE."
        )
    try:
        if kind == "public":
            return serialization.load_pem_public_key(data)
        return serialization.load_pem_private_key(data, passphrase if b"ENCRYPTED" in data else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as broken:
        why = "the passphrase is wrong, or it is damaged" if b"ENCRYPTED" in data else "it is damaged"
        raise UsageError(f"{path} holds no {kind} key that can be read (PEM): {why}.") from broken


def _refuse_kind(path: Path, wrong: Exception | None) -> NoReturn:
    raise UsageError(f"{path}: the key is neither Ed25519 nor ECDSA P-256: {_HOW}.") from wrong
