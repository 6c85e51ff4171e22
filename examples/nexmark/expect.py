"""Writes what each table of this project must come to: `expected.json`, as DuckDB says it.

    cargo xtask peers && target/peers/bin/python examples/nexmark/expect.py [--check] [--rows TABLE FOLDER]

DuckDB reads the files that `generate.py FOLDER` writes and answers the questions as the benchmark says
them, which is not always as the tables of this project do. A line of the file is one table: its
columns, how many rows it has, and the rows themselves or, where they are many, a sum over them in
which their order does not count. `--check` writes nothing and fails where the file would change.
`--rows` prints the rows of one table, to be compared when its sum is wrong.
"""

import datetime
import json
import pathlib
import subprocess
import sys
import tempfile

import duckdb

FOLDER = pathlib.Path(__file__).parent

# Of so many rows the rows are written; of more their sum.
ROWS_MAX = 100

STREAMS = {
    "person": "id BIGINT, name VARCHAR, email_address VARCHAR, credit_card VARCHAR, city VARCHAR, state VARCHAR, "
    "date_time TIMESTAMP, extra VARCHAR",
    "auction": "id BIGINT, item_name VARCHAR, description VARCHAR, initial_bid BIGINT, reserve BIGINT, date_time TIMESTAMP, "
    "expires TIMESTAMP, seller BIGINT, category BIGINT, extra VARCHAR",
    "bid": "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, date_time TIMESTAMP, extra VARCHAR",
}

# Windows are counted from 1970.
MACROS = """
CREATE MACRO tumble(ts, size) AS time_bucket(CAST(size AS INTERVAL), ts, TIMESTAMP '1970-01-01');
CREATE MACRO hops(ts, slide, size) AS list_filter(
    generate_series(tumble(ts - CAST(size AS INTERVAL), slide), tumble(ts, slide), CAST(slide AS INTERVAL)),
    lambda start: start + CAST(size AS INTERVAL) > ts);
"""

# Bids that were made while their auction was open.
VALID = "auction a JOIN bid b ON a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires"

BY_PRICE = """
    count(*) AS total_bids,
    count(*) FILTER (price < 10000) AS rank1_bids,
    count(*) FILTER (price >= 10000 AND price < 1000000) AS rank2_bids,
    count(*) FILTER (price >= 1000000) AS rank3_bids"""
BY_PEOPLE = """
    count(DISTINCT bidder) AS total_bidders,
    count(DISTINCT bidder) FILTER (price < 10000) AS rank1_bidders,
    count(DISTINCT bidder) FILTER (price >= 10000 AND price < 1000000) AS rank2_bidders,
    count(DISTINCT bidder) FILTER (price >= 1000000) AS rank3_bidders,
    count(DISTINCT auction) AS total_auctions,
    count(DISTINCT auction) FILTER (price < 10000) AS rank1_auctions,
    count(DISTINCT auction) FILTER (price >= 10000 AND price < 1000000) AS rank2_auctions,
    count(DISTINCT auction) FILTER (price >= 1000000) AS rank3_auctions"""

