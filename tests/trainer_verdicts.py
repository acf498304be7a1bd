"""One verdict on a dataset in the same words, whether the trainer itself gave it or `radloop check`."""

from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop.dataset import trainer_tree, yolo
from radloop.dataset.trainer_rules import DROPPING, RULES
from radloop.pipelines.checking import Report

RECORDED: Final = Path(__file__).with_suffix(".json")

# What `radloop check` says beside the trainer, which takes it without a word.
BESIDE: Final = frozenset(
    {"label-shared", "label-orphan", "label-contradicts", "leak-picture", "list-ignored", "picture-black"}
    | {"picture-ignored", "yaml-download", "yaml-split"}
)
_PICTURES: Final = {
    "taken for background": {"label-missing"},
    "saved anew": {"picture-tail"},
    "stops at": {"picture-undecodable"},
}

Verdict = dict[str, Any]  # empty where the trainer takes all that is there


def of_report(report: Report, root: Path) -> Verdict:
    """What a report foretells."""
    found = report.violations
    if "list-path" in found["rule"]:
        return {"looked for elsewhere": True}
    if any(RULES.get(rule) == "dataset refused" or rule == "yaml-path" for rule in found["rule"]):
        return {"refused": True}
    pictures = trainer_tree.judge_tree(yolo.read(root)).pictures

    def keys(rules: set[str] | frozenset[str]) -> list[str]:
        named = found.filter(pl.col("rule").is_in(rules))["key"]
        return sorted({key for key, label in pictures["key", "label"].rows() if key in named or label in named})

    whole_splits = found.filter(rule="place-unlabelled")["key"]
    unlabelled = {key for key in pictures["key"] if key.rpartition("/")[0] in whole_splits}
    verdict: Verdict = {name: keys(rules) for name, rules in _PICTURES.items()}
    verdict["dropped"] = keys(DROPPING)
    verdict["taken for background"] = sorted({*verdict["taken for background"], *unlabelled} - {*verdict["dropped"]})
    verdict["lines dropped"] = found.filter(rule="label-duplicate").height
    verdict["no test"] = "test-refused" in found["rule"]
    return _without_nothing(verdict)


def of_trainer(told: dict[str, Any]) -> Verdict:
    """What the trainer did (tests/peers/trainer.py)."""
    splits = told["splits"].values()
    if any(split["elsewhere"] for split in splits):
        return {"looked for elsewhere": True}
    if told["refused"] or any(told["splits"][name]["refused"] for name in ("train", "val")):
        return {"refused": True}
    names = ("dropped", "saved anew", "stops at")
    verdict: Verdict = {name: sorted({key for split in splits for key in split[name]}) for name in names}
    missing = {key for split in splits for key in split["missing"]}
    verdict["taken for background"] = sorted(missing - {*verdict["dropped"]})
    verdict["lines dropped"] = sum(split["repeated"] for split in splits)
    verdict["no test"] = bool("test" in told["splits"] and told["splits"]["test"]["refused"])
    return _without_nothing(verdict)


def page(trainer: str, verdicts: dict[str, Verdict], rules: dict[str, list[str]]) -> str:
    """The table of docs/trainer-verdicts.md: every dataset, what the trainer made of it, what `radloop check` says."""
    lines = [
        f"# {trainer} beside `radloop check`",
        "",
        "Written by `make test-peers RECORD=--record` ([how, and what the rules mean](checking.md)). Each dataset is",
        "right or wrong in one way (`tests/trainer_cases.py`); the trainer's own loader read it, and radloop judged it",
        "from its files. Rules in *italics* are said beside the trainer, which takes such a thing without a word.",
        "",
        f"| dataset | {trainer} | `radloop check` |",
        "|---|---|---|",
    ]
    for name, verdict in verdicts.items():
        told = "; ".join(f"{what}: {_plainly(value)}" for what, value in verdict.items()) or "takes all"
        said = ", ".join(f"*{rule}*" if rule in BESIDE else f"`{rule}`" for rule in rules[name]) or "sound"
        lines.append(f"| {name} | {told} | {said} |")
    return "\n".join(lines) + "\n"


def _plainly(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _without_nothing(verdict: Verdict) -> Verdict:
    return {name: value for name, value in sorted(verdict.items()) if value}
