"""What the history of versions can be told (`radloop.options`): list and compare them, bring one back, prune."""

from dataclasses import dataclass

from radloop.option import About, option
from radloop.parts import DryRun, Durable, Json, Stored


@dataclass(frozen=True, kw_only=True)
class Versions(Json, Stored):
    """List the versions that were published, and what each changed. The store keeps them."""

    compare: tuple[str, ...] = option(
        (),
        About(
            "Versions to compare, comma-separated: one with the current, or two, by the beginnings of their ids.",
            ours=False,
            commas=True,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Rollback(Json, DryRun, Durable, Stored):
    """Bring back an earlier version, or an earlier model. What was held out stays so."""

    data: str | None = option(
        None, About("The version of the dataset, by the beginning of its id.", shown="none", ours=False)
    )
    model: str | None = option(
        None,
        About(
            "In the place of --data: the id of a model that the alias meant before; or previous, the last such.",
            shown="none",
            ours=False,
        ),
    )
    alias: str = option("champion", About("The alias that --model moves.", ours=False))
    reason: str = option("", About("Why --model moves it, in a few words; it is kept.", ours=False))


@dataclass(frozen=True, kw_only=True)
class Prune(Json, DryRun, Durable, Stored):
    """Keep only the newest versions in the store. The current one is always kept."""

    keep: int = option(10, About("How many versions to keep, the current one included.", ours=False, ge=1))
