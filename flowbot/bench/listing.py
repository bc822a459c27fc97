"""What there is to benchmark: the catalogue and the methods, as tables or as JSON."""

from __future__ import annotations

import json
import sys

from flowbot import __version__
from flowbot.bench.catalogue import BENCHMARKS
from flowbot.bench.methods import METHODS, installed
from flowbot.faces.tables import Table, show


def print_catalogue(as_json: bool) -> None:
    """Print the benchmarks and the methods."""
    if as_json:
        for each in BENCHMARKS.values():
            plain = {
                "name": each.name,
                "title": each.title,
                "metric": each.task.metric.name,
                "sizes": dict(each.sizes),
                "model": each.model,
                "source": each.source,
                "licence": each.licence,
            }
            sys.stdout.write(json.dumps(plain, ensure_ascii=False) + "\n")
        return
    rows = [
        (each.name, each.task.metric.name, *(str(each.sizes.get(split, "")) for split in ("train", "val", "test")))
        for each in BENCHMARKS.values()
    ]
    show(Table("benchmarks", ("name", "metric", "train", "val", "test"), tuple(rows), left=2))
    methods: list[tuple[str, ...]] = []
    for name, (_, package) in METHODS.items():
        version = installed(package) if package else __version__
        methods.append((name, package or "flowbot", version or "not installed: pip install 'flowbot[bench]'"))
    show(Table("methods", ("name", "package", "version"), tuple(methods), left=3))
