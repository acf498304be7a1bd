"""The command line: read the options, call one pipeline, print, exit.

A command is a function from its options (`radloop.options`) to a record. Its flags and its help derive from the
options; what is heavy is imported by the command that needs it.

`radloop.words.Exit` lists how a command ends.
"""

import errno
import inspect
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar, get_args

import typer
from typer.core import TyperGroup

from radloop import options, parts, settings, visible
from radloop.errors import RadloopError
from radloop.progress import Progress
from radloop.settings import Setting
from radloop.typed import typed
from radloop.words import Exit

if TYPE_CHECKING:
    from radloop.engines import Engine

S = TypeVar("S", bound=parts.Step)

Group = Literal["Data", "Loop", "Look"]  # what a command is for, in the order of the help


class _Grouped(TyperGroup):
    """The commands, listed by what they are for: of each the first sentence of its help, whole."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        longest = max(map(len, self.commands))
        for group in get_args(Group):
            named = [name for name, command in self.commands.items() if group_of(command) == group]
            with formatter.section(group):
                formatter.write_dl([(name.ljust(longest), self.commands[name].get_short_help_str()) for name in named])


def group_of(command: object) -> Group:
    """What a command is for."""
    group: Group = command.rich_help_panel  # type: ignore[attr-defined]  # where typer keeps it
    return group


def first_sentence(text: str | None) -> str:
    """What stands before the first full stop that ends a sentence, on one line.

    >>> first_sentence("Judge by Ultralytics 8.4 alone. Exit 1 if it is wrong.")
    'Judge by Ultralytics 8.4 alone.'
    """
    return re.split(r"(?<=\.)\s", " ".join((text or "").split()), maxsplit=1)[0]


app = typer.Typer(
    cls=_Grouped,
    help="A closed-loop data pipeline for radiology detection.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _command(group: Group) -> Callable[[Callable[[S, Progress], object]], Callable[[S, Progress], object]]:
    """Make a function a command of its name, with the options that its first parameter has."""
    return partial(_registered, group)


def _registered(group: Group, function: Callable[[S, Progress], object]) -> Callable[[S, Progress], object]:
    first, *_ = inspect.signature(function).parameters.values()
    step: type[S] = first.annotation

    def run(**flags: Any) -> None:
        from radloop.display import Display

        chosen = settings.load(step, flags)
        with Display() as display:
            record = function(chosen, display)
        if isinstance(chosen, parts.Json):
            _finish(record, chosen)

    parameters = [_parameter(setting) for setting in settings.of(step) if setting.flag or setting.about.argument]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    name = function.__name__.rstrip("_")  # import is a word of Python
    app.command(name, help=step.__doc__, short_help=first_sentence(step.__doc__), rich_help_panel=group)(run)
    return function


def _parameter(setting: Setting) -> inspect.Parameter:
    """An option as typer has to see it: a text, for `settings` says what it may be, of a flag as of a variable."""
    kind: Any = bool if setting.boolean else list[str] if setting.several else str
    if setting.about.argument:
        info = typer.Argument(metavar=setting.about.argument, help=setting.about.help)
        return inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, info])
    info = typer.Option(
        setting.declared,
        metavar=None if setting.boolean else setting.kind.placeholder,
        help=setting.described,
        show_default=False,
        autocompletion=_completion(setting) if setting.kind.choices else None,
    )
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info]
    )


def _completion(setting: Setting) -> Callable[[str], list[str]]:
    def completed(incomplete: str) -> list[str]:
        """What the text of a flag may become: of several with commas the last one."""
        before, comma, last = incomplete.rpartition(",") if setting.about.commas else ("", "", incomplete)
        return [f"{before}{comma}{choice}" for choice in setting.kind.choices if choice.startswith(last)]

    return completed


@_command("Data")
def extract(chosen: options.Extract, progress: Progress) -> object:
    from radloop.pipelines import offline

    return offline.extract(chosen, progress=progress)


@_command("Data")
def transform(chosen: options.Transform, progress: Progress) -> object:
    from radloop.pipelines import offline

    with _engine(chosen) as engine:
        return offline.transform(chosen, engine=engine, progress=progress)


@_command("Data")
def load(chosen: options.Load, progress: Progress) -> object:
    from radloop.pipelines import offline

    with _engine(chosen) as engine:
        return offline.load(chosen, engine=engine, progress=progress)


@_command("Data")
def etl(chosen: options.Etl, progress: Progress) -> object:
    from radloop.pipelines import offline

    with _engine(chosen) as engine:
        return offline.etl(chosen, engine=engine, progress=progress)


@_command("Data")
def pull(chosen: options.Pull, progress: Progress) -> object:
    from radloop.pipelines import offline

    return offline.pull(chosen, progress=progress)


@_command("Data")
def versions(chosen: options.Versions, progress: Progress) -> object:
    from radloop.pipelines import versioning

    return versioning.versions(chosen)


@_command("Data")
def rollback(chosen: options.Rollback, progress: Progress) -> object:
    from radloop.pipelines import promoting, versioning

    return (versioning if chosen.model is None else promoting).rollback(chosen, progress=progress)


@_command("Data")
def prune(chosen: options.Prune, progress: Progress) -> object:
    from radloop.pipelines import versioning

    return versioning.prune(chosen, progress=progress)


@_command("Loop")
def ingest(chosen: options.Ingest, progress: Progress) -> object:
    from radloop.pipelines import ingesting

    return ingesting.ingest(chosen, progress=progress)


@_command("Loop")
def simulate(chosen: options.Simulate, progress: Progress) -> object:
    from radloop.pipelines import online

    with _engine(chosen) as engine:
        return online.simulate(chosen, engine=engine, progress=progress)


@_command("Loop")
def watch(chosen: options.Watch, progress: Progress) -> object:
    from radloop.pipelines import watching

    return watching.watch(chosen, progress=progress)


@_command("Loop")
def review(chosen: options.Review, progress: Progress) -> object:
    from radloop.pipelines import reviewing

    return reviewing.review(chosen, progress=progress)


@_command("Loop")
def retrain(chosen: options.Retrain, progress: Progress) -> object:
    from radloop.pipelines import retraining

    return retraining.retrain(chosen, progress=progress)


@_command("Look")
def evaluate(chosen: options.Evaluate, progress: Progress) -> object:
    from radloop.pipelines import evaluating

    return evaluating.evaluate(chosen, progress=progress)


@_command("Look")
def monitor(chosen: options.Monitor, progress: Progress) -> object:
    from radloop.pipelines import exposing, monitoring

    return (exposing.expose if chosen.serve else monitoring.monitor)(chosen, progress=progress)


@_command("Look")
def explain(chosen: options.Explain, progress: Progress) -> object:
    from radloop.pipelines import explaining

    return explaining.explain(chosen, progress=progress)


@_command("Loop")
def compare(chosen: options.Compare, progress: Progress) -> object:
    from radloop.pipelines import comparing

    return comparing.compare(chosen, progress=progress)


@_command("Loop")
def promote(chosen: options.Promote, progress: Progress) -> object:
    from radloop.pipelines import promoting

    return promoting.promote(chosen, progress=progress)


@_command("Data")
def export(chosen: options.Export, progress: Progress) -> object:
    from radloop.pipelines import exporting

    return exporting.export(chosen, progress=progress)


@_command("Loop")
def import_(chosen: options.Import, progress: Progress) -> object:
    from radloop.pipelines import importing

    return importing.import_reviews(chosen, progress=progress)


@_command("Data")
def forget(chosen: options.Forget, progress: Progress) -> object:
    from radloop.pipelines import forgetting

    return forgetting.forget(chosen, progress=progress)


@_command("Data")
def backup(chosen: options.Backup, progress: Progress) -> object:
    from radloop.pipelines import backing_up

    return backing_up.backup(chosen, progress=progress)


@_command("Data")
def restore(chosen: options.Restore, progress: Progress) -> object:
    from radloop.pipelines import restoring

    return restoring.restore(chosen, progress=progress)


@_command("Data")
def check(chosen: options.Check, progress: Progress) -> object:
    if chosen.attestation is not None or chosen.key is not None:
        from radloop.pipelines import verifying

        return verifying.verify(chosen, progress=progress)
    from radloop.pipelines import checking

    return checking.check(chosen.place, jobs=chosen.jobs, progress=progress)


@_command("Look")
def audit(chosen: options.Audit, progress: Progress) -> object:
    from radloop.pipelines import auditing

    return auditing.audit(chosen, progress=progress)


@_command("Data")
def attest(chosen: options.Attest, progress: Progress) -> object:
    from radloop.pipelines import attesting

    return attesting.attest(chosen, progress=progress)


@_command("Look")
def dashboard(chosen: options.Dashboard, progress: Progress) -> NoReturn:
    from radloop.dashboard import launch

    launch.serve(chosen)


@_command("Loop")
def demo(chosen: options.Demo, progress: Progress) -> object:
    from radloop.pipelines import demo as demonstration

    return demonstration.run(chosen, progress=progress)


@app.callback(invoke_without_command=True)
def _without_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from radloop import __version__

        typer.echo(f"radloop {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(Exit.WRONG_USAGE)


def _engine(chosen: parts.Parallel) -> "AbstractContextManager[Engine]":
    from radloop import engines

    return engines.opened(chosen.engine, jobs=chosen.jobs, address=chosen.ray_address)


def _finish(record: object, chosen: parts.Json) -> None:
    """Print what a pipeline returned, and exit as it asks for: 1 where a check failed."""
    from radloop import summaries
    from radloop.display import print_json, print_summary

    if chosen.json:
        print_json(record)
    else:
        print_summary(summaries.of(record))
    if status := summaries.status(record):
        raise typer.Exit(status)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every error that radloop raises on purpose is one line on stderr."""
    try:
        status = app(args=arguments, prog_name="radloop", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else Exit.DONE)
    except typer.TyperException as wrong:
        _stop(_in_one_line(wrong), wrong.exit_code)
    except RadloopError as error:
        _stop(str(error), error.exit)
    except OSError as error:
        _stop(f"{error.filename or 'the system'}: {error.strerror or error}.{_full(error)}", Exit.FAILED)


def _full(error: OSError) -> str:
    """Where a disk is full, how much is free there; what is missing nobody knows here."""
    if error.errno != errno.ENOSPC or not isinstance(error.filename, str):
        return ""
    place = os.path.dirname(os.path.abspath(error.filename))
    free = shutil.disk_usage(place).free if os.path.isdir(place) else 0
    return f" {free / 1e6:.1f} MB are free in {place}: make room and run the same command again."


def _in_one_line(wrong: typer.TyperException) -> str:
    """What the shell found wrong with the words of a command, and where to look."""
    close = getattr(wrong, "possibilities", None)  # flags, the closest first
    message = f"{wrong.message}. Did you mean {close[0]}?" if close else wrong.format_message()
    command = getattr(getattr(wrong, "ctx", None), "command_path", "radloop")
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} See {command} --help."


def _stop(sentence: str, status: int) -> NoReturn:
    print(f"radloop: {typed(visible.line(sentence))}", file=sys.stderr)  # noqa: T201  the one line
    sys.exit(status)


if __name__ == "__main__":
    main()
