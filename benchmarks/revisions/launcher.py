"""Runs one command and prints its processor time and peak memory as JSON.

A process of its own, and a small one: the peak memory of a child starts at its parent's.
"""

import json
import os
import subprocess
import sys


def main() -> None:
    """Run the command given as arguments."""
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as started:
        _, status, used = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
    measured = {"exit": started.returncode, "seconds": used.ru_utime + used.ru_stime, "mib": used.ru_maxrss / 1024}
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main()
