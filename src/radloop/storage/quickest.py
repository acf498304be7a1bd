"""The quickest way for the names of a picture to get into a store of objects, found out on this line.

Readers share a picture. Either its bytes are sent under every name, or once, and the store copies them to the other
names. The first costs bytes on the line, the second requests of the server, and which is dearer is a matter of both:
so a few pictures go each way first, and the rest goes the way that took less time for a name. What lies in the store in
the end is the same either way.

Copies are made beside the uploads, as soon as their sources have arrived: one keeps the line busy, the other the
server.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Final

from radloop.storage.change import EndedError, Outcome

FEWEST: Final = 16  # pictures that tell how long a way takes
_SHARE: Final = 50  # of so many pictures one tells
_WORTH: Final = 10  # of so many parts all others have to be left, or there is nothing to gain
_LESS: Final = 0.9  # of the time of copying: what is sent more often has to save a tenth

Arrived = Callable[[Iterable[str]], None]  # told of files that have arrived while others are on their way


def ignored(sources: Iterable[str]) -> None:
    """Nobody waits for them."""


class Sender:
    """Sends batches of names by `upload` and by `copy`, and remembers which way was the quicker one.

    They may be called at the same time, from two threads. Raises what they raise.
    """

    def __init__(
        self,
        upload: Callable[[Sequence[str], Arrived], Outcome],
        copy: Callable[[Mapping[str, str]], Outcome],
        *,
        tries: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know nothing of the line yet; without `tries` each picture is sent once."""
        self.copies: bool | None = None  # whether copies are the quicker way; None: not known
        self.uploaded: list[str] = []
        self.copied = 0
        self._upload, self._copy, self._tries, self._clock = upload, copy, tries, clock
        self._copying: list[Future[Outcome]] = []
        self._waiting: dict[str, list[str]] = {}  # targets by the source that is on its way
        self._ready: dict[str, str] = {}
        self._lock = threading.Lock()  # of what is ready

    def send(self, uploads: Sequence[str], copies: Mapping[str, str]) -> Outcome:
        """Bring `uploads` and {target: source} into the store, up to the first error.

        Every source lies in the store already, or is among the uploads.
        """
        self._beside, self._copying, self._waiting, self._ready = ThreadPoolExecutor(1), [], {}, {}
        new, asked = frozenset(uploads), set[str]()
        error: str | None = None
        ended: EndedError | None = None
        try:
            for names, meanwhile in self._parts(uploads, copies):
                asked |= {*names, *meanwhile}
                self._copy_beside(meanwhile)
                if names:
                    self.uploaded += names
                    error = self._upload(names, self._have_arrived if self._waiting else ignored).error
                if error or self._has_failed_copies():
                    break
                self._have_arrived(names)
            if error:
                left = {target: source for target, source in copies.items() if target not in asked}
                self._copy_beside({target: source for target, source in left.items() if source not in new})
            self._beside.shutdown(cancel_futures=self._has_failed_copies())
        except EndedError as gone:  # perhaps because a copy failed: then that is what is told
            ended = gone
        finally:
            self._beside.shutdown(cancel_futures=True)
        return self._gathered(error, ended)

    def _have_arrived(self, sources: Iterable[str]) -> None:
        self._copy_beside({target: source for source in sources for target in self._waiting.pop(source, ())})

    def _copy_beside(self, sources: Mapping[str, str]) -> None:
        if sources:
            self.copied += len(sources)
            with self._lock:
                self._ready |= sources
            self._copying.append(self._beside.submit(self._copy_ready))

    def _copy_ready(self) -> Outcome:
        """Copy all that has become ready since the last call."""
        with self._lock:
            ready, self._ready = self._ready, {}
        return self._copy(ready) if ready else Outcome()

    def _parts(
        self, uploads: Sequence[str], copies: Mapping[str, str]
    ) -> Iterator[tuple[Sequence[str], Mapping[str, str]]]:
        """What to upload next, and what the store copies in the meantime."""
        pictures: dict[str, list[str]] = {}
        for target, source in copies.items():
            pictures.setdefault(source, []).append(target)
        to_send = {key: key in pictures for key in uploads}

        def new(sources: Sequence[str]) -> list[str]:
            """Those of `sources` that were not sent yet."""
            return [key for key in sources if to_send.pop(key, False)]

        def shared(sources: Sequence[str]) -> dict[str, str]:
            return {target: source for source in sources for target in pictures[source]}

        rest = list(pictures)
        few = max(FEWEST, len(rest) // _SHARE)
        if self.copies is None and (not self._tries or len(rest) < _WORTH * FEWEST):
            yield uploads, {}
            yield [], copies
            return
        if self.copies is None:
            begins = [0, few, 2 * few, 2 * few + few // 2]  # what is sent under every name costs the most bytes
            first, second, third = (rest[begin:end] for begin, end in pairwise(begins))
            yield new(first), {}
            begin, sent = self._clock(), new(second)
            yield sent, shared(first)
            self._await_copies()
            copying_s = (self._clock() - begin) / (len(sent) + len(shared(first)))
            begin, sent = self._clock(), [*new(third), *shared(third)]
            yield sent, {}
            self.copies = (self._clock() - begin) / len(sent) > _LESS * copying_s
            rest = [*second, *rest[begins[-1] :]]
        if self.copies:
            there = [source for source in rest if source not in to_send]
            self._waiting = {source: pictures[source] for source in rest if source in to_send}
            yield new(rest), shared(there)
            rest = []
        yield [*new(rest), *shared(rest), *to_send], {}

    def _await_copies(self) -> None:
        for one in self._copying:
            one.exception()

    def _has_failed_copies(self) -> bool:
        ended = [one for one in self._copying if one.done()]
        return any(one.exception() is not None or one.result().error is not None for one in ended)

    def _gathered(self, error: str | None, ended: EndedError | None) -> Outcome:
        """How it ended, all in all. Who fails ends the program for the other: that one's words are not told."""
        gone = frozenset[str]()
        for one in self._copying:
            try:
                outcome = one.result()
            except CancelledError:
                continue
            except EndedError as lost:
                ended = ended or lost
            else:
                error, gone = error or outcome.error, gone | outcome.gone
        if ended and not error:
            raise ended
        return Outcome(error, gone)
