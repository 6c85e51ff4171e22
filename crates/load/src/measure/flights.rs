//! Ten questions about a year of flights, in the manner of `ClickBench`, beside DuckDB over the file
//! that came in.

use base::figure::Figure;

use super::lake::{Beside, Stream, filled};
use crate::Ctx;
use crate::duck::Duck;

const COLUMNS: &str = "year = 'int'\nmonth = 'int'\nday = 'int'\ndep_time = 'int'\nsched_dep_time = 'int'\ndep_delay = 'int'\narr_time = 'int'\nsched_arr_time = 'int'\narr_delay = 'int'\ncarrier = 'text'\nflight = 'int'\ntailnum = 'text'\norigin = 'text'\ndest = 'text'\nair_time = 'int'\ndistance = 'int'\nhour = 'int'\nminute = 'int'\ntime_hour = 'timestamp'";

const QUESTIONS: &[&str] = &[
    "SELECT count(*) FROM flights",
    "SELECT count(*) FROM flights WHERE dep_delay <> 0",
    "SELECT sum(distance), count(*), avg(air_time) FROM flights",
    "SELECT count(DISTINCT tailnum) FROM flights",
    "SELECT min(time_hour), max(time_hour) FROM flights",
    "SELECT carrier, count(*) AS n FROM flights GROUP BY carrier ORDER BY n DESC, carrier",
    "SELECT origin, dest, count(*) AS n, avg(arr_delay) FROM flights GROUP BY origin, dest ORDER BY n DESC, origin, dest LIMIT 10",
    "SELECT tailnum, count(*) AS n FROM flights WHERE tailnum <> '' GROUP BY tailnum ORDER BY n DESC, tailnum LIMIT 10",
    "SELECT count(*) FROM flights WHERE tailnum LIKE '%UA%' AND dest LIKE 'S%'",
    "SELECT month, day, origin, max(dep_delay), count(DISTINCT dest) FROM flights WHERE 0 < distance GROUP BY month, day, origin ORDER BY month, day, origin",
];

pub(super) fn beside(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let Some(file) = &ctx.flights else {
        eprintln!("left out: `--flights` names nycflights13's flights as a Parquet file");
        return Ok(Vec::new());
    };
    let file = file.canonicalize()?;
    let mut duck = Duck::start(ctx)?;
    duck.view("flights", &file)?;
    let rows = duck.count("SELECT count(*) FROM flights")?;
    let name = file.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let stream = Stream { name: "flights", columns: COLUMNS, more: "", file: name };
    let bucket = file.parent().unwrap_or(&file);
    let (running, _) = filled(ctx, bucket, &[stream], rows)?;
    let mut beside = Beside::default();
    for (at, sql) in QUESTIONS.iter().enumerate() {
        let question = format!("q{}", at + 1);
        beside.ask(ctx, (&running.server, &mut duck), &question, sql)?;
    }
    let memory = (running.server.memory_mb_max(), duck.memory_mb_max());
    Ok(beside.figures("scans of a year of flights", ["≤ 1.3 in all, ≤ 2 each", "≤ 2"], memory))
}
