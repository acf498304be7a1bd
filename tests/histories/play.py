"""A history: what each machine does, where the baton changes hands, what fails. A seed decides all of it."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from .judge import Account
from .shared import FAILED, Baton, KilledError, Objects, Request
from .states import Ending, State, perform, state
from .world import FOREIGN, MACHINES, World

MOMENTS: Final = (0, 2, 5, 7, 9, 12, 15, 18, 22, 27, 33, 40, 48, 57, 67, 78, 90)  # requests at which a fault strikes
STOPS: Final = (
    "put publishing.parquet",
    "put publishing",
    "put versions/history.json",
    "put manifest.parquet",
    "delete publishing.parquet",
    "delete publishing",
)


@dataclass(frozen=True)
class Step:
    """One command of one machine, and what goes wrong with it."""

    name: str
    given: Any = None
    killed: int | None = None  # at this request
    failing: tuple[int, ...] = ()  # requests that the server refuses
    hands_on: bool = False  # the baton, at its end
    stops: str | None = None  # and just before it first writes so

    def __str__(self) -> str:
        told = self.name + ("" if self.given is None else f" {self.given}")
        told += f" (killed at request {self.killed})" if self.killed is not None else ""
        told += f" (503 at {', '.join(map(str, self.failing))})" if self.failing else ""
        told += f" (stops before: {self.stops})" if self.stops else ""
        return told + (" →" if self.hands_on else "")


@dataclass(frozen=True)
class History:
    """All that decides what happens."""

    steps: tuple[tuple[Step, ...], ...]  # of each machine
    switches: tuple[int, ...]  # requests, counted over all, at which the baton goes to the next machine
    published: bool = True  # whether a first version stands, which all machines have
    can_copy: bool = True
    keeps_md5: bool = True

    def __str__(self) -> str:
        told = [f"  machine {number}: {'; '.join(map(str, steps))}" for number, steps in enumerate(self.steps)]
        kind = ("" if self.can_copy else ", a store that cannot copy") + ("" if self.keeps_md5 else ", without MD5s")
        begin = "a version is published" if self.published else "nothing is published yet"
        return "\n".join([f"  {begin}{kind}", *told, f"  the baton changes hands at {list(self.switches)}"])


def drawn(seed: int) -> History:
    """The history of a seed."""
    chance = random.Random(seed)
    published = chance.random() < 0.85
    count = 2 if chance.random() < 0.8 else MACHINES
    steps = tuple(tuple(_steps(chance, published=published)) for _ in range(count))
    gap, most, moment = chance.choice((4, 15, 40, 90)), chance.choice((0, 1, 2, 6, 20)), 0
    switches = []
    for _ in range(most):
        moment += 1 + int(chance.expovariate(1 / gap))
        switches.append(moment)
    kind = chance.choice(("no copies", "no MD5s", *[""] * 12))
    return History(
        steps,
        tuple(switches),
        published=published,
        can_copy=kind != "no copies",
        keeps_md5=kind != "no MD5s",
    )


def _steps(chance: random.Random, *, published: bool) -> Iterator[Step]:
    names: list[tuple[str, Callable[[], Any]]] = [
        ("transform", lambda: chance.choice(("a", "b", "b", "c"))),
        ("load", lambda: None),
        ("transform load", lambda: chance.choice(("a", "b", "b", "c"))),
        ("transform load", lambda: chance.choice(("b", "b+"))),
        ("pull", lambda: None),
        ("pull", lambda: ("test", "production", "incoming") if chance.random() < 0.2 else None),
        ("simulate", lambda: chance.randrange(2)),
        ("simulate review retrain", lambda: chance.randrange(2)),
        ("review", lambda: 3),
        ("retrain", lambda: None),
        ("retrain", lambda: None),
        ("ingest", lambda: chance.randrange(4)),
        ("ingest", lambda: chance.randrange(4)),
        ("rollback", lambda: None),
        ("prune", lambda: chance.choice((1, 2))),
    ]
    trouble = chance.choice((0.0, 0.15, 0.4))
    if not published:
        yield Step("transform", chance.choice("abc"), hands_on=chance.random() < 0.3)
        yield Step("load", hands_on=chance.random() < 0.3)
    for _ in range(chance.choice((1, 2, 2, 3, 4))):
        name, give = chance.choice(names)
        given = give()
        for one in name.split():
            argument = (
                {"load": None, "retrain": None, "review": 3 if given else 0}.get(one, given) if " " in name else given
            )
            yield _troubled(Step(one, argument, hands_on=chance.random() < 0.3), chance, trouble)


def _troubled(step: Step, chance: random.Random, trouble: float) -> Step:
    writes = step.name not in ("transform", "pull", "simulate", "review")
    if writes and chance.random() < 0.25:
        step = replace(step, stops=chance.choice(STOPS))
    if chance.random() >= (trouble if writes else trouble / 5):
        return step
    moment = chance.choice(MOMENTS)
    if chance.random() < 0.6:
        return replace(step, killed=moment)
    return replace(step, failing=tuple(range(moment, moment + chance.choice((1, 1, 3, 40)))))


@dataclass
class Machine:
    """One machine in a history."""

    number: int
    state: State
    failing: frozenset[int] = frozenset()
    killed: int | None = None
    requests: int = 0


@dataclass
class Played:
    """What came of a history."""

    wrong: list[str]
    told: list[str]  # how each step ended, in the order of the ends
    endings: dict[str, int]  # "step: kind"
    requests: int
    switches: int  # how often the baton changed hands within a step


class Player:
    """Plays histories in a world, one after the other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._begun: dict[tuple[bool, bool, bool], tuple[dict[str, bytes], list[State], Account]] = {}

    def play(self, history: History, *, traced: bool = False) -> Played:
        """Play it, then let each machine do its work once more undisturbed, and judge; `traced`: telling its writes."""
        run = _Run(self._world, history, *self._begin(history))
        run.trace = run.told if traced else None
        run.disturbed()
        run.calm()
        run.account.at_the_end(run.store.objects, [machine.state for machine in run.machines])
        return Played(run.account.wrong, run.told, dict(run.endings), run.baton.requests, run.baton.changes)

    def _begin(self, history: History) -> tuple[dict[str, bytes], list[State], Account]:
        key = (history.published, history.can_copy, history.keeps_md5)
        if key not in self._begun:
            plain = replace(history, steps=((),) * MACHINES, switches=())
            run = _Run(self._world, plain, dict(FOREIGN), list(self._world.empty), Account())
            if history.published:
                for machine in run.machines:
                    steps = [Step("transform", "a"), Step("load")] if machine.number == 0 else [Step("pull")]
                    run.quietly(machine, *steps)
            assert not run.account.wrong, run.account.wrong
            self._begun[key] = dict(run.store.objects), [one.state for one in run.machines], run.account
        objects, states, account = self._begun[key]
        fresh = Account(versions=dict(account.versions))
        fresh.manifests = {unit: list(some) for unit, some in account.manifests.items()}
        return dict(objects), list(states), fresh


