"""The methods by name. Each module has its `METHODS`; those of peers import their package when it is needed."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version

from flowbot.bench.arena import Method
from flowbot.errors import InputError
from flowbot.names import nearest

METHODS = {  # in the order in which they run: where each one is, and the package that it needs
    "start": ("flowbot.bench.methods.plain", ""),
    "single": ("flowbot.bench.methods.induced", ""),
    "paper": ("flowbot.bench.methods.induced", ""),
    "race": ("flowbot.bench.methods.induced", ""),
    "vote": ("flowbot.bench.methods.plain", ""),
    "gepa": ("flowbot.bench.methods.gepa", "gepa"),
    "dspy-gepa": ("flowbot.bench.methods.dspy", "dspy"),
    "mipro": ("flowbot.bench.methods.dspy", "dspy"),
    "textgrad": ("flowbot.bench.methods.textgrad", "textgrad"),
}


def open_method(name: str) -> Method:
    """Return a method; raise `InputError` where it is unknown, or its package is not installed."""
    if name not in METHODS:
        raise InputError(f"unknown method '{name}'{nearest(name, METHODS)} (methods: {', '.join(METHODS)})")
    module, package = METHODS[name]
    if package and not installed(package):
        raise InputError(f"the method '{name}' needs the package '{package}'", mend="pip install 'flowbot[bench]'")
    found: Method = importlib.import_module(module).METHODS[name]
    return found


def installed(package: str) -> str:
    """Return the version of an installed package; empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
