"""What tinytensor costs, measured beside its peers: ``python -m benchmarks``.

Each file here that is named in ``WORKLOADS`` is one measurement. It has

* ``cases(quick)``: what is compared, between which libraries, how often;
* ``build(library, **options)``: called in a process of its own, makes a :class:`~benchmarks.job.Job`: an answer, by
  which the libraries are compared before anything is timed, and a function that measures (or many jobs, by name);
* ``claims(result)``: the sentences that the numbers support, each with its target;
* perhaps ``table(result)``: its part of RESULTS.md, where that is no table of cases and libraries.
"""

WORKLOADS = (
    "moons", "digits_mlp", "mnist", "wide", "digits", "microgpt", "gpt", "operation", "chain", "logistic", "lstm",
    "elementwise", "compiling", "memory", "batch", "width", "threads", "imports", "anomaly", "functions", "classifier",
)  # fmt: skip
