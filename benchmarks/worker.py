"""The process that one library has to itself: ``python -m benchmarks.worker WORKLOAD LIBRARY OPTIONS``.

It says one line of JSON when it is ready, then answers each line of input with one more: to ``answer`` with the numbers
that the libraries are compared by, to a number of seconds with what a block of that length measured. Where the workload
has many jobs, the job's name follows; one that raises says so, and the others can go on.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

from benchmarks.job import Job


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is not taken for a reply
    workload, library, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    made = importlib.import_module(f"benchmarks.{workload}").build(library, **options)
    many = not isinstance(made, Job)
    jobs: dict[str, Job] = made if many else {"": made}
    ready = {"version": next(iter(jobs.values())).version}
    replies.write(json.dumps(ready | {"jobs": list(jobs)} if many else ready) + "\n")
    for line in sys.stdin:
        question, _, name = line.strip().partition(" ")
        try:
            reply = _reply(jobs[name], question)
        except Exception as error:
            if not many:
                raise
            reply = {"error": f"{type(error).__name__}: {error}".split("\n")[0].removesuffix(": ")}
        replies.write(json.dumps(reply) + "\n")


def _reply(job: Job, question: str) -> dict[str, Any]:
    if question == "answer":
        return {"answer": job.answer() if job.answer else None}
    return dict(job.measure(float(question)))


if __name__ == "__main__":
    main()