class _Run:
    def __init__(
        self, world: World, history: History, objects: dict[str, bytes], states: list[State], account: Account
    ) -> None:
        self._world, self._history, self.account = world, history, account
        self.store = Objects(history.can_copy, history.keeps_md5, objects, account.written)
        count = len(history.steps)
        self.machines = [Machine(number, states[number]) for number in range(count)]
        self.baton = Baton(count, history.switches)
        self.told: list[str] = []
        self.endings: Counter[str] = Counter()
        self._quiet = False
        self.trace: list[str] | None = None

    def disturbed(self) -> None:
        """Each machine in its own thread, of which one runs at a time."""
        self._errors: list[BaseException] = []
        threads = [threading.Thread(target=self._script, args=(machine,)) for machine in self.machines]
        for thread in threads:
            thread.start()
        self.baton.start()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _script(self, machine: Machine) -> None:
        self.baton.begin(machine.number)
        try:
            for step in self._history.steps[machine.number]:
                self._do(machine, step)
                if step.hands_on:
                    self.baton.hand_on(machine.number)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._errors.append(error)
        finally:
            self.baton.finish(machine.number)

    def _do(self, machine: Machine, step: Step) -> Ending:
        machine.requests, machine.killed, machine.failing = 0, step.killed, frozenset(step.failing)
        stops = step.stops

        def ask(request: Request, data: bytes | None) -> Any:
            nonlocal stops
            if not self._quiet:
                self.baton.request(machine.number)
                if stops and request[0] == stops.split()[0] and request[1].endswith("/" + stops.split()[1]):
                    stops = None
                    self.baton.hand_on(machine.number)
            machine.requests += 1
            if machine.killed is not None and machine.requests > machine.killed:
                raise KilledError
            if machine.requests in machine.failing:
                return FAILED
            if self.trace is not None and (request[0] in ("put", "delete", "copy") or "publishing" in request[1]):
                self.trace.append(f"    {self.baton.requests} {machine.number} {' '.join(request)}")
            return self.store.answer(request, data)

        do = self._world.step(machine.number, step.name, step.given)
        before = machine.state
        seen, name = self._world.seen(machine.number, step.name, step.given, before.files)
        root, can_copy = self._world.out(machine.number), self._history.can_copy
        ending = perform(state(seen), (*name, can_copy), do, root, ask, can_copy=can_copy)
        beside = {key: data for key, data in before.files.items() if key not in seen}
        ending = replace(ending, after=state(beside | ending.after.files))
        machine.state = ending.after
        self.account.ended(machine.number, step.name, step.given, before, ending)
        self.endings[f"{step.name}: {ending.kind}"] += 1
        said = str(ending.told).replace(str(self._world.base), "") if ending.kind in ("refused", "crashed") else ""
        self.told.append(f"{machine.number}: {step} [{self.baton.requests}] {ending.kind} {said}")
        return ending

    def quietly(self, machine: Machine, *steps: Step) -> list[Ending]:
        """Steps that nothing disturbs."""
        self._quiet = True
        return [self._do(machine, step) for step in steps]

    def calm(self) -> None:
        """Every machine does its work once more: what stands half done is completed, and nobody is left outside."""
        self.told.append("calm")
        done = self.machines
        for machine in done:
            self._completed(machine)
        for machine in done:
            for step in (Step("pull"), Step("ingest", 0), Step("retrain")):
                ending = self.quietly(machine, step)[0]
                if ending.kind != "done":
                    self.account.wrong.append(f"in the calm {step} of machine {machine.number}: {ending.told}")
                    return

    def _completed(self, machine: Machine) -> None:
        """Run again what did not end well, as its sentence says."""
        for step in self._history.steps[machine.number]:
            if step.name in ("load", "ingest", "retrain"):
                self.quietly(machine, Step(step.name, step.given))


