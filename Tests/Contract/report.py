"""Counts what passed and says what failed."""

import sys
import time
import traceback
from contextlib import contextmanager


class Failed(AssertionError):
    """A check did not hold; its text says what was expected and what came."""


def check(holds, text):
    if not holds:
        raise Failed(text)


def equal(got, expected, what):
    check(got == expected, f"{what}: expected {expected!r}, got {got!r}")


class Report:
    def __init__(self, verbose=False, only=None):
        self.passed = 0
        self.failed = []
        self.skipped = []
        self.verbose = verbose
        self.only = only

    @contextmanager
    def case(self, name):
        """Runs a check. A failure of any kind is told in one line and the next check goes on."""
        started = time.monotonic()
        try:
            yield
        except Failed as error:
            self._fail(name, str(error))
        except Exception as error:  # a check that breaks is a check that failed
            place = traceback.extract_tb(error.__traceback__)[-1]
            self._fail(name, f"{type(error).__name__}: {error} ({place.filename.rsplit('/', 1)[-1]}:{place.lineno})")
        else:
            self.passed += 1
            if self.verbose:
                print(f"ok    {name} ({time.monotonic() - started:.2f} s)", flush=True)

    def _fail(self, name, why):
        self.failed.append(name)
        print(f"FAIL  {name}: {' '.join(why.split())[:1500]}", flush=True)

    def skip(self, name, why):
        self.skipped.append(name)
        print(f"SKIP  {name}: {why}", flush=True)

    def end(self):
        sys.stderr.flush()
        if self.skipped:
            print(f"SKIPPED {len(self.skipped)}: {', '.join(self.skipped)}")
        print(f"{self.passed} passed, {len(self.failed)} failed", flush=True)
        return 1 if self.failed or not self.passed else 0
