"""Start the stand-in: `PARTOO_STAND_IN_KEY=… python -m local.partoo`.

Prints its base URL as one line when it listens, and ends on SIGTERM or SIGINT.
"""

import argparse
import os
import signal
import sys
import threading
import time

from local.partoo.server import StandInServer
from local.partoo.state import PartooState

# How long a stop may take to be noticed; tests start and stop many of these processes.
_POLL_SECONDS = 0.02
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m local.partoo",
        description="A stand-in for the Partoo API on the loopback address.",
        epilog="PARTOO_STAND_IN_KEY holds the key to accept, out of sight of a process list.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--window-seconds", type=float, default=300.0)
    parser.add_argument("--requests-per-minute", type=int, default=300)
    options = parser.parse_args()
    api_key = os.environ.get("PARTOO_STAND_IN_KEY")
    if not api_key:
        sys.exit("PARTOO_STAND_IN_KEY must hold the API key to accept.")

    # Blocked before any thread starts, so that only the sigwait below ever takes them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    state = PartooState(
        api_key=api_key,
        window_seconds=options.window_seconds,
        requests_per_minute=options.requests_per_minute,
        clock=time.time,
    )
    with StandInServer(options.port, state) as server:
        serving = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,))
        serving.start()
        print(server.url, flush=True)
        signal.sigwait(_STOP_SIGNALS)
        server.shutdown()
        serving.join()


if __name__ == "__main__":
    main()
