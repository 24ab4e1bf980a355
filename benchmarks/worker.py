"""The process that one library has to itself: ``python -m benchmarks.worker WORKLOAD LIBRARY OPTIONS``.

It says one line of JSON when it is ready, then answers each line of input with one more: to ``answer`` with the numbers
that the libraries are compared by, to a number of seconds with what a block of that length measured.
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is not taken for a reply
    workload, library, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    job = importlib.import_module(f"benchmarks.{workload}").build(library, **options)
    replies.write(json.dumps({"version": job.version}) + "\n")
    for line in sys.stdin:
        if line.strip() == "answer":
            reply = {"answer": job.answer() if job.answer else None}
        else:
            reply = job.measure(float(line))
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
