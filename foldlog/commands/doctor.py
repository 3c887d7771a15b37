"""`foldlog doctor`: what is wrong with the topics, and what mends it."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eventstore.kafka.doctor import RECORDS, Diagnosis, Finding, PartitionRead, Severity
from foldlog.commands._addresses import addresses, data_option
from foldlog.commands._application import app_option, load
from foldlog.commands._main import is_ours
from foldlog.progress import shown

NOTHING_WORSE_THAN_NOTES: Final = 0
FINDINGS: Final = 1
COULD_NOT_LOOK: Final = 2
COLOURS: Final = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


@click.command()
@click.option(
    "--whole", is_flag=True, help="Read the whole logs, and not only the end of each partition."
)
@click.option(
    "--records",
    type=click.IntRange(min=1),
    default=RECORDS,
    show_default=True,
    help="How many records to read at the end of each partition.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@app_option
@data_option
@click.pass_context
def doctor(
    ctx: click.Context,
    whole: bool,
    records: int,
    as_json: bool,
    app: str | None,
    data: Path | None,
) -> None:
    """Examine the topics of an application, and say what mends each finding.

    It makes, claims and changes nothing, and needs no writer. The exit code is 0 where nothing
    is worse than a note, 1 where something is, and 2 where something could not be looked at.
    """
    try:
        found = _examined(app, data, None if whole else records)
    except Exception as error:
        if not is_ours(error):
            raise
        click.echo(f"Error: {error}", err=True)
        ctx.exit(COULD_NOT_LOOK)
    if as_json:
        click.echo(json.dumps(_facts(found), indent=2))
    else:
        show(found, Console())
    ctx.exit(_exit_code(found))


def _examined(app: str | None, data: Path | None, records: int | None) -> Diagnosis:
    application = load(app)
    with addresses(data, application.given), shown(Console(stderr=True), "records") as tell:

        def listen(done: int, total: int) -> None:
            tell("Reading", done, total)

        return application.doctor().examine(records, listen)


def _exit_code(found: Diagnosis) -> int:
    if found.worst() in {Severity.ERROR, Severity.WARNING}:
        return FINDINGS
    return COULD_NOT_LOOK if found.unchecked else NOTHING_WORSE_THAN_NOTES


def _facts(found: Diagnosis) -> dict[str, object]:
    return {**dataclasses.asdict(found), "exit_code": _exit_code(found)}


def show(found: Diagnosis, console: Console) -> None:
    """Print what was found as people read it: a table, then what mends each finding."""
    if found.findings:
        console.print(_table(found.findings))
        _show_mending(found.findings, console)
    for each in found.unchecked:
        console.print(Text(f"Could not check {each.what}, {each.topic}: {each.why}", "yellow"))
    console.print(Text(_summary(found)))


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=box.SIMPLE)
    for title in ("", "severity", "where", "what", "expected", "found"):
        table.add_column(title, justify="right" if not title else "left", overflow="fold")
    for number, each in enumerate(findings, 1):
        table.add_row(
            str(number),
            Text(each.severity.value, COLOURS[each.severity]),
            Text(_where(each)),
            Text(each.setting or each.subject),
            Text(each.expected),
            Text(each.found),
        )
    return table


def _show_mending(findings: Sequence[Finding], console: Console) -> None:
    """What to do about each; commands stand on lines of their own, to be copied."""
    for number, each in enumerate(findings, 1):
        end = "." if each.command is None else ":"
        console.print(Text(f"{number}. {each.mend[0].upper()}{each.mend[1:]}{end}"))
        if each.command is not None:
            console.print(Text(f"   {each.command}"), soft_wrap=True)
    console.print()


def _where(finding: Finding) -> str:
    partition = "" if finding.partition is None else f"[{finding.partition}]"
    return finding.topic + partition


def _summary(found: Diagnosis) -> str:
    counts = {
        severity: sum(each.severity is severity for each in found.findings) for severity in Severity
    }
    told = ", ".join(_counted(count, severity.value) for severity, count in counts.items())
    return f"{told}. {_read(found.read)}"


def _read(read: Sequence[PartitionRead]) -> str:
    records, events = (sum(values) for values in zip(*_numbers(read), strict=True))
    dead = sum(sum(each.dead.values()) for each in read)
    return f"Read {records:,} records: {events:,} events, {dead:,} dead."


def _numbers(read: Sequence[PartitionRead]) -> list[tuple[int, int]]:
    return [(0, 0), *((each.records, each.events) for each in read)]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
