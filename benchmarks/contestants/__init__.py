"""One module a contestant, each run in a process of its own.

A module has `versions()`, `variants(work)` (the straightforward ways to run the workload; the best one counts) and a
class `Contestant(work, arrays, variant)` with `step(i)` (train on batch i, or predict it; may return before it is
done), `wait()` (until it is done) and `values()` (what all must agree on: the last step's loss, or its predictions).
If `comparable(work)` is there, it says how many of the first round's values must agree.
"""
