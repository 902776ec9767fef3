"""The runner that the Python clients share: it runs checks one after the other, prints a line for each, and bounds its
time. What a check does, and with which library, lives in the client's own folder."""

import asyncio
import inspect
import logging
import secrets
import signal
import time
import traceback

CHECK_SECONDS = 20


class Skip(Exception):
    """Raised by a check that this client or machine cannot make; its text says why."""


def token():
    """A name part that no other run uses."""
    return secrets.token_hex(4)


def expect(found, wanted, what="value"):
    """Fails the check unless the two are equal."""
    if found != wanted:
        raise AssertionError(f"{what}: got {_short(found)}, wanted {_short(wanted)}")


def expect_that(truth, what):
    """Fails the check with `what` unless `truth` holds."""
    if not truth:
        raise AssertionError(what)


def wait_until(ready, what, seconds=10, pause=0.02):
    """Polls `ready()` until it returns something true, which is the result."""
    deadline = time.monotonic() + seconds
    while True:
        result = ready()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(pause)


def run_checks(checks, open_scope):
    """Runs each check with a scope of its own. `open_scope()` gives an object with `close()`, which must end the
    connections of the check and delete what it declared. Checks may be coroutine functions; so may `close`."""
    logging.basicConfig(level=logging.CRITICAL)
    for check in checks:
        try:
            if inspect.iscoroutinefunction(check):
                asyncio.run(asyncio.wait_for(_run_async(check, open_scope), CHECK_SECONDS))
            else:
                _run_bounded(check, open_scope)
            print(f"ok {check.__name__}", flush=True)
        except Skip as reason:
            print(f"skip {check.__name__}: {reason}", flush=True)
        except Exception as error:
            traceback.print_exc()
            print(f"FAIL {check.__name__}: {_one_line(error)}", flush=True)
    print("end", flush=True)


async def _run_async(check, open_scope):
    scope = open_scope()
    try:
        await check(scope)
    finally:
        await scope.close()


def _run_bounded(check, open_scope):
    def overdue(_signal, _frame):
        raise TimeoutError(f"not done within {CHECK_SECONDS} s")

    signal.signal(signal.SIGALRM, overdue)
    signal.alarm(CHECK_SECONDS)
    scope = open_scope()
    try:
        check(scope)
    finally:
        signal.alarm(CHECK_SECONDS)
        scope.close()
        signal.alarm(0)


def _short(value):
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _one_line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
