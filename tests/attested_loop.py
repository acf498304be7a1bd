"""A small loop with keys, as people attest it: made once, copied for each test."""

import subprocess
from pathlib import Path

import small_loop
from radloop.options import Attest, Check
from radloop.pipelines import attesting, verifying
from radloop.pipelines.attesting import Attested
from radloop.pipelines.checking import Report


def keys(folder: Path, *, kind: str = "ed25519", name: str = "key") -> Path:
    """A private key as `openssl genpkey` makes it; its public one beside it, with .pub for .pem."""
    folder.mkdir(parents=True, exist_ok=True)
    private = folder / f"{name}.pem"
    curve = ["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "EC" else []
    openssl("genpkey", "-algorithm", kind, *curve, "-out", str(private))
    openssl("pkey", "-in", str(private), "-pubout", "-out", str(private.with_suffix(".pub")))
    private.chmod(0o600)
    return private


def openssl(*arguments: str) -> str:
    """What openssl prints."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


def make(place: Path) -> Path:
    """A whole loop in `place`, in its own store, attested by a key beside it: the OUT."""
    out = place / "out"
    small_loop.run(out)
    attest(out, keys(place))
    return out


def attest(out: Path, key: Path, **more: object) -> Attested:
    """As the command does."""
    return attesting.attest(Attest(out=out, key=key, **more))


def check(place: Path | str, key: Path, **more: object) -> Report:
    """Against the last attestation in the place, by the public key of `key`."""
    attestation = more.pop("attestation", Path(place))
    return verifying.verify(Check(place=str(place), attestation=attestation, key=key.with_suffix(".pub"), **more))


def named(report: Report) -> set[tuple[str, str]]:
    """(rule, file) of what is wrong."""
    return set(report.violations.select("rule", "key").iter_rows())
