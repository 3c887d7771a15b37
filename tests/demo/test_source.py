import gzip
import zipfile
from datetime import date
from pathlib import Path

import pytest

from foldlog.demo.flights.errors import SourceError
from foldlog.demo.flights.files import shipped_flights
from foldlog.demo.flights.source import COLUMNS, FlightRow, Rejected, read

HEADER = ",".join(COLUMNS)
GOOD = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400"
CANCELLED = "2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,NA,EWR,RDU,NA,416"
NAMES = dict(zip(COLUMNS, GOOD.split(","), strict=True))


def with_(**changes: str) -> str:
    return ",".join((NAMES | changes).values())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "flights.csv"


def read_lines(file: Path, *lines: str) -> list[FlightRow | Rejected]:
    file.write_text("\n".join((HEADER, *lines, "")))
    return list(read(file))


def reason(file: Path, **changes: str) -> str:
    (row,) = read_lines(file, with_(**changes))
    assert isinstance(row, Rejected)
    assert row.line == 2
    return row.reason


def test_the_shipped_file_has_336776_flights_and_refuses_no_row() -> None:
    rows = left = arrived = 0
    for row in read(shipped_flights()):
        assert isinstance(row, FlightRow), row
        rows += 1
        left += row.departure_delay is not None
        arrived += row.arrival is not None
    assert (rows, rows - left, left - arrived) == (336_776, 8_255, 458)


def test_a_row_is_read_with_its_line(file: Path) -> None:
    row, _ = read_lines(file, GOOD, CANCELLED)
    assert row == FlightRow(
        line=2,
        carrier="UA",
        number=1545,
        date=date(2013, 1, 1),
        origin="EWR",
        destination="IAH",
        tail_number="N14228",
        scheduled_departure=5 * 60 + 15,
        scheduled_arrival=8 * 60 + 19,
        departure_delay=2,
        arrival=8 * 60 + 30,
        arrival_delay=11,
        air_time=227,
        distance=1400,
    )


def test_what_is_not_known_is_none(file: Path) -> None:
    (row,) = read_lines(file, CANCELLED)
    assert isinstance(row, FlightRow)
    assert row.tail_number is None
    assert row.departure_delay is None
    assert row.arrival is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dep_delay": "two"}, "whole number in dep_delay; found 'two'"),
        ({"dep_delay": "1_0"}, "whole number in dep_delay"),
        ({"month": "13"}, "month from 1 to 12; found 13"),
        ({"month": "2", "day": "30"}, "expected a date; found 2013-2-30"),
        ({"year": "NA"}, "expected a value in year"),
        ({"sched_dep_time": "NA"}, "expected a value in sched_dep_time"),
        ({"sched_arr_time": "860"}, "clock time hmm in sched_arr_time"),
        ({"arr_time": "2430"}, "arr_time from 0 to 2400"),
        ({"carrier": "ua"}, "code like [A-Z0-9]{2,3} in carrier"),
        ({"origin": "NEWARK"}, "in origin; found 'NEWARK'"),
        ({"dest": "NA"}, "in dest; found 'NA'"),
        ({"tailnum": "N 1"}, "in tailnum"),
        ({"flight": "0"}, "flight from 1 to 9999"),
        ({"distance": "-1"}, "distance from 1"),
        ({"dep_delay": "NA"}, "both dep_time and dep_delay"),
        ({"dep_time": "NA"}, "both dep_time and dep_delay"),
        ({"dep_time": "518"}, "dep_time = sched_dep_time + dep_delay"),
        ({"arr_time": "831"}, "arr_time = sched_arr_time + arr_delay"),
        ({"arr_time": "NA"}, "arr_time beside arr_delay"),
        ({"dep_time": "NA", "dep_delay": "NA"}, "no arrival of a flight that never left"),
    ],
)
def test_a_row_that_breaks_a_rule_is_rejected_with_its_line_and_reason(
    file: Path, changes: dict[str, str], words: str
) -> None:
    assert words in reason(file, **changes)


def test_a_second_row_for_the_same_flight_is_rejected(file: Path) -> None:
    first, second = read_lines(file, GOOD, GOOD)
    assert isinstance(first, FlightRow)
    assert isinstance(second, Rejected)
    assert second.line == 3
    assert "found a second one" in second.reason


def test_a_flight_number_may_leave_two_airports_on_one_day(file: Path) -> None:
    rows = read_lines(file, GOOD, with_(origin="JFK"))
    assert [type(row) for row in rows] == [FlightRow, FlightRow]


def test_a_short_row_is_rejected_and_the_rest_is_read(file: Path) -> None:
    short, good = read_lines(file, "2013,1,1", GOOD)
    assert short == Rejected(2, "expected all columns; found 3 fields")
    assert isinstance(good, FlightRow)


def test_a_blank_line_counts_as_a_line_only(file: Path) -> None:
    (row,) = read_lines(file, "", GOOD)
    assert isinstance(row, FlightRow)
    assert row.line == 3


def test_bytes_that_are_not_utf8_reject_their_row_only(file: Path) -> None:
    bad = with_(carrier="U?").encode().replace(b"?", b"\xff")
    file.write_bytes(b"\n".join((HEADER.encode(), bad, CANCELLED.encode())))
    rejected, good = read(file)
    assert isinstance(rejected, Rejected)
    assert isinstance(good, FlightRow)


def test_an_endless_field_rejects_its_row_only(file: Path) -> None:
    rejected, good = read_lines(file, with_(dest="X" * 200_000), GOOD)
    assert isinstance(rejected, Rejected)
    assert "expected CSV" in rejected.reason
    assert isinstance(good, FlightRow)


def test_columns_are_found_by_name_in_any_order(file: Path) -> None:
    file.write_text(
        f"more,{','.join(reversed(COLUMNS))}\n?,{','.join(reversed(GOOD.split(',')))}\n"
    )
    (row,) = read(file)
    assert isinstance(row, FlightRow)
    assert row.number == 1545


def test_a_file_without_a_column_is_refused_by_name(file: Path) -> None:
    file.write_text(HEADER.replace("tailnum", "tail") + "\n")
    with pytest.raises(SourceError, match="found no tailnum"):
        list(read(file))


def test_a_missing_file_is_refused(file: Path) -> None:
    with pytest.raises(SourceError, match="readable CSV"):
        list(read(file))


def test_gzipped_and_zipped_files_are_read_alike(tmp_path: Path) -> None:
    text = f"{HEADER}\n{GOOD}\n"
    zipped, gzipped = tmp_path / "flights.zip", tmp_path / "flights.csv.gz"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("flights.csv", text)
    with gzip.open(gzipped, "wt") as stream:
        stream.write(text)
    assert list(read(zipped)) == list(read(gzipped))


def test_a_zip_file_of_two_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "")
        archive.writestr("b.csv", "")
    with pytest.raises(SourceError, match="found 2"):
        list(read(tmp_path / "two.zip"))
