"""The command line: each command in a module of its own, imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

import flowbot

COMMANDS = {
    "induce": "Find the workflow that solves a task.",
    "run": "Run a workflow on one input or on many.",
    "eval": "Score a workflow on a split of a task's data.",
    "compare": "Compare workflows on the same examples.",
    "check": "Check a workflow: what an example can cost, and what it needs.",
    "show": "Show a workflow in words, as Mermaid, or its prompts.",
    "export": "Export a workflow as a Python program, its prompts, or Mermaid.",
    "import": "Make a workflow from a prompt, chat messages, or a GEPA candidate.",
    "diff": "Say what two workflows differ in.",
    "front": "Show the workflows of a run, score against cost.",
    "ui": "Open a local page of runs and workflows.",
    "watch": "Follow a run in the terminal.",
    "status": "Say how a run stands.",
    "why": "Say which edit of a run brought each part of a workflow.",
    "init": "Make a starter task with data in a new folder.",
    "estimate": "Say what an induction will cost, before paying.",
    "bench": "Compare methods on benchmarks or on your own tasks.",
    "models": "List and fetch local models.",
    "serve": "Serve workflows over HTTP.",
    "meter": "Count and bound what the clients of an endpoint spend.",
    "doctor": "Check Python, keys, endpoint, model files and sandbox.",
}


class Lazy(click.Group):
    """A group whose commands are imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"flowbot.faces.cli.{cmd_name}_command").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from flowbot.names import nearest

            ctx.fail(f"no command '{args[0]}'{nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(flowbot.__version__, "-V", "--version", message="flowbot %(version)s")
def cli() -> None:
    """FlowBot finds the LLM workflow that solves your task, from examples and a metric.

    Begin with: flowbot init my-task
    """


def main() -> None:
    """Run the command line.

    It ends with 0 done, 1 the journal cannot be written, 2 bad input or a file that cannot be read or written, 3 budget
    reached, 4 the endpoint or the sandbox fails, 130 interrupted.
    """
    sys.exit(code_of(sys.argv[1:]))


def code_of(arguments: list[str]) -> int:
    """Run the command line with these arguments and return its exit code; errors are printed, never thrown."""
    try:
        code = cli.main(arguments, prog_name="flowbot", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        again = "; the same command goes on where it was" if arguments[:1] == ["induce"] else ""
        _say(f"stopped{again}")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        return _failed(error, arguments[:1] == ["induce"])


def _failed(error: Exception, resumable: bool) -> int:
    from pydantic import ValidationError

    from flowbot.engine.ports import EndpointError, SandboxError
    from flowbot.errors import InputError
    from flowbot.models.secrets import scrub
    from flowbot.money import BudgetReached
    from flowbot.store.journal import JournalError
    from flowbot.workflow.graph import WorkflowError

    if isinstance(error, SandboxError):
        again = "; the same command goes on where it was" if resumable else ""
        _say(scrub(f"the sandbox failed: {error}{again}"))
        return 4
    known = ((InputError, 2), (EndpointError, 4), (BudgetReached, 3), (JournalError, 1), (WorkflowError, 2))
    for kind, code in known:
        if isinstance(error, kind):
            _say(scrub(str(error)))
            return code
    if isinstance(error, ValidationError):
        _say(scrub("; ".join(_complaint(each) for each in error.errors(include_url=False, include_input=False))))
        return 2
    if isinstance(error, OSError):
        _say(scrub(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)))
        return 2
    raise error


def _complaint(found: Mapping[str, Any]) -> str:
    """Say in words what a value does not fit, with the path of its key."""
    path = ".".join(str(part) for part in found["loc"])
    said = str(found["msg"]).removeprefix("Value error, ")
    return f"{path}: {said}" if path else said


def _say(text: str) -> None:
    click.echo(f"flowbot: {text}", err=True)
