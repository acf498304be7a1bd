"""A run that is stopped by a signal."""

import os
import signal
import threading

from radloop.simulation import stopping


def test_first_signal_stops_and_the_second_is_nobodys():
    before = signal.getsignal(signal.SIGTERM)
    stop = threading.Event()
    with stopping.by_signals(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(60)
        assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == before


def test_without_a_signal_nothing_is_stopped():
    stop = threading.Event()
    with stopping.by_signals(stop):
        pass
    assert not stop.is_set()
    with stopping.by_signals(threading.Event()):
        pass


def test_only_the_main_thread_listens():
    def other() -> None:
        with stopping.by_signals(threading.Event()):
            heard.append(signal.getsignal(signal.SIGTERM))

    heard: list[object] = []
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert heard == [signal.getsignal(signal.SIGTERM)]
