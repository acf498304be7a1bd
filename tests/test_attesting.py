"""What was attested can be verified offline, and whatever was changed since is named."""

import base64
import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from benchmarks import tampering

import attested_loop
from attested_loop import attest, check, keys, named
from memory_store import MemoryStore
from radloop import tree
from radloop.catalog import attestations, audit_lines, audit_log, signatures
from radloop.errors import AttestationError, DatasetError, UsageError
from radloop.options import Check, Forget, Promote, Retrain, Review, Simulate
from radloop.pipelines import forgetting, online, promoting, retraining, reviewing, verifying
from radloop.pipelines.trust import kept
from radloop.pipelines.trust.places import StorePlace

pytest.importorskip("securesystemslib")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An attested loop that no test changes."""
    return attested_loop.make(tmp_path_factory.mktemp("attested"))


@pytest.fixture(scope="module")
def key(whole) -> Path:
    return whole.parent / "key.pem"


@pytest.fixture
def out(whole, tmp_path) -> Path:
    """A copy to be changed; the store's links are links of the copy, too."""
    subprocess.run(["cp", "-a", str(whole), str(tmp_path / "out")], check=True)
    return tmp_path / "out"


def envelope(out: Path) -> Path:
    return next((out / "attestations").glob(f"*/{attestations.STATEMENT}"))


def write(path: Path, data: bytes) -> None:
    """In the place of a file, not into what other names link to."""
    path.unlink()
    path.write_bytes(data)


def test_untouched_places_are_sound_and_everything_is_counted(whole, key):
    report = check(whole, key)
    assert report.sound, report.violations
    assert report.counts["files that came since"] == 0
    store = check(whole / "store", key)
    assert store.sound, store.violations
    assert store.counts["files attested"] > 50
    assert any("not feedback, reviews" in sentence for sentence in store.checked)


