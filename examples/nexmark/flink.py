"""Asks Apache Flink some of the questions over the same files, and says what that costs.

    python3 -m venv flink && flink/bin/pip install 'apache-flink==2.3.*'      # needs Java 11 or 17
    python3 examples/nexmark/generate.py events --events 5000000 --rate 10000
    flink/bin/python examples/nexmark/flink.py events [q1 q2 q5 q7 q8]

Each question is a process of its own with one task slot: JSON files in, a sink that forgets out, a
checkpoint each five seconds. Printed are the CPU-seconds (user and system) of the whole process tree:
of the job, and of what went before it, which is mostly the start of the virtual machine.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

SOURCES = {
    "person": "id BIGINT, name STRING, email_address STRING, credit_card STRING, city STRING, state STRING",
    "auction": "id BIGINT, item_name STRING, description STRING, initial_bid BIGINT, reserve BIGINT, "
    "expires TIMESTAMP_LTZ(3), seller BIGINT, category BIGINT",
    "bid": "auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING",
}

# As the benchmark says them for Flink: the columns of the answer, and the question.
QUERIES = {
    "q0": (
        "auction BIGINT, bidder BIGINT, price BIGINT, date_time TIMESTAMP_LTZ(3), extra STRING",
        "SELECT auction, bidder, price, date_time, extra FROM bid",
    ),
    "q1": (
        "auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), date_time TIMESTAMP_LTZ(3), extra STRING",
        "SELECT auction, bidder, 0.908 * price, date_time, extra FROM bid",
    ),
    "q2": ("auction BIGINT, price BIGINT", "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0"),
    "q5": (
        "auction BIGINT, num BIGINT",
        """
        SELECT b.auction, b.num
        FROM (SELECT auction, count(*) AS num, window_start, window_end
              FROM TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
              GROUP BY auction, window_start, window_end) AS b
        JOIN (SELECT max(num) AS most, window_start, window_end
              FROM (SELECT count(*) AS num, window_start, window_end
                    FROM TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
                    GROUP BY auction, window_start, window_end)
              GROUP BY window_start, window_end) AS m
        ON b.window_start = m.window_start AND b.window_end = m.window_end AND b.num >= m.most""",
    ),
    "q7": (
        "auction BIGINT, price BIGINT, bidder BIGINT, date_time TIMESTAMP_LTZ(3), extra STRING",
        """
        SELECT b.auction, b.price, b.bidder, b.date_time, b.extra
        FROM bid AS b
        JOIN (SELECT max(price) AS price, window_end AS date_time
              FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND))
              GROUP BY window_start, window_end) AS m
        ON b.price = m.price
        WHERE b.date_time BETWEEN m.date_time - INTERVAL '10' SECOND AND m.date_time""",
    ),
    "q8": (
        "id BIGINT, name STRING, start_time TIMESTAMP(3)",
        """
        SELECT p.id, p.name, p.window_start
        FROM (SELECT id, name, window_start, window_end
              FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(date_time), INTERVAL '10' SECOND))
              GROUP BY id, name, window_start, window_end) AS p
        JOIN (SELECT seller, window_start, window_end
              FROM TABLE(TUMBLE(TABLE auction, DESCRIPTOR(date_time), INTERVAL '10' SECOND))
              GROUP BY seller, window_start, window_end) AS a
        ON p.id = a.seller AND p.window_start = a.window_start AND p.window_end = a.window_end""",
    ),
}

# One highest bid of each window, which Flink finds without a join.
QUERIES["q7_first"] = (
    QUERIES["q7"][0],
    """
    SELECT auction, price, bidder, date_time, extra
    FROM (SELECT *, row_number() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS place
          FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(date_time), INTERVAL '10' SECOND)))
    WHERE place <= 1""",
)


def cpu_seconds():
    """Returns the CPU time of this process and all below it, those that have ended included."""
    parents, times = {}, {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
        times[int(entry.name)] = sum(int(it) for it in fields[11:15])
    total, level = 0, {os.getpid()}
    while level:
        total += sum(times.get(it, 0) for it in level)
        level = {child for child, parent in parents.items() if parent in level}
    return total / os.sysconf("SC_CLK_TCK")


def ask(query, events, checkpoints):
    """Asks one question, and returns what it cost."""
    from pyflink.common import Configuration
    from pyflink.table import EnvironmentSettings, TableEnvironment

    settings = Configuration()
    for name, value in {
        "parallelism.default": "1",
        "taskmanager.numberOfTaskSlots": "1",
        "execution.checkpointing.interval": "5 s",
        "execution.checkpointing.dir": checkpoints.as_uri(),
        "pipeline.object-reuse": "true",
        "table.local-time-zone": "UTC",
    }.items():
        settings.set_string(name, value)
    table = TableEnvironment.create(
        EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(settings).build()
    )
    for stream, columns in SOURCES.items():
        path = (events / f"{stream}.ndjson").resolve().as_uri()
        table.execute_sql(
            f"CREATE TABLE {stream} ({columns}, date_time TIMESTAMP_LTZ(3), extra STRING, "
            "WATERMARK FOR date_time AS date_time) "
            f"WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json', "
            "'json.timestamp-format.standard' = 'ISO-8601')"
        )
    columns, select = QUERIES[query]
    table.execute_sql(f"CREATE TABLE answer ({columns}) WITH ('connector' = 'blackhole')")
    before, began = cpu_seconds(), time.monotonic()
    table.execute_sql(f"INSERT INTO answer {select}").wait()
    return {"job": cpu_seconds() - before, "seconds": time.monotonic() - began, "before": before}


def main():
    """See the module."""
    if sys.argv[1] == "--ask":
        query, events, checkpoints = sys.argv[2:]
        print("\n" + json.dumps(ask(query, pathlib.Path(events), pathlib.Path(checkpoints))))
        return
    events, queries = sys.argv[1], sys.argv[2:] or ["q1", "q2", "q5", "q7", "q8"]
    print(f"{'':12}{'CPU-s of the job':>18}{'CPU-s before it':>18}{'seconds':>10}")
    for query in queries:
        with tempfile.TemporaryDirectory() as checkpoints:
            line = [sys.executable, __file__, "--ask", query, events, checkpoints]
            output = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
        cost = json.loads(output.strip().splitlines()[-1])
        print(f"{query:12}{cost['job']:18.1f}{cost['before']:18.1f}{cost['seconds']:10.1f}", flush=True)


if __name__ == "__main__":
    main()
