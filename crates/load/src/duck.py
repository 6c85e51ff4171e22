"""DuckDB as a peer: reads a JSON object a line, answers one, until its input ends."""

import decimal
import glob
import json
import math
import os
import re
import sys
import time

import duckdb


def load_tpch(base):
    import duckdb_extension_tpch

    folder = os.path.dirname(duckdb_extension_tpch.__file__)
    [file] = glob.glob(folder + "/**/tpch.duckdb_extension", recursive=True)
    base.execute("LOAD '" + file + "'")


def plain(value):
    if isinstance(value, decimal.Decimal):
        return float(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def moment(text):
    """A moment without its zone, which is UTC on both sides; any other text as it is."""
    if re.match(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", text):
        return text[:19].replace("T", " ")
    return text.strip()


def same(one, other):
    """Whether two values are one but for how they are written."""
    if isinstance(one, str) and isinstance(other, str):
        return moment(one) == moment(other)
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=0.006)
    return one == other


def difference(ours, theirs):
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, not {len(theirs)}"
    for number, (one, other) in enumerate(zip(ours, theirs)):
        if len(one) != len(other) or not all(map(same, one, other)):
            return f"row {number + 1} is {one}, not {other}"
    return ""


def published(base, number):
    """The answer that TPC publishes, values as text between bars."""
    [(text,)] = base.execute(
        "SELECT answer FROM tpch_answers() WHERE scale_factor = 1 AND query_nr = ?", [number]
    ).fetchall()
    return [line.split("|") for line in text.strip().split("\n")[1:]]


def is_published(ours, rows):
    def one(value, text):
        if isinstance(value, (int, float)):
            return math.isclose(value, float(text), rel_tol=1e-4, abs_tol=0.006)
        return same("" if value is None else value, "" if text == "NULL" else text)

    if len(ours) != len(rows):
        return False
    return all(len(a) == len(b) and all(map(one, a, b)) for a, b in zip(ours, rows))


def peak_mb():
    with open("/proc/self/status") as status:
        [line] = [it for it in status if it.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6


def cpu_seconds():
    times = os.times()
    return times.user + times.system


def main():
    base = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    base.execute("SET TimeZone = 'UTC'")
    base.execute("SET enable_progress_bar = false")
    for line in sys.stdin:
        asked = json.loads(line)
        if "config" in asked:
            base.execute(asked["config"])
            answer = {}
        elif "tpch" in asked:
            load_tpch(base)
            queries = base.execute("SELECT query FROM tpch_queries() ORDER BY query_nr").fetchall()
            answer = {"queries": [it[0] for it in queries]}
        elif "sql" in asked:
            cpu, began = cpu_seconds(), time.perf_counter()
            rows = base.execute(asked["sql"]).fetchall()
            answer = {"seconds": time.perf_counter() - began, "cpu": cpu_seconds() - cpu}
            rows = [list(map(plain, row)) for row in rows]
            answer["rows"] = rows[:1]
            if "ours" in asked:
                answer["difference"] = difference(asked["ours"], rows)
            if "published" in asked:
                answer["is_published"] = is_published(asked["ours"], published(base, asked["published"]))
        else:
            answer = {}
        answer["peak_mb"] = peak_mb()
        print(json.dumps(answer), flush=True)


main()
