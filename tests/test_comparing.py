"""Two models on the same held-out images, the verdict, and the alias that follows from it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import made_up
from memory_store import KilledError, MemoryStore
from radloop import storage, summaries
from radloop.catalog import gates, models
from radloop.errors import BusyError, DatasetError, StoreError, UsageError
from radloop.options import Compare, Etl, Promote, Rollback, Simulate
from radloop.pipelines import comparing, offline, online, promoting, registry
from radloop.pipelines.registry import Registry
from radloop.split_sizes import SplitSizes
from radloop.words import Exit

SIZES = SplitSizes.parse("training=6,validation=2,test=4,staging=18,canary=6,production=4")
EASY = "latency_p95: {ms: 100000}\n"
HARD = "latency_p95: {ms: 0.000001}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    offline.etl(Etl(out=out / "data", source=str(made_up.films(out / "films")), sizes=SIZES, jobs=1))
    return out / "data"


@pytest.fixture
def out(made, tmp_path):
    (tmp_path / "easy.yaml").write_text(EASY)
    (tmp_path / "hard.yaml").write_text(HARD)
    return Path(shutil.copytree(made, tmp_path / "data"))


def options(out: Path, gate: str | None = "easy", **changes: object) -> Compare:
    told = Compare(
        out=out,
        champion="oracle:0.5",
        challenger="oracle:0",
        gates=None if gate is None else out.parent / f"{gate}.yaml",
        jobs=1,
    )
    return replace(told, **changes)


def first(out: Path, model: str = "oracle:0.5") -> promoting.Moved:
    return promoting.promote(Promote(out=out, model=model, force=True, reason="the first"))


def test_challenger_that_holds_every_gate_passes_and_is_kept_in_the_store_with_its_page(out):
    record = comparing.compare(options(out))

    assert (record.passed, summaries.status(record)) == (True, Exit.DONE)
    (told,) = record.comparisons
    for folder in (out / "models", out / "store" / "models"):
        assert json.loads((folder / "comparisons" / f"{told['comparison']}.json").read_bytes()) == told
        assert "## Gates" in (folder / "comparisons" / f"{told['comparison']}.md").read_text()
        assert models.read(folder).asked("staging", told["dataset"]) == 1
    assert told["images"] == 18
    assert {row["figure"] for row in told["figures"]} == {"ap", "recall"}
    assert summaries.of(record).title == "oracle noise-0 has passed, compared with oracle noise-0.5"


@pytest.mark.slow
def test_missed_gate_ends_with_4_and_says_which_and_by_how_much(out):
    record = comparing.compare(options(out, "hard", splits=("staging", "canary")))

    assert (record.passed, summaries.status(record)) == (False, Exit.GATE_MISSED)
    (told,) = record.comparisons  # canary is not asked where staging is missed
    assert told["gates"][0]["gate"] == "latency_p95"
    assert "ms more than the 1e-06 ms" in told["gates"][0]["says"]
    assert models.read(out / "models").comparisons["passed"].to_list() == [False]


@pytest.mark.slow
def test_few_images_prove_nothing_and_it_is_said(out):
    (told,) = comparing.compare(options(out, None)).comparisons

    assert not told["passed"]
    assert told["gates"][0]["says"] == "too few images with boxes to say anything of mAP: nothing is proven"
    assert told["plan"]["says"] == ["these images hold too few boxes to say how likely a challenger passes: none will"]


def test_dry_run_tells_the_power_alone_and_leaves_nothing(out):
    record = comparing.compare(options(out, dry_run=True))

    (told,) = record.comparisons
    assert not {"figures", "calibration", "latency_ms", "audit"} & set(told)
    assert models.read(out / "models").comparisons.is_empty()
    assert not (out / "store" / "models").exists()


@pytest.mark.slow
def test_canary_is_asked_once_staging_has_passed_for_the_same_pair(out):
    with pytest.raises(UsageError, match=r"radloop compare 'oracle:0.5' 'oracle:0' --splits staging"):
        comparing.compare(options(out, splits=("canary",)))
    comparing.compare(options(out))
    with pytest.raises(UsageError, match="canary is asked once"):
        comparing.compare(options(out, splits=("canary",), challenger="oracle:1"))
    assert comparing.compare(options(out, splits=("canary",))).passed


@pytest.mark.slow
def test_the_same_question_counts_once_and_another_counts_again(out):
    assert comparing.compare(options(out)).comparisons[0]["uses"] == 1
    assert comparing.compare(options(out)).comparisons[0]["uses"] == 1
    assert comparing.compare(options(out, "hard")).comparisons[0]["uses"] == 2
    assert comparing.compare(options(out, challenger="oracle:1")).comparisons[0]["uses"] == 3


@pytest.mark.slow
def test_feedback_of_two_models_is_compared_at_one_cut(out):
    for detector in ("oracle:0.5", "random"):
        online.simulate(
            Simulate(
                out=out,
                detector=detector,
                splits=("staging",),
                load_pattern="8",
                stage_seconds=1.0,
                inference_ms=0,
                jobs=1,
            )
        )
    record = comparing.compare(options(out, champion="oracle noise-0.5", challenger="random-1"))
    (told,) = record.comparisons
    assert told["champion"]["from"] == told["challenger"]["from"] == "feedback"
    assert told["cut"] >= 0.05
    assert any("cut alike" in note for note in told["notes"])


def test_unknown_model_and_a_model_against_itself_are_refused(out):
    with pytest.raises(UsageError, match="unknown model 'lungs'"):
        comparing.compare(options(out, challenger="lungs"))
    with pytest.raises(UsageError, match="are one model"):
        comparing.compare(options(out, challenger="oracle:0.5"))
    with pytest.raises(UsageError, match="unknown alias 'champion': there is none yet"):
        comparing.compare(options(out, champion="champion"))


@pytest.mark.slow
def test_promotion_follows_passed_gates_and_the_alias_is_a_detector(out):
    first(out)
    with pytest.raises(UsageError, match="has not passed staging and canary"):
        promoting.promote(Promote(out=out, model="oracle:0"))
    assert comparing.compare(options(out, champion="champion", splits=("staging", "canary"))).passed

    moved = promoting.promote(Promote(out=out, model="oracle:0"))

    assert (moved.model, moved.previous) == ("oracle-noise-0", "oracle-noise-0.5")
    told = models.read(out / "store" / "models")
    assert told.aliases == {"champion": "oracle-noise-0"}
    assert told.history["reason"].to_list() == ["the first", None]
    assert told.history["comparison"][1] == moved.verdict["canary"]
    run = online.simulate(
        Simulate(out=out, detector="champion", splits=("test",), load_pattern="1", stage_seconds=0.1, jobs=1)
    )
    assert run.detector == "oracle noise-0"


def test_alias_goes_back_to_the_model_before_and_says_where_there_is_none(out):
    first(out)
    with pytest.raises(UsageError, match="there is nothing to go back to"):
        promoting.rollback(Rollback(out=out, model="previous"))
    promoting.promote(Promote(out=out, model="oracle:0", force=True, reason="tried"))
    assert promoting.rollback(Rollback(out=out, model="previous", dry_run=True)).done is False
    with pytest.raises(UsageError, match=r"did not mean 'lungs-1' before: name one of oracle-noise-0\.5"):
        promoting.rollback(Rollback(out=out, model="lungs-1"))

    moved = promoting.rollback(Rollback(out=out, model="previous", reason="it missed a nodule"))

    assert (moved.model, moved.previous) == ("oracle-noise-0.5", "oracle-noise-0")
    told = models.read(out / "store" / "models")
    assert told.aliases == {"champion": "oracle-noise-0.5"}
    assert told.history.select("action", "reason").row(-1) == ("rollback", "it missed a nodule")


def test_model_with_a_file_is_kept_with_it_and_runs_from_there(out):
    pytest.importorskip("onnxruntime")
    moved = first(out, "onnx:tiny")
    folder = out / "store" / "models" / moved.model
    assert sorted(path.name for path in folder.iterdir()) == ["classes.txt", "model.json", "tiny.onnx"]
    shutil.rmtree(out / "models")
    named = promoting.named(Simulate(out=out, detector="champion"), storage.open_store(str(out / "store")))
    assert named.detector == f"onnx:{(out / 'models' / moved.model / 'tiny.onnx').absolute()}"


def test_file_that_is_not_the_promoted_one_is_not_run_as_the_champion(out):
    moved = first(out)
    kept = out / "models" / moved.model / "classes.txt"
    kept.unlink()  # the store's may be the same file
    kept.write_text("another\n")
    with pytest.raises(DatasetError, match=r"classes\.txt is not the file that was promoted\. Move .*models away"):
        comparing.compare(options(out, champion="champion"))
    shutil.rmtree(out / "models")
    assert comparing.compare(options(out, champion="champion", dry_run=True)).passed


@pytest.mark.parametrize("alias", ["random", "onnx:a.onnx", "../up", "", "a b"])
def test_alias_that_could_not_be_named_as_a_detector_is_refused(alias, tmp_path):
    with pytest.raises(UsageError, match="cannot name a model"):
        promoting.promote(Promote(out=tmp_path, model="oracle:0", alias=alias, force=True, reason="tried"))


def test_model_that_is_the_champion_already_is_not_sent_to_compare_with_itself(out):
    first(out)
    with pytest.raises(UsageError, match=r"champion means oracle-noise-0\.5 already"):
        promoting.promote(Promote(out=out, model="oracle:0.5"))


def test_force_needs_a_reason_and_a_first_model_needs_force(out):
    with pytest.raises(UsageError, match="--force needs --reason"):
        promoting.promote(Promote(out=out, model="oracle:0", force=True))
    with pytest.raises(UsageError, match="means no model yet"):
        promoting.promote(Promote(out=out, model="oracle:0"))
    first(out)
    with pytest.raises(UsageError, match=r"means oracle-noise-0\.5 already"):
        first(out)


def test_two_who_change_the_models_at_once_are_told_apart(tmp_path):
    store = MemoryStore()
    one, other = Registry(tmp_path / "one", store), Registry(tmp_path / "other", store)
    for each in (one, other):
        each.folder.mkdir(parents=True)
        each.bring()
    one.change({"a.json": b"one"})
    with pytest.raises(StoreError, match="somebody else has published"):
        other.change({"b.json": b"other"})
    assert store.get("models/b.json") is None
    other.bring()
    other.change({"b.json": b"other"})
    assert (store.get("models/a.json"), store.get("models/b.json")) == (b"one", b"other")
    assert sorted(models.manifest.read(other.folder)["key"]) == ["a.json", "b.json"]


def test_run_that_holds_the_models_keeps_another_out(tmp_path):
    store = MemoryStore()
    with registry.opened(tmp_path, store), pytest.raises(BusyError), registry.opened(tmp_path, store):
        pass


@pytest.mark.slow
def test_kill_at_any_request_leaves_the_old_models_or_the_new_and_the_next_run_completes_them(tmp_path):
    whole = MemoryStore()
    play(tmp_path / "whole", whole)
    for requests in range(len(whole.trace)):
        store, out = MemoryStore(), tmp_path / str(requests)
        store.requests_left = requests
        with pytest.raises(KilledError):
            play(out, store)
        store.requests_left = 10_000
        with registry.opened(out, store) as kept:
            assert set(kept.models.aliases) <= {"champion"}
        play(out, store)
        assert store.objects == whole.objects


def play(out: Path, store: MemoryStore) -> None:
    """Two changes, the second of a file that is there; done again they change nothing."""
    with registry.opened(out, store) as kept:
        for model in ("a-1", "b-2"):
            aliases = models.encode({"champion": model}, models.HISTORY.to_frame())
            if kept.models.aliases.get("champion") not in (model, "b-2"):
                kept.change({models.ALIASES: aliases, f"{model}/model.json": model.encode()})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("map: {marign: 0.02}", "unknown field `marign`"),
        ("speed: {}", "unknown field `speed`"),
        ("{}", "asks for nothing"),
        ("map: {margin: 2}", "margin"),
        ("[map]", "There are map"),
        ("latency_p95: {}", "needs `ratio` or `ms`"),
        ("latency_p95: {ms: .inf}", "ms"),
        ("recall: off", "recall"),
        ("map: [", "is no YAML"),
    ],
)
def test_gates_that_cannot_be_meant_name_the_way_out(text, says, tmp_path):
    (tmp_path / "gates.yaml").write_text(text)
    with pytest.raises(UsageError, match=says):
        gates.read(tmp_path / "gates.yaml")


def test_gates_of_the_documentation_are_the_default(tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "gates.md").read_text()
    (block,) = [part.split("```")[0] for part in text.split("```yaml\n")[1:]][:1]
    (tmp_path / "gates.yaml").write_text(block)
    assert gates.read(tmp_path / "gates.yaml") == gates.DEFAULT
