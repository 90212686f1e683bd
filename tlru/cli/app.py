"""The command `tlru`: which commands there are, and how each of them ends.

Decides the table of commands and the exit status of what goes wrong in any of them. Imports no
command before it is asked for, so that `tlru --help` and `tlru get` start fast. Whatever happens,
the user sees lines that say what, and the shell one of the statuses of `exits.py`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import click

from tlru._version import __version__
from tlru.cli import say
from tlru.cli.commands import SETTINGS, Group, show_help_if_alone
from tlru.cli.exits import Exit, exit_for
from tlru.config.mistakes import ConfigError
from tlru.errors import TlruError

# Heading of the help -> command -> its sentence there. The module of a command has its name.
COMMANDS: dict[str, dict[str, str]] = {
    "Run a node": {
        "serve": "Run a node until it is told to stop.",
        "demo": "Run a cluster to play with, and say what to try.",
        "config": "Check a configuration, or show what a node would run with.",
        "certs": "Make certificates for nodes, and look at them.",
        "token": "Make tokens for clients, and look at them.",
    },
    "Use a cache": {
        "get": "Print the value that is kept under a key.",
        "set": "Keep a value under a key.",
        "delete": "Delete keys.",
        "incr": "Add to a number, and print the result.",
        "touch": "Give a key a new time to live.",
        "scan": "List keys, in order.",
        "watch": "Print changes as they come.",
    },
    "Run a cluster": {
        "node": "List, add, change and remove nodes, and tell them what to do.",
        "settings": "Show or change what all nodes go by.",
        "upgrade": "Show which release each node runs, and use what it brings.",
    },
    "Look at it": {
        "status": "Show how the servers are doing.",
        "doctor": "Say what is wrong with a cluster, and what to do.",
        "top": "Show a cluster live.",
        "bench": "Measure how fast a node answers from here.",
    },
}

_SENTENCES = {name: said for group in COMMANDS.values() for name, said in group.items()}


def is_compiled() -> bool:
    """Whether what an operation passes is machine code (docs/compiled.md)."""
    found = importlib.util.find_spec("peers.clocks")
    return found is not None and not str(found.origin).endswith(".py")


def _tell_release(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"tlru {__version__}{' (compiled)' if is_compiled() else ''}")
        ctx.exit()


@dataclass(slots=True)
class Session:
    """What the commands of one run share: how they were asked to speak."""

    json: bool = False


class Commands(Group):
    """The commands of the table, imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_SENTENCES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _SENTENCES:
            return None
        module = importlib.import_module(f"tlru.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()), col_max=12)


@click.group(cls=Commands, context_settings=SETTINGS, invoke_without_command=True)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_release,
    help="Show the version and exit.",
)
@click.pass_context
def app(ctx: click.Context) -> None:
    """A cache you can watch: run a node, use it, look at it.

    Every command has a --help of its own, with examples. Values go to stdout and words to stderr,
    and most commands speak JSON when told --json.
    """
    show_help_if_alone(ctx)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line, this process's unless given; gives the exit status."""
    if os.environ.get("_TLRU_COMPLETE"):
        app.main(prog_name="tlru")  # a shell asks for completions; click answers and exits
    say.mend_streams()
    session = Session()
    try:
        return _run(list(sys.argv[1:] if argv is None else argv), session)
    except click.ClickException as problem:
        return _usage(problem, session)
    except TlruError as problem:
        return _failed(problem, session)
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        say.abandon_stdout()
        return Exit.CLOSED_PIPE
    except OSError as problem:  # what a client meets comes as TlruError; this is a full disk
        say.abandon_stdout()
        say.word(f"cannot go on: {problem.strerror or problem}")
        return Exit.SYSTEM
    except Exception:
        traceback.print_exc()
        say.word(f"this is a defect of tlru {__version__}; please report it with the lines above")
        return Exit.DEFECT
    finally:
        say.let_go_of_streams()


def _run(argv: list[str], session: Session) -> int:
    # Not click's own main(): it ends a closed pipe with 1, which means ABSENT here.
    try:
        with app.make_context("tlru", argv, obj=session) as ctx:
            status = app.invoke(ctx)
            sys.stdout.flush()  # a pipe that is closed must show here, not at the exit
            return int(status or Exit.OK)
    except click.exceptions.Exit as done:
        sys.stdout.flush()
        return done.exit_code


def _usage(problem: click.ClickException, session: Session) -> Exit:
    ctx = getattr(problem, "ctx", None)
    path = ctx.command_path if ctx is not None else "tlru"
    message = _no_option(problem) if isinstance(problem, click.NoSuchOption) else problem.message
    if isinstance(problem, click.BadParameter):
        message = problem.format_message()  # it names the flag
    if session.json:
        say.json_error("usage", message)
    else:
        shown = message[:1].lower() + message[1:]
        print(f"{path}: {say.for_terminal(shown)}", file=sys.stderr)
        print(f"Try '{path} --help'.", file=sys.stderr)
    return Exit.USAGE


def _no_option(problem: click.NoSuchOption) -> str:
    told = f"there is no option {problem.option_name}"
    if problem.ctx is not None and isinstance(problem.ctx.command, click.Group):
        return f"{told} here; the options of a command stand after its name"
    alike = sorted(one for one in problem.possibilities or () if one.startswith("--"))
    if alike:
        return f"{told}; did you mean {' or '.join(alike)}?"
    return f"{told}; if it is a key or a value, put -- before it"


def _failed(problem: TlruError, session: Session) -> Exit:
    if session.json:
        if isinstance(problem, ConfigError):
            problem.facts["mistakes"] = [mistake.as_object() for mistake in problem.mistakes]
        facts = {name: fact for name, fact in problem.to_wire().items() if name != "status"}
        say.json_error(facts.pop("code"), facts.pop("message"), **facts)
    else:
        say.word(str(problem))
    return exit_for(problem)
