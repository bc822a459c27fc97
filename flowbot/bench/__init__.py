"""Benchmarks: the paper's ten tasks, methods to compare on them or on a task of one's own, and what came of it."""
