"""Writes what each case must come to: `out.jsonl`, as DuckDB says it.

    cargo xtask peers && target/peers/bin/python crates/process/cases/expect.py [--check] [CASE ...]

For each case its records (`in.jsonl`) become tables of the declared types in DuckDB, its lookups too,
and `expected.sql` makes a view for each table of the project that is compared; other views are steps
on the way. Rows are written in the order of their text, so that the same SQL always writes the same
file. `--check` writes nothing and fails where a file would change.

What a stream's records become: `NAME__all` has each record that decodes, with its number `_number`
(from 1, over all streams) and its batch `_batch` (from 1); `NAME` those of it that pass the declared
checks, NULL failing; `NAME__broken` the records that do not decode.

Known beside DuckDB's own functions are `tumble(ts, size)`, the start of a window of fixed size counted
from 1970, and `hops(ts, slide, size)`, the list of the starts of all windows in which a moment lies.

A case without `expected.sql` was written by hand; its `mainstem.toml` says why after `# By hand:`.
"""

import datetime
import decimal
import json
import pathlib
import sys
import tomllib

import duckdb

FOLDER = pathlib.Path(__file__).parent

# Room for every digit of a decimal(38,s).
decimal.getcontext().prec = 80

TYPES = {
    "int": "BIGINT",
    "float": "DOUBLE",
    "text": "VARCHAR",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "json": "JSON",
}

MACROS = """
SET TimeZone = 'UTC';
CREATE MACRO tumble(ts, size) AS time_bucket(CAST(size AS INTERVAL), ts, TIMESTAMP '1970-01-01');
CREATE MACRO hops(ts, slide, size) AS list_filter(
    generate_series(
        tumble(ts - CAST(size AS INTERVAL), slide), tumble(ts, slide), CAST(slide AS INTERVAL)),
    lambda start: start + CAST(size AS INTERVAL) > ts);
"""


class Broken(Exception):
    """A record that cannot become a row."""


def column_type(declared):
    """Returns the type of DuckDB, and whether it may be NULL."""
    words = declared.removesuffix("not null").strip()
    is_nullable = words == declared.strip()
    return (words.upper() if words.startswith("decimal") else TYPES[words]), is_nullable


def exactly(kind, text):
    """Returns a number if it fits the type without rounding."""
    number = decimal.Decimal(str(text))
    scale = 0
    if kind.startswith("DECIMAL"):
        precision, scale = (int(it) for it in kind[8:-1].split(","))
        if 10 ** (precision - scale) <= abs(number):
            raise Broken(f"{text} is too large for {kind}")
    rounded = round(number, scale)
    if rounded != number:
        raise Broken(f"{text} would be rounded")
    return int(number) if kind == "BIGINT" else rounded


def moment(text):
    """Returns a time in UTC, without its zone."""
    time = datetime.datetime.fromisoformat(text)
    return time.astimezone(datetime.UTC).replace(tzinfo=None) if time.tzinfo else time


def converted(kind, value):
    """Returns a value of JSON as DuckDB takes it for a column."""
    if value is None or (value == "" and kind != "VARCHAR"):
        return None
    try:
        if kind == "JSON":
            return json.dumps(value, ensure_ascii=False, default=float)
        if kind == "VARCHAR":
            return {str: value}[type(value)]
        if kind == "BOOLEAN":
            return {True: True, False: False, "true": True, "false": False}[value]
        if kind == "TIMESTAMP":
            return moment(value)
        if kind == "DATE":
            return datetime.date.fromisoformat(value)
        if kind == "DOUBLE":
            return float(value)
        return exactly(kind, value)
    except (ValueError, KeyError, TypeError, decimal.InvalidOperation) as error:
        raise Broken(str(error)) from error


def as_row(columns, record):
    """Returns the values of a record in the order of the columns."""
    row = []
    for name, declared in columns.items():
        kind, is_nullable = column_type(declared)
        value = converted(kind, record.get(name))
        if value is None and not is_nullable:
            raise Broken(f"{name} is missing")
        row.append(value)
    return row


def read_records(case):
    """Returns the records of a case: batch, number, stream, record."""
    batch, number, records = 1, 0, []
    for line in (case / "in.jsonl").read_text().split("\n"):
        if not line:
            batch += 1
            continue
        number += 1
        # A stream may be named twice a line by mistake: only the last would count.
        [(stream, record)] = json.loads(line, parse_float=decimal.Decimal).items()
        records.append((batch, number, stream, record))
    return records


