"""Run the fake Partoo server: `FAKE_PARTOO_KEY=… python -m local.partoo`.

Prints its base URL as one line when it listens, and ends on SIGTERM or SIGINT.
"""

import argparse
import os
import signal
import sys
import threading
import time

from local.partoo.server import FakePartooServer
from local.partoo.state import PartooState

# Short, because tests start and stop many of these processes.
_POLL_SECONDS = 0.02
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m local.partoo",
        description="A fake Partoo server on the loopback address.",
        epilog="FAKE_PARTOO_KEY holds the API key, because a process list shows arguments.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--window-seconds", type=float, default=300.0)
    parser.add_argument("--requests-per-minute", type=int, default=300)
    options = parser.parse_args()
    api_key = os.environ.get("FAKE_PARTOO_KEY")
    if not api_key:
        sys.exit("FAKE_PARTOO_KEY must hold the API key to accept.")

    # Blocked before any thread starts, so that only the sigwait below receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    state = PartooState(
        api_key=api_key,
        window_seconds=options.window_seconds,
        requests_per_minute=options.requests_per_minute,
        clock=time.time,
    )
    with FakePartooServer(options.port, state) as server:
        serving = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,))
        serving.start()
        print(server.url, flush=True)
        signal.sigwait(_STOP_SIGNALS)
        server.shutdown()
        serving.join()


if __name__ == "__main__":
    main()
