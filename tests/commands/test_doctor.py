"""How `foldlog doctor` shows what it found."""

from io import StringIO

from rich.console import Console

from eventstore.kafka.doctor import Diagnosis, Finding, Severity
from foldlog.commands.doctor import show

SETTING = "message.timestamp.after.max.ms"
EXPECTED, TOPIC = "9223372036854775807", "transactions-of-all-the-branches"


def test_eighty_columns_cut_nothing() -> None:
    finding = Finding(
        Severity.ERROR, TOPIC, "timestamps", EXPECTED, "3600000", "it would fail", setting=SETTING
    )
    shown = StringIO()
    show(Diagnosis((finding,), (), ()), Console(file=shown, width=80))
    assert "…" not in shown.getvalue()
    head, _, *rows = shown.getvalue().partition("1. ")[0].splitlines()[1:]
    begins = [head.index(title) for title in ("where", "what", "expected", "found")]
    cells = [
        "".join(row[begin:end].strip() for row in rows)
        for begin, end in zip(begins, [*begins[1:], 80], strict=True)
    ]
    assert cells == [TOPIC, SETTING, EXPECTED, "3600000"]
