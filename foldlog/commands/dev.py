"""`foldlog dev`: Kafka and PostgreSQL in the foreground, or around one command."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import click

from foldlog.commands._addresses import Addresses
from foldlog.embedded import ServerDied, Stack
from foldlog.embedded._binaries import postgres_bin

_KAFKA_PORT: Final = 9092
_POSTGRES_PORT: Final = 5432
_LOOK_SECONDS: Final = 0.2
_CANNOT_RUN, _NOT_FOUND = 126, 127
_SIGNALLED: Final = 128

_PORT = click.IntRange(1, 65_535)


@click.command(
    help=f"""\
Run Kafka and PostgreSQL here until Ctrl-C, on ports {_KAFKA_PORT} and {_POSTGRES_PORT}, and print
the lines to export.

With a COMMAND, run it with these variables set, on free ports, and stop both servers when it ends;
the exit code is the command's:

\b
    foldlog dev -- pytest
"""
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".data"),
    show_default=True,
    metavar="DIR",
    help="The folder that keeps what the servers hold; it is used again.",
)
@click.option("--kafka-port", type=_PORT, help="Kafka's port.")
@click.option("--postgres-port", type=_PORT, help="PostgreSQL's port.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def dev(
    context: click.Context,
    data: Path,
    kafka_port: int | None,
    postgres_port: int | None,
    command: tuple[str, ...],
) -> None:
    """Start both servers and stay."""
    if not command:
        kafka_port, postgres_port = kafka_port or _KAFKA_PORT, postgres_port or _POSTGRES_PORT
    path = os.pathsep.join([str(postgres_bin(None)), os.environ.get("PATH", os.defpath)])
    if command and shutil.which(command[0], path=path) is None:
        _tell(f"Error: expected a command to run; found no {command[0]} on the PATH")
        context.exit(_NOT_FOUND)
    stack = Stack(data, kafka_port=kafka_port, postgres_port=postgres_port, say=_tell)
    with _ended_by_sigterm(), stack:
        if command:
            context.exit(_run(stack, command, path))
        _stay(stack)


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _stay(stack: Stack) -> None:
    """Print the lines to export, then wait for Ctrl-C, SIGTERM or the death of a server."""
    _tell(f"Kafka {stack.kafka_version} and PostgreSQL {stack.postgres_version} on {stack.data}")
    for name, value in _addresses(stack).variables().items():
        click.echo(f"export {name}={shlex.quote(value)}")
    _tell("Ctrl-C stops both.")
    try:
        while True:
            stack.check()
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        _tell("Stopping.")


def _run(stack: Stack, command: Sequence[str], path: str) -> int:
    """Run the command to its end; its exit code, as a shell would give it."""
    variables = {**os.environ, **_addresses(stack).variables(), "PATH": path}
    try:
        process = subprocess.Popen(command, env=variables)  # noqa: S603 - the user's own command
    except OSError as error:
        _tell(f"Error: expected a command to run; {command[0]}: {error.strerror}")
        return _CANNOT_RUN
    code = _wait(process)
    try:
        stack.check()
    except ServerDied as death:
        _tell(f"Error: {death}")
        return code or 1
    return code


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the command; Ctrl-C reaches it by itself, SIGTERM is passed on."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, pass_on)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else _SIGNALLED - code


def _addresses(stack: Stack) -> Addresses:
    return Addresses(stack.kafka, stack.postgres, "single")


@contextmanager
def _ended_by_sigterm() -> Generator[None]:
    """In this block SIGTERM does what Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