def test_statement_is_signed_as_openssl_and_in_toto_read_it(whole, key, tmp_path):
    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement as InToto

    told = json.loads(envelope(whole).read_bytes())
    payload, signature = base64.b64decode(told["payload"]), told["signatures"][0]["sig"]
    kind = told["payloadType"].encode()
    (tmp_path / "pae").write_bytes(b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload))
    (tmp_path / "sig").write_bytes(base64.b64decode(signature))
    verified = attested_loop.openssl(
        *("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(key.with_suffix(".pub"))),
        *("-in", str(tmp_path / "pae"), "-sigfile", str(tmp_path / "sig")),
    )
    assert "Verified Successfully" in verified
    InToto.copy_from_pb(json_format.Parse(payload, statement_pb2.Statement())).validate()
    assert b"patient" not in payload.lower()


@pytest.mark.parametrize("kind", ["ed25519", "EC"])
def test_key_of_either_kind_signs(kind, out, tmp_path):
    made = keys(tmp_path, kind=kind, name="other")
    attest(out, made)
    assert check(out, made).sound


def test_wrong_key_altered_payload_altered_signature_and_other_type_are_told_apart(out, key, tmp_path):
    path = envelope(out)
    whole = json.loads(path.read_bytes())
    with pytest.raises(AttestationError, match="signed with another key"):
        check(out, keys(tmp_path, name="other"))

    def refused(**changes: object) -> str:
        write(path, (json.dumps(whole | changes, indent=2) + "\n").encode())
        with pytest.raises(AttestationError) as stopped:
            check(out, key, attestation=path)
        return str(stopped.value)

    payload = base64.b64decode(whole["payload"])
    other = base64.b64encode(payload.replace(b'"sound":true', b'"sound":false')).decode()
    assert "the payload was altered" in refused(payload=other)
    signature = whole["signatures"][0]
    zeros = base64.b64encode(bytes(64)).decode()
    assert "the signature was altered" in refused(signatures=[signature | {"sig": zeros}])
    assert "the key id in it is not" in refused(signatures=[signature | {"keyid": "0" * 64}])
    assert "payload type is 'text/plain'" in refused(payloadType="text/plain")
    for odd in (1, None, {}, 1e400, "\ud800"):
        assert "not a signed statement" in refused(payloadType=odd)
        assert "not a signed statement" in refused(signatures=[signature | {"keyid": odd}])
    assert "holds no signature" in refused(signatures=[])
    assert "not a signed statement" in refused(payload=3)


@pytest.mark.parametrize(
    "pattern",
    [
        "organized/training/labels/*.txt",
        "organized/test/images/*.png",
        "organized/manifest.parquet",
        "organized/annotations.parquet",
        "organized/retrain/rounds/*/*.json",
        "organized/retrain/retrain.csv",
        "feedback/*.json",
        "reviews/*.json",
        "store/organized/summary.json",
        "store/organized/versions/*/*.parquet",
    ],
)
def test_any_flipped_byte_is_named(pattern, out, key):
    path = random.Random(pattern).choice([one for one in sorted(out.glob(pattern)) if one.stat().st_size])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    write(path, bytes(data))
    place = out / "store" if pattern.startswith("store") else out
    assert ("file-changed", str(path.relative_to(place))) in named(check(place, key))


def test_swapped_files_are_named_with_whose_bytes_they_have(out, key):
    one, other = sorted((out / "feedback").glob("*.json"))[:2]
    first, second = one.read_bytes(), other.read_bytes()
    write(one, second)
    write(other, first)
    report = check(out, key)
    assert named(report) >= {("file-swapped", f"feedback/{path.name}") for path in (one, other)}
    assert f"its bytes are those that feedback/{other.name} had" in report.violations["detail"].to_list()


def test_deleted_review_is_missing_and_cuts_its_chain(out, key):
    gone = sorted((out / "reviews").glob("*.json"))[0]
    gone.unlink()
    found = named(check(out, key))
    assert ("file-missing", f"reviews/{gone.name}") in found
    assert ("chain-broken", f"reviews of {gone.name.split('.')[1]}") in found


def test_out_without_all_that_people_said_is_not_taken_for_a_store(out, key):
    for name in ("feedback", "reviews", "audit"):
        shutil.rmtree(out / name)
    report = check(out, key)
    missing = {name.partition("/")[0] for name in report.violations.filter(rule="file-missing")["key"]}
    assert missing >= {"feedback", "reviews", "audit"}


def test_whatever_was_deleted_before_this_attestation_and_lies_there_again_is_named(out, key):
    gone = sorted((out / "feedback").glob("*.json"))[0]
    data = gone.read_bytes()
    gone.unlink()
    attest(out, key)
    assert check(out, key).sound
    gone.write_bytes(data)
    report = check(out, key)
    assert named(report) == {("file-back", f"feedback/{gone.name}")}
    assert "it was there in attestation" in report.violations["detail"][0]


def test_older_state_of_a_file_is_brought_back_not_just_changed(out, key):
    path = sorted((out / "feedback").glob("*.json"))[0]
    older = path.read_bytes()
    write(path, older.replace(b"{", b"{ ", 1))
    attest(out, key)
    write(path, older)
    assert named(check(out, key)) == {("file-back", f"feedback/{path.name}")}


def test_what_people_said_since_is_counted_and_legal(out, key):
    said = sorted((out / "feedback").glob("*.json"))[0]
    (out / "feedback" / "new.json").write_bytes(said.read_bytes().replace(b"{", b"{ ", 1))
    report = check(out, key)
    assert report.sound, report.violations
    assert report.counts["files that came since"] == 1
    shutil.copy(said, out / "feedback" / "copy.json")
    assert named(check(out, key)) == {("file-copied", "feedback/copy.json")}


def test_file_that_the_dataset_did_not_have_is_named(out, key):
    (out / "organized" / "test" / "labels" / "planted.txt").write_text("")
    assert named(check(out, key)) == {("file-unlisted", "organized/test/labels/planted.txt")}


def test_new_round_is_legal_and_said_and_what_trained_before_stays_held_fast(out, key):
    before = sorted((out / "organized" / "retrain" / "rounds").glob("*/*.json"))
    online.simulate(Simulate(out=out, detector="oracle:0.2", load_pattern="1", stage_seconds=0.2, seed=7, jobs=1))
    reviewing.simulate(Review(out=out, simulated=True, seed=7))
    retraining.retrain(Retrain(out=out))
    for place in (out, out / "store"):
        report = check(place, key)
        assert report.sound, report.violations
        assert any("has grown since" in sentence for sentence in report.checked)
    write(before[0], before[0].read_bytes() + b" ")
    assert ("file-changed", str(before[0].relative_to(out))) in named(check(out, key))
    table = out / "organized" / "retrain" / "retrain.csv"
    write(table, table.read_bytes() + b" ")
    assert ("file-changed", "organized/retrain/retrain.csv") in named(check(out, key))


def test_promotion_since_is_legal_and_a_rewritten_past_is_not(out, key):
    promoting.promote(Promote(out=out, model="oracle:0.1", force=True, reason="the first"))
    attest(out, key)
    promoting.promote(Promote(out=out, model="oracle:0.2", force=True, reason="better"))
    assert check(out, key).sound
    shutil.rmtree(out / "models")
    shutil.rmtree(out / "store" / "models")
    for model in ("oracle:0.3", "oracle:0.2"):
        promoting.promote(Promote(out=out, model=model, force=True, reason="better"))
    assert ("file-changed", "models/aliases.json") in named(check(out, key))


LOGS = ("audit", "reviews/.audit")


def say(out, name):
    audit_log.AuditLog(out / name, "radloop test").record("review", "a1")


@pytest.mark.parametrize("name", LOGS)
def test_lines_are_added_to_a_log_and_never_changed(out, key, name):
    say(out, name)
    attest(out, key)
    log = out / name / "000001.jsonl"
    said = log.read_bytes()
    say(out, name)
    assert check(out, key).sound
    log.write_bytes(log.read_bytes().replace(b'"subject":"a1"', b'"subject":"a2"', 1))
    assert ("audit-broken", f"{name}/000001.jsonl:{len(said.splitlines())}") in named(check(out, key))


@pytest.mark.parametrize("name", LOGS)
def test_log_that_was_cut_and_its_head_with_it_is_not_the_one_that_was_attested(out, key, name):
    say(out, name)
    before = (out / name / "000001.jsonl").read_bytes(), (out / name / ".head.json").read_bytes()
    say(out, name)
    attest(out, key)
    for file, data in zip(("000001.jsonl", ".head.json"), before, strict=True):
        (out / name / file).write_bytes(data)
    assert audit_lines.verify(out / name).faults == ()
    assert ("audit-broken", name) in named(check(out, key))


@pytest.mark.parametrize("name", LOGS)
def test_log_that_was_written_anew_is_not_the_one_that_was_attested(out, key, name):
    for _ in range(3):
        say(out, name)
    attest(out, key)
    shutil.rmtree(out / name)
    for _ in range(9):
        say(out, name)
    assert audit_lines.verify(out / name).faults == ()
    assert ("audit-broken", name) in named(check(out, key))


def test_store_behind_a_line_is_held_against_it_like_a_folder(whole, key):
    public = signatures.public_key(key.with_suffix(".pub"))
    signed, store = kept.read(whole, public), MemoryStore()
    for path in (whole / "store").rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            store.objects[path.relative_to(whole / "store").as_posix()] = path.read_bytes()
    assert verifying.judge(signed, StorePlace(store), "memory", is_store=True).sound
    store.objects["organized/data.yaml"] += b"\n"
    del store.objects["organized/classes.txt"]
    found = named(verifying.judge(signed, StorePlace(store), "memory", is_store=True))
    assert found == {("file-changed", "organized/data.yaml"), ("file-missing", "organized/classes.txt")}


def test_another_version_is_named_as_such(out, key):
    summary = out / "organized" / "summary.json"
    told = json.loads(summary.read_bytes())
    write(summary, tree.json_file(told | {"version": "0" * 16}))
    assert ("version-other", "organized/summary.json") in named(check(out, key))


def test_seeded_manipulations_are_all_named(out, key, tmp_path):
    """A small part of benchmarks/tampering.py, which does 10,000."""
    subprocess.run(["cp", "-r", str(out), str(tmp_path / "apart")], check=True)  # no file is another's link
    for is_store, root in enumerate((tmp_path / "apart", tmp_path / "apart" / "store")):
        trials = tampering.Trials(root, key.with_suffix(".pub"), is_store=bool(is_store), random=random.Random(21))
        for _ in range(60):
            trials.flip()
        for _ in range(5):
            trials.swap()
            trials.delete()
            if not is_store:
                trials.cut()
                trials.rewrite_log()
        assert not trials.missed
        assert not trials.ask(trials.names)


def test_listing_and_earlier_attestations_are_themselves_held_fast(out, key):
    first = envelope(out)
    second = attest(out, key)
    assert second.previous == first.parent.name
    data = first.read_bytes()
    write(first, data.replace(b"}", b"} ", 1))
    assert ("file-changed", f"attestations/{first.parent.name}/{first.name}") in named(check(out, key))
    listing = second.folder / attestations.FILES
    write(listing, listing.read_bytes()[:-1] + b"\0")
    with pytest.raises(AttestationError, match=r"files\.parquet was altered"):
        check(out, key)


def test_what_forget_took_away_is_accepted_and_said(out, key):
    image = next((out / "organized" / "training" / "images").glob("*.png")).name.rpartition("_")[0]
    forgetting.forget(Forget(out=out, asked=image, reason="asked for"))
    report = check(out, key)
    assert report.sound, report.violations
    assert any("went with a tombstone" in sentence for sentence in report.checked)
    assert any("attest again" in sentence for sentence in report.checked)


def test_unsound_dataset_is_not_attested_unless_told(out, key):
    path = next((out / "organized" / "test" / "labels").glob("*.txt"))
    write(path, b"0 0.5 0.5 0.1 0.1\n")
    before = sorted((out / "attestations").iterdir())
    with pytest.raises(DatasetError, match="is unsound, so that nothing was signed"):
        attest(out, key)
    assert sorted((out / "attestations").iterdir()) == before
    assert attest(out, key, allow_unsound=True).notes


def test_passphrase_comes_by_a_file_or_a_variable(out, tmp_path):
    made = keys(tmp_path, name="plain")
    locked = tmp_path / "locked.pem"
    attested_loop.openssl("pkey", "-in", str(made), "-aes256", "-passout", "pass:secret", "-out", str(locked))
    locked.with_suffix(".pub").write_bytes(made.with_suffix(".pub").read_bytes())
    (tmp_path / "passphrase").write_text("secret\n")
    with pytest.raises(UsageError, match="needs its passphrase"):
        attest(out, locked)
    with pytest.raises(UsageError, match="the passphrase is wrong"):
        attest(out, locked, key_passphrase="wrong")
    attest(out, locked, passphrase_file=tmp_path / "passphrase")
    assert check(out, locked).sound


def test_key_that_cannot_sign_is_refused_with_the_way_out(out, key, tmp_path):
    with pytest.raises(UsageError, match="holds no private key"):
        attest(out, key.with_suffix(".pub"))
    with pytest.raises(UsageError, match="is a private key"):
        verifying.verify(Check(place=str(out), attestation=out, key=key))
    rsa = keys(tmp_path, kind="RSA", name="rsa")
    with pytest.raises(UsageError, match="neither Ed25519 nor ECDSA P-256"):
        attest(out, rsa)
