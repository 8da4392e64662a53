"""
What a wait costs: ``python -m tests.bench`` prints one table of ratios. What a task pays for a call: ``python -m
tests.bench.tasks`` does.

Each row is one real triggerer process, or real workers, that wait over TLS for instances of an emulator in a
process of its own. The limit is a trigger that does nothing but ask, unsigned, over one kept connection.
"""
