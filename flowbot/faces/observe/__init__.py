"""Observe: where a search and its runs are seen: spans, metrics, the log, MLflow."""