def shrunk(player: Player, history: History, kind: Callable[[Played], bool]) -> History:
    """A history with as little in it as still goes wrong in the same way."""
    found = True
    while found:
        found = False
        for smaller in _smaller(history):
            try:
                bad = kind(player.play(smaller))
            except RuntimeError:
                continue
            if bad:
                history, found = smaller, True
                break
    return history


def _smaller(history: History) -> Iterator[History]:
    for number, steps in enumerate(history.steps):
        for at in range(len(steps)):
            fewer = (*steps[:at], *steps[at + 1 :])
            yield replace(history, steps=(*history.steps[:number], fewer, *history.steps[number + 1 :]))
    for at in range(len(history.switches)):
        yield replace(history, switches=(*history.switches[:at], *history.switches[at + 1 :]))
    for number, steps in enumerate(history.steps):
        for at, step in enumerate(steps):
            for plainer in _plainer(step):
                now = (*steps[:at], plainer, *steps[at + 1 :])
                yield replace(history, steps=(*history.steps[:number], now, *history.steps[number + 1 :]))
    if not history.can_copy or not history.keeps_md5:
        yield replace(history, can_copy=True, keeps_md5=True)


def _plainer(step: Step) -> Iterator[Step]:
    if step.killed is not None or step.failing:
        yield replace(step, killed=None, failing=())
    if len(step.failing) > 1:
        yield replace(step, failing=step.failing[:1])
    if step.hands_on or step.stops:
        yield replace(step, hands_on=False, stops=None)
        yield replace(step, hands_on=False)
