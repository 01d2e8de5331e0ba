"""Runs in the environment of others' packages: kent, which keeps what a Sentry client sends, on a free port of this machine.

Says `{"port": …}` once it listens, and ends when standard input does.
"""

import json
import os
import sys
import threading

from kent.app import create_app  # type: ignore[import-not-found]
from werkzeug.serving import make_server  # type: ignore[import-not-found]


def main() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # it writes a line for each request
    server = make_server("127.0.0.1", 0, create_app(), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port}), flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    main()
