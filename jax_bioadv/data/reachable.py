"""Whether sites answer at all, asked at once and with a limit of time, before anything long is begun."""

import http.client
import queue
import ssl
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress

_GATEWAY_FAILURES = (502, 503, 504)


def probe_failures(sites: set[str], seconds: float) -> dict[str, str]:
    """Ask some sites at once and wait for one of them to give any HTTP answer, a refusal included.

    Threads are used because looking up a name may hang and has no time limit of its own.

    Args:
        sites: URLs.
        seconds: how long each has to answer.

    Returns:
        Nothing when one answered or there are none, else why each did not.
    """
    answers: queue.Queue[tuple[str, str | None]] = queue.Queue()
    for site in sites:
        threading.Thread(
            target=lambda site=site: answers.put((site, _probe_failure(site, seconds))), daemon=True
        ).start()
    failures = dict.fromkeys(sites, f"no answer within {seconds:g} s")
    deadline = time.monotonic() + seconds
    with suppress(queue.Empty):
        for _ in sites:
            site, failure = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            if failure is None:
                return {}
            failures[site] = failure
    return failures


def _probe_failure(site: str, seconds: float) -> str | None:
    try:
        with urllib.request.urlopen(urllib.request.Request(site, method="HEAD"), timeout=seconds):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP status {error.code}" if error.code in _GATEWAY_FAILURES else None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        # A certificate that only Python distrusts is an answer; TFDS brings its own certificates.
        return None if isinstance(reason, ssl.SSLError) else str(reason)