def load_stream(session, name, declared, records):
    """Makes the tables of a stream."""
    columns = declared["columns"]
    types = ", ".join(f'"{it}" {column_type(columns[it])[0]}' for it in columns)
    session.execute(f'CREATE TABLE "{name}__all" (_batch BIGINT, _number BIGINT, {types})')
    session.execute(f'CREATE TABLE "{name}__broken" (_batch BIGINT, _number BIGINT, record VARCHAR)')
    for batch, number, stream, record in records:
        if stream != name:
            continue
        try:
            row = [batch, number, *as_row(columns, record)]
            marks = ", ".join("?" * len(row))
            session.execute(f'INSERT INTO "{name}__all" VALUES ({marks})', row)
        except Broken:
            row = [batch, number, json.dumps(record, ensure_ascii=False, default=str)]
            session.execute(f'INSERT INTO "{name}__broken" VALUES (?, ?, ?)', row)
    checks = declared.get("checks", {}).values()
    passes = " AND ".join(f"(({it}) IS TRUE)" for it in checks) or "true"
    session.execute(f'CREATE VIEW "{name}" AS SELECT * FROM "{name}__all" WHERE {passes}')


def load(case, project):
    """Returns a session with everything the case gives."""
    session = duckdb.connect()
    session.execute(MACROS)
    records = read_records(case)
    for name, declared in project.get("stream", {}).items():
        load_stream(session, name, declared, records)
    for name, declared in project.get("lookup", {}).items():
        path = case / declared["from"]
        is_csv = path.suffix in (".csv", ".tsv")
        rows = f"read_csv('{path}', header = true)" if is_csv else f"read_ndjson('{path}')"
        session.execute(f'CREATE TABLE "{name}" AS SELECT * FROM {rows}')
    return session


def text_of(value):
    """Writes a value as Mainstem does."""
    if isinstance(value, datetime.datetime):
        text = value.isoformat()
        return json.dumps((text.rstrip("0") if "." in text else text) + "Z")
    if isinstance(value, datetime.date):
        return json.dumps(value.isoformat())
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, float) and value != value:
        return "null"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(text_of(it) for it in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{text_of(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def tables_of(case, project):
    """Returns the names of what may be compared."""
    tables = [it.stem for it in case.glob("*.sql") if it.name != "expected.sql"]
    tables += list(project.get("table", {}))
    streams = list(project.get("stream", {}))
    return sorted(tables) + [f"{it}__dead" for it in sorted(streams + tables)]


def expected(case):
    """Returns what `out.jsonl` must say, or nothing if it is written by hand."""
    toml = (case / "mainstem.toml").read_text()
    if not (case / "expected.sql").is_file():
        if "# By hand:" not in toml:
            raise SystemExit(f"{case.name}: no expected.sql; say `# By hand: why` in mainstem.toml")
        return None
    project = tomllib.loads(toml)
    session = load(case, project)
    session.execute((case / "expected.sql").read_text())
    made = "SELECT view_name FROM duckdb_views() WHERE NOT internal"
    views = {name for (name,) in session.execute(made).fetchall()}
    lines = []
    for table in tables_of(case, project):
        if table not in views:
            continue
        answer = session.execute(f'SELECT * FROM "{table}"')
        columns = [it[0] for it in answer.description]
        rows = []
        for row in answer.fetchall():
            pairs = zip(columns, row)
            rows.append("{" + ",".join(f"{json.dumps(k)}:{text_of(v)}" for k, v in pairs) + "}")
        lines += [f"{{{json.dumps(table)}:{row}}}\n" for row in sorted(rows) or ["null"]]
    if not lines:
        raise SystemExit(f"{case.name}: expected.sql makes no view named like a table of the case")
    return "".join(lines)


def main():
    """See the module."""
    is_check = "--check" in sys.argv
    wanted = [it for it in sys.argv[1:] if not it.startswith("--")]
    differing, by_hand, counted = [], [], 0
    for case in sorted(it for it in FOLDER.iterdir() if it.is_dir()):
        if wanted and case.name not in wanted:
            continue
        try:
            text = expected(case)
        except (duckdb.Error, ValueError, KeyError) as error:
            raise SystemExit(f"{case.name}: {error}") from error
        counted += 1
        if text is None:
            by_hand.append(case.name)
            continue
        path = case / "out.jsonl"
        if not path.is_file() or path.read_text() != text:
            differing.append(case.name)
            if not is_check:
                path.write_text(text)
    print(f"{counted} cases; by hand: {', '.join(by_hand) or 'none'}")
    if differing:
        print(f"{'differ' if is_check else 'written'}: {', '.join(differing)}")
    if is_check and differing:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