QUERIES = {
    "q0": "SELECT auction, bidder, price, date_time, extra FROM bid",
    "q1": "SELECT auction, bidder, 0.908 * price AS price, date_time, extra FROM bid",
    "q2": "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    "q3": """
        SELECT p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id
        WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')""",
    "q4": f"""
        SELECT category, avg(final) AS average
        FROM (SELECT a.id, a.category, max(b.price) AS final FROM {VALID} GROUP BY a.id, a.category) GROUP BY category""",
    "bids_by_window": """
        SELECT start, auction, count(*) AS num
        FROM (SELECT unnest(hops(date_time, '2 seconds', '10 seconds')) AS start, auction FROM bid) GROUP BY start, auction""",
    "q5": """
        SELECT b.start, b.auction, b.num
        FROM bids_by_window b JOIN (SELECT start, max(num) AS most FROM bids_by_window GROUP BY start) m
        ON b.start = m.start AND m.most <= b.num""",
    "q6": f"""
        SELECT seller, auction, date_time,
               avg(price) OVER (PARTITION BY seller ORDER BY date_time, auction ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS average
        FROM (SELECT a.id AS auction, a.seller, max(b.price) AS price, arg_max(b.date_time, b.price) AS date_time
              FROM {VALID} GROUP BY a.id, a.seller)""",
    "q7": """
        SELECT m.start, b.auction, b.bidder, b.price, b.date_time, b.extra
        FROM bid b JOIN (SELECT tumble(date_time, '10 seconds') AS start, max(price) AS price FROM bid GROUP BY start) m
        ON b.price = m.price AND b.date_time >= m.start AND b.date_time < m.start + INTERVAL '10 seconds'""",
    "q8": """
        SELECT p.start, p.id, p.name
        FROM (SELECT DISTINCT id, name, tumble(date_time, '10 seconds') AS start FROM person) p
        JOIN (SELECT DISTINCT seller, tumble(date_time, '10 seconds') AS start FROM auction) a
        ON p.id = a.seller AND p.start = a.start""",
    "q9": f"""
        SELECT a.id, a.item_name, a.description, a.initial_bid, a.reserve, a.date_time, a.expires, a.seller, a.category, a.extra,
               b.bidder, b.price, b.date_time AS bid_time, b.extra AS bid_extra
        FROM {VALID} QUALIFY row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.date_time) = 1""",
    "q10": """
        SELECT auction, bidder, price, date_time, extra,
               strftime(date_time, '%Y-%m-%d') AS dt, strftime(date_time, '%H:%M') AS hm FROM bid""",
    "q11": """
        SELECT bidder, count(*) AS bids, min(date_time) AS start, max(date_time) AS last
        FROM (SELECT bidder, date_time, sum(is_first) OVER (PARTITION BY bidder ORDER BY date_time) AS number
              FROM (SELECT bidder, date_time,
                           CASE WHEN date_time - lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time)
                                <= INTERVAL '10 seconds' THEN 0 ELSE 1 END AS is_first FROM bid))
        GROUP BY bidder, number""",
    # How the clock on the wall cuts them is known to nobody: the windows of a bidder together.
    "q12": "SELECT bidder, count(*) AS bids FROM bid GROUP BY bidder",
    "q13": """
        SELECT b.auction, b.bidder, b.price, b.date_time, s.value FROM bid b JOIN side_input s ON b.auction % 100 = s.key""",
    "q14": """
        SELECT auction, bidder, 0.908 * price AS price,
               CASE WHEN hour(date_time) BETWEEN 8 AND 18 THEN 'dayTime'
                    WHEN hour(date_time) <= 6 OR hour(date_time) >= 20 THEN 'nightTime' ELSE 'otherTime' END AS bid_time_type,
               date_time, extra, len(regexp_replace(extra, '[^c]', '', 'g')) AS c_counts
        FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000""",
    "q15": f"SELECT date_trunc('day', date_time) AS day, {BY_PRICE}, {BY_PEOPLE} FROM bid GROUP BY day",
    "q16": f"""
        SELECT channel, date_trunc('day', date_time) AS day, max(strftime(date_time, '%H:%M')) AS minute, {BY_PRICE}, {BY_PEOPLE}
        FROM bid GROUP BY channel, day""",
    "q17": f"""
        SELECT auction, date_trunc('day', date_time) AS day, {BY_PRICE},
               min(price) AS min_price, max(price) AS max_price, avg(price) AS avg_price, sum(price) AS sum_price
        FROM bid GROUP BY auction, day""",
    "q18": """
        SELECT auction, bidder, price, channel, url, date_time, extra
        FROM bid QUALIFY row_number() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC) = 1""",
    "q19": """
        SELECT auction, bidder, price, channel, url, date_time, extra,
               row_number() OVER (PARTITION BY auction ORDER BY price DESC, date_time) AS place
        FROM bid QUALIFY place <= 10""",
    "q20": """
        SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.date_time, b.extra,
               a.item_name, a.description, a.initial_bid, a.reserve, a.date_time AS auction_time, a.expires, a.seller, a.category
        FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10""",
    "q21": """
        SELECT auction, bidder, price, channel,
               CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
                    ELSE regexp_extract(url, '(&|^)channel_id=([^&]*)', 2) END AS channel_id
        FROM bid WHERE url LIKE '%&channel_id=%' OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu')""",
    "q22": """
        SELECT auction, bidder, price, channel, folders[4] AS dir1, folders[5] AS dir2, folders[6] AS dir3
        FROM (SELECT *, string_split(url, '/') AS folders FROM bid)""",
}


def session(folder):
    """Returns a session in which the questions can be asked."""
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")
    duck.execute(MACROS)
    for stream, columns in STREAMS.items():
        types = ", ".join(f"{name}: '{kind}'" for name, kind in (it.split() for it in columns.split(", ")))
        read = f"read_json('{folder}/{stream}.ndjson', format = 'newline_delimited', columns = {{{types}}})"
        duck.execute(f"CREATE TABLE {stream} AS SELECT * FROM {read}")
    duck.execute(f"CREATE TABLE side_input AS SELECT * FROM read_csv('{FOLDER}/side_input.csv', header = true)")
    for table, query in QUERIES.items():
        duck.execute(f"CREATE VIEW {table} AS {query}")
    return duck


def plain(value):
    """Returns a value as the test writes those of Mainstem: whole numbers whole, others with three digits."""
    if isinstance(value, datetime.datetime):
        text = value.isoformat()
        return (text.rstrip("0") if "." in text else text) + "Z"
    if value is None or isinstance(value, (str, int)):
        return value
    return int(value) if value == int(value) else f"{value:.3f}"


def rows_of(duck, table):
    """Returns the columns of a table, and its rows as text in the order of the text."""
    answer = duck.execute(f"SELECT * FROM {table}")
    columns = [it[0] for it in answer.description]
    rows = [json.dumps([plain(it) for it in row], separators=(",", ":")) for row in answer.fetchall()]
    return columns, sorted(rows)


def checksum(rows):
    """Returns the sum of the FNV-1a hashes of the rows."""
    total = 0
    for row in rows:
        value = 0xCBF29CE484222325
        for byte in row.encode():
            value = (value ^ byte) * 0x100000001B3 % (1 << 64)
        total += value
    return f"{total % (1 << 64):016x}"


def expected():
    """Returns what the file must say."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, FOLDER / "generate.py", folder], check=True)
        duck = session(folder)
        lines = []
        for table in QUERIES:
            columns, rows = rows_of(duck, table)
            head = f'{{"table": "{table}", "columns": {json.dumps(columns)}, "count": {len(rows)}, '
            if len(rows) <= ROWS_MAX:
                lines.append(head + '"rows": [\n' + ",\n".join(rows) + "]}")
            else:
                lines.append(head + f'"sum": "{checksum(rows)}"}}')
        return "[\n" + ",\n".join(lines) + "\n]\n"


def main():
    """See the module."""
    if "--rows" in sys.argv:
        table, folder = sys.argv[sys.argv.index("--rows") + 1 :]
        print("\n".join(rows_of(session(folder), table)[1]))
        return
    path, text = FOLDER / "expected.json", expected()
    is_same = path.is_file() and path.read_text() == text
    print(f"{len(QUERIES)} tables: {'as before' if is_same else 'they differ'}")
    if "--check" in sys.argv:
        raise SystemExit(0 if is_same else 1)
    path.write_text(text)


if __name__ == "__main__":
    main()
