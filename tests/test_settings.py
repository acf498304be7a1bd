"""Each option is read from its flag, else the environment, else its default, and a bad value is one sentence."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import hypothesis
import pytest
import typer.main
from hypothesis import strategies as st

from radloop import cli, options, settings
from radloop.durations import Duration
from radloop.errors import UsageError
from radloop.options import Step
from radloop.recipe import Recipe
from radloop.settings import Setting
from radloop.split_sizes import SplitSizes
from radloop.words import SPLITS

STEPS = [pytest.param(step, id=step.__name__.lower()) for step in options.STEPS]
REQUIRED = {
    "action": "verify",
    "source": "synthetic:9",
    "asked": "a1",
    "place": "./data",
    "format": "cvat",
    "file": Path("a.json"),
    "from_": "new",
    "to": "/mnt/backup",
    "pacs": "dicomweb:https://pacs.hospital.org/dicom-web",
    "detector": "onnx:tiny",
    "champion": "champion",
    "challenger": "onnx:tiny",
    "model": "onnx:tiny",
    "key": Path("key.pem"),
}

RECIPES = st.sampled_from([Recipe(), Recipe("minmax", None), Recipe("window:40/400", 512, keeps_ratio=True)])
# options with a parse of their own: values that it takes
PARSED = {
    "sizes": st.builds(SplitSizes, *[st.integers(1, 99)] * 6),
    **dict.fromkeys(("recipe", "model_recipe"), RECIPES),
    "auth": st.sampled_from(["token", "none", "header:X-Remote-User"]),
    "token": st.text("abcXYZ019._~", min_size=16, max_size=40),
    "public_name": st.sampled_from(["reads.hospital.org", "desk"]),
    "adjudicators": st.sampled_from(["ann", "reader-7"]),
    "reader": st.sampled_from(["ann", "reader-7"]),
    "block": st.builds(Duration, st.integers(1, 9_999).map(float)),  # 0 s hold no image
    "every": st.builds(Duration, st.integers(1, 9_999).map(float)),
    "since": st.sampled_from(["promotion", "round", "first", "2026-11-30"]),
}

few = hypothesis.settings(max_examples=10)

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n,", exclude_categories=["Cs"]), min_size=1)


def values(setting: Setting) -> st.SearchStrategy[Any]:
    """Any value that an option may have, but None."""
    about, default = setting.about, setting.default
    if setting.several:
        free = st.sampled_from(setting.kind.choices or SPLITS) if about.commas else TEXTS.map(str.strip).filter(bool)
        one = PARSED[setting.name] if about.parse else free
        return st.lists(one, min_size=1, max_size=3).map(tuple)
    if setting.boolean:
        return st.booleans()
    if isinstance(default, Duration) and setting.name not in PARSED:
        return st.builds(Duration, st.integers(0, 9_999).map(float))
    if about.parse:
        return PARSED[setting.name]
    if setting.kind.placeholder == "N":
        return st.integers(int(about.ge or 0), int(about.le or 10_000))
    if setting.kind.placeholder == "X":
        open_below, open_above = about.gt is not None, about.lt is not None
        least, most = about.ge if about.gt is None else about.gt, about.le if about.lt is None else about.lt
        return st.floats(least, most, exclude_min=open_below, exclude_max=open_above)
    if "|" in setting.kind.placeholder:
        return st.sampled_from(setting.kind.placeholder.split("|"))
    return TEXTS.map(setting.kind.read) if default is not None or setting.optional else TEXTS


def given(step: type[Step], **more: Any) -> dict[str, Any]:
    """What has to be given of a step, and more."""
    return {setting.name: REQUIRED[setting.name] for setting in settings.of(step) if setting.required} | more


@st.composite
def drawn(draw: st.DrawFn, step: type[Step]) -> dict[str, Any]:
    """A value for each option of a step."""
    return {setting.name: draw(values(setting)) for setting in settings.of(step)}


def in_words(step: type[Step], told: dict[str, Any]) -> dict[str, str]:
    return {setting.name: setting.text(told[setting.name]) for setting in settings.of(step)}


def of_variables(step: type[Step], told: dict[str, Any], which: int) -> dict[str, str]:
    """The environment that says this, by the first or the last name of each option."""
    words = in_words(step, told)
    return {setting.variables[which]: words[setting.name] for setting in settings.of(step) if setting.variables}


def names(step: type[Step], wanted: Callable[[Setting], object]) -> set[str]:
    return {setting.name for setting in settings.of(step) if wanted(setting)}


@pytest.mark.parametrize("step", STEPS)
def test_default_is_used_where_nothing_was_said(step):
    chosen = settings.load(step, given(step))
    for setting in settings.of(step):
        assert getattr(chosen, setting.name) == (REQUIRED[setting.name] if setting.required else setting.default)


@pytest.mark.parametrize("which", [pytest.param(0, id="first name"), pytest.param(-1, id="last name")])
@pytest.mark.parametrize("step", STEPS)
@hypothesis.given(st.data())
@few
def test_environment_wins_over_every_default(step, which, data):
    told = data.draw(drawn(step))
    arguments = {name: REQUIRED[name] for name in names(step, lambda one: one.required and not one.variables)}
    with pytest.MonkeyPatch.context() as environment:
        for variable, text in of_variables(step, told, which).items():
            environment.setenv(variable, text)
        chosen = settings.load(step, arguments)
    by_variable = names(step, lambda setting: setting.variables)
    assert chosen == step(**given(step, **{name: told[name] for name in by_variable}))


@pytest.mark.parametrize("step", STEPS)
@hypothesis.given(st.data())
@few
def test_every_flag_of_the_command_line_wins_over_the_environment(step, data):
    told, other = data.draw(drawn(step)), data.draw(drawn(step))
    of_the_shell = names(step, lambda setting: setting.flag or setting.about.argument)
    expected = step(**{name: (told if name in of_the_shell else other)[name] for name in told})
    with pytest.MonkeyPatch.context() as environment:
        for variable, text in of_variables(step, other, 0).items():
            environment.setenv(variable, text)
        chosen = through_the_shell(step, settings.words(step(**told)))
    assert chosen == expected
    assert {name: type(getattr(chosen, name)) for name in told} == {
        name: type(getattr(expected, name)) for name in told
    }


@pytest.mark.parametrize("step", [case for case in STEPS if not names(case.values[0], lambda one: one.about.argument)])
@hypothesis.given(st.data())
@few
def test_script_reads_flags_as_the_command_line_does(step, data):
    told, other = data.draw(drawn(step)), data.draw(drawn(step))
    flags = settings.words(step(**told))
    hypothesis.assume(not any(word.endswith("=--") for word in flags))  # argparse takes such a value for none at all
    of_the_shell = names(step, lambda setting: setting.flag)
    with pytest.MonkeyPatch.context() as environment:
        for variable, text in of_variables(step, other, -1).items():
            environment.setenv(variable, text)
        chosen = settings.parse(step, flags)
    assert chosen == step(**{name: (told if name in of_the_shell else other)[name] for name in told})


def test_what_nobody_said_is_a_flag_without_a_value(monkeypatch):
    monkeypatch.setenv("RADLOOP_PREVIOUS", "/store")
    monkeypatch.setenv("RADLOOP_MIN_READERS", "3")
    assert settings.parse(options.Transform, settings.words(options.Transform())) == options.Transform()


built = cache(typer.main.get_command)  # all commands, of which each call would make its own


def through_the_shell(step: type[Step], arguments: list[str]) -> Step:
    """What `radloop COMMAND ARGUMENTS` hands to its pipeline."""
    caught: list[Step] = []

    def load(told: type[Step], words: dict[str, Any]) -> Step:
        caught.append(original(told, words))
        raise UsageError("far enough")

    original = settings.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "load", load)
        patch.setattr(typer.main, "get_command", built)
        with pytest.raises(SystemExit):
            cli.main([step.__name__.lower(), *arguments])
    return caught[0]


BAD = {"N": ["several", "1.5", "nan", "", "-1"], "X": ["fast", "nan", "inf", "-1", "", "1e999"], "PATH": [""]}


def bad_values(step: type[Step]) -> Iterator[tuple[Setting, str, str]]:
    """Every setting, each flag or variable of it, and texts that it may not be."""
    for setting in settings.of(step):
        kind = setting.kind.placeholder
        bad = BAD.get(kind, ["no sense!"] if "|" in kind or setting.about.parse else [])
        for text in ["maybe"] if setting.boolean else bad:
            for name in (*([setting.flag] if setting.flag and not setting.boolean else []), *setting.variables):
                if text or not (setting.optional or name in setting.variables):  # else as if it were not set
                    yield setting, name, text


@pytest.mark.parametrize("step", STEPS)
def test_bad_value_is_one_sentence_that_names_flag_or_variable_and_what_it_may_be(step, monkeypatch):
    for setting, name, text in bad_values(step):
        told = given(step)
        if name == setting.flag:
            told |= {setting.name: text}
        else:
            monkeypatch.setenv(name, text)
        with pytest.raises(UsageError, match=re.escape(name)) as wrong:
            settings.load(step, told)
        monkeypatch.delenv(name, raising=False)
        assert (repr(text) in str(wrong.value)) != setting.about.secret
        assert setting.kind.expected in str(wrong.value)
        assert "\n" not in str(wrong.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            ["transform", "--jobs", "several"], "--jobs: 'several' cannot be used: it has to be a whole", id="int"
        ),
        pytest.param(["transform", "--min-readers", "18"], "a whole number from 1 to 17", id="out of range"),
        pytest.param(["retrain", "--min-confidence", "1"], "a number of at least 0 and below 1", id="float"),
        pytest.param(["transform", "--labels", "best"], "per-reader or consensus", id="choice"),
        pytest.param(["pull", "--splits", "test,trainig"], "'trainig' cannot be used", id="several"),
        pytest.param(["transform", "--sizes", "training=1"], "--sizes: 'training=1' lacks validation", id="own type"),
        pytest.param(["extract", "--out", "", "--source", "kaggle"], "--out: '' cannot be used", id="path"),
        pytest.param(["extract"], "--source or RADLOOP_SOURCE is missing", id="required"),
    ],
)
def test_bad_flag_ends_in_one_line_and_exit_2(arguments, says, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    printed = capsys.readouterr()
    assert stopped.value.code == 2
    assert printed.out == ""
    assert printed.err.startswith("radloop: ")
    assert printed.err.count("\n") == 1
    assert says in printed.err


def test_bad_environment_variable_is_named_as_it_was_set(monkeypatch):
    monkeypatch.setenv("DELAY_BETWEEN_STEPS", "soon")
    with pytest.raises(UsageError, match=r"^DELAY_BETWEEN_STEPS: 'soon' cannot be used: it has to be a number above 0"):
        settings.load(options.Simulate)
    monkeypatch.delenv("DELAY_BETWEEN_STEPS")
    monkeypatch.setenv("RADLOOP_SIZES", "training=1")
    with pytest.raises(UsageError, match=r"^RADLOOP_SIZES: 'training=1' lacks"):
        settings.load(options.Transform)


def test_empty_variable_is_one_that_was_not_set(monkeypatch):
    for step in options.STEPS:
        for setting in settings.of(step):
            for variable in setting.variables:
                monkeypatch.setenv(variable, "")
        assert settings.load(step, given(step)) == step(**given(step))


def test_of_two_names_the_first_wins(monkeypatch):
    monkeypatch.setenv("LOAD_PATTERN", "1")
    assert settings.load(options.Simulate).load_pattern == "1"
    monkeypatch.setenv("RADLOOP_LOAD_PATTERN", "2")
    assert settings.load(options.Simulate).load_pattern == "2"


def test_switch_of_one_call_is_set_by_no_variable(monkeypatch):
    for name in ("DRY_RUN", "STRICT", "JSON", "QUEUE", "SIMULATED", "ANNOTATIONS_ONLY"):
        monkeypatch.setenv(f"RADLOOP_{name}", "true")
    for step in options.STEPS:
        assert settings.load(step, given(step)) == step(**given(step))


def test_demo_is_turned_elsewhere_by_no_variable_of_a_real_dataset(monkeypatch):
    monkeypatch.setenv("RADLOOP_OUT", "/data")
    monkeypatch.setenv("RADLOOP_IMAGES", "/pictures")
    monkeypatch.setenv("RADLOOP_SIZES", "training=1,validation=1,test=1,staging=1,canary=1,production=1")
    assert settings.load(options.Demo) == options.Demo()


def test_empty_flag_takes_back_what_a_variable_says(monkeypatch):
    monkeypatch.setenv("RADLOOP_PREVIOUS", "/store")
    monkeypatch.setenv("RADLOOP_DRIFT", "brightness:0.2@2")
    assert settings.load(options.Transform, {"previous": ""}).previous is None
    assert settings.load(options.Simulate, {"drift": ""}).drift == ""


def test_known_rclone_names_make_the_store(monkeypatch):
    monkeypatch.setenv("RCLONE_CONTAINER", "object-persist-project19")
    assert settings.load(options.Load).store_address == "chi_tacc:object-persist-project19"
    monkeypatch.setenv("RADLOOP_STORE", "/a/folder")
    assert settings.load(options.Load).store_address == "/a/folder"
    assert settings.load(options.Load, {"store": "s3:bucket"}).store_address == "s3:bucket"


def test_every_kind_of_value_that_options_have_is_tested_here():
    kinds = {setting.kind.placeholder for step in options.STEPS for setting in settings.of(step)}
    assert {kind for kind in kinds if "|" not in kind} == {"", "N", "X", "PATH", "TEXT"}


def test_choice_is_the_type_it_stands_for():
    for step in options.STEPS:
        hints = get_type_hints(step)
        for setting in settings.of(step):
            if get_origin(hints[setting.name]) is Literal:
                assert setting.kind.placeholder == "|".join(get_args(hints[setting.name]))


@hypothesis.given(st.sampled_from(options.STEPS), st.data())
@hypothesis.settings(max_examples=30)
def test_value_and_text_that_a_program_gives_mean_what_a_flag_means(step, data):
    told = data.draw(drawn(step))
    texts = in_words(step, told)
    for setting in settings.of(step):
        assert setting.accept(told[setting.name], setting.name) == told[setting.name]
        assert setting.accept(texts[setting.name], setting.name) == told[setting.name]
        if setting.several:
            assert setting.accept(list(told[setting.name]), setting.name) == told[setting.name]
        if setting.optional:
            assert setting.accept(None, setting.name) is None
