"""Read the tables that come with images: CSV, or a spreadsheet through pandas."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from common.data.datalist_checks import suggestion
from common.data.errors import DatalistError
from common.utils.optional import optional_import

SPREADSHEETS = {".xlsx", ".xls"}
DELIMITERS = ",;\t"

Row = dict[str, str]


def read_table(path: str | Path, header_row: int = 1) -> list[Row]:
    """Return the rows of a table as texts, by column name.

    Args:
        path: .csv, .tsv (comma, semicolon or tab, whichever the header has most of), .xlsx or .xls (first sheet).
        header_row: the row with the column names, counted from 1; rows above it are ignored, as are empty rows.

    Raises:
        DatalistError: if the file is missing, unreadable, empty, or repeats a column name.
        ImportError: if a spreadsheet needs a package that is not installed.
    """
    file = Path(path)
    if not file.is_file():
        raise DatalistError(f"table '{file}' does not exist; name an existing .csv or .xlsx file")
    cells = _spreadsheet(file) if file.suffix.lower() in SPREADSHEETS else _delimited(file, header_row)
    if len(cells) <= header_row:
        raise DatalistError(
            f"table '{file}' has {len(cells)} rows, expected column names in row {header_row} and data below"
        )
    names = [name.strip() for name in cells[header_row - 1]]
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise DatalistError(f"table '{file}' has several columns called {', '.join(repeated)}; rename all but one")
    rows = [dict(zip(names, map(str.strip, row), strict=False)) for row in cells[header_row:] if any(row)]
    return [{name: row.get(name, "") for name in names if name} for row in rows]


def require_columns(rows: Sequence[Row], columns: Sequence[str], table: str | Path) -> None:
    """Refuse column names that the table does not have, with the closest name it has.

    Raises:
        DatalistError: names the first unknown column.
    """
    known = list(rows[0])
    for column in columns:
        if column not in known:
            raise DatalistError(f"table '{table}' has no column '{column}'{suggestion(column, known)}")


def _delimited(file: Path, header_row: int) -> list[list[str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatalistError(f"table '{file}' is not UTF-8 text ({error.reason}); save it as CSV UTF-8") from None
    lines = text.splitlines()
    header = lines[header_row - 1] if len(lines) >= header_row else ""
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=header.count)))


def _spreadsheet(file: Path) -> list[list[str]]:
    pandas = optional_import("pandas", "data")
    try:
        frame = pandas.read_excel(file, header=None, dtype=str, keep_default_na=False)
    except ImportError:  # a reader that is not installed, such as xlrd for .xls; pandas says which
        raise
    except Exception as error:  # zip, XML and BIFF errors differ by engine
        raise DatalistError(f"spreadsheet '{file}' cannot be read ({error}); save it again, or as CSV") from None
    return [list(map(str, row)) for row in frame.to_numpy().tolist()]
