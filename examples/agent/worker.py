"""Python, standard library only: acts while this pod is the active one."""

import json
import os
import threading
import time
import urllib.request

STATE_URL = os.environ["SINGLETON_STATE_URL"]
BASE = STATE_URL.rsplit("/", 1)[0]
# Where it writes to, if anywhere: the term is appended.
WRITE_URL = os.environ.get("WRITE_URL")


def post(url):
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=1).close()
    except OSError:
        pass


class Singleton:
    def __init__(self):
        self._until = 0.0
        self._term = 0
        self._to_acknowledge = None
        threading.Thread(target=self._follow, daemon=True).start()

    def term(self):
        """The fencing token while this pod is the active one, None otherwise. Ask before every step of work."""
        return self._term if time.monotonic() < self._until else None

    def stopped(self):
        """Say that nothing acts any more, so that another pod need not wait for a lease to expire."""
        state, self._to_acknowledge = self._to_acknowledge, None
        if state is None:
            return
        # Without an agent there is nobody to tell.
        post(f"{BASE}/stopped?term={state['term']}&sequence={state['sequence']}")

    def _follow(self):
        while True:
            try:
                with urllib.request.urlopen(f"{BASE}/watch", timeout=30) as events:
                    for line in events:
                        if line.startswith(b"data: "):
                            self._hear(json.loads(line[6:]))
            except OSError:
                pass
            self._until = 0.0
            time.sleep(0.2)

    def _hear(self, state):
        # `sequence` is the machine's monotonic clock, as time.monotonic() is: a late event is not taken for a fresh one.
        said = state["sequence"] / 1e6
        self._term = state["term"]
        self._until = said + state["expiresInMs"] / 1000 if state["active"] else 0.0
        self._to_acknowledge = None if state["active"] else state


def work(term):
    """One step, shorter than fencing.stopGraceSeconds. Give the term to whatever you write to."""
    print(f"acts under term {term}", flush=True)
    if WRITE_URL:
        post(f"{WRITE_URL}{term}")
    time.sleep(0.1)


def main():
    singleton = Singleton()
    while True:
        term = singleton.term()
        if term is not None:
            work(term)
        else:
            singleton.stopped()
            time.sleep(0.05)


if __name__ == "__main__":
    main()
