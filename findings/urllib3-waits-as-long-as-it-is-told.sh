#!/usr/bin/env bash
# One answer of "try again in an hour" stops a worker for an hour, though retries were limited to seconds.
#
# Retry obeys Retry-After on 413, 429 and 503 even where status_forcelist does not name them, and backoff_max does not apply to it. A
# ledger's daily limit answers with hours: the thread sleeps that long inside one call, holding what it holds.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check urllib3==2.8.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import http.server
import threading
import time
import urllib3

ANSWERS = [429, 200]


class Ledger(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(ANSWERS.pop(0))
        self.send_header("Retry-After", "3600")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ledger)
threading.Thread(target=server.serve_forever, daemon=True).start()
slept = []
time.sleep = slept.append
retries = urllib3.Retry(total=2, status_forcelist=[500], backoff_factor=0.1, backoff_max=5)
urllib3.PoolManager(retries=retries).request("GET", f"http://127.0.0.1:{server.server_port}/")
print("urllib3", urllib3.__version__, "- seconds slept inside one request:", slept)
raise SystemExit(slept != [3600])
PYTHON
