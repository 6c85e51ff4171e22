//! Makes up records at a steady rate, for demonstrations and tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Kind, Name, Span, limits, nearest};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use crate::door::{Door, OptionFault, Running, Stop, parse, schema_of};
use crate::generate::field::{FieldOptions, Scalar};
use crate::generate::pace::{Pace, Surge};
use crate::generate::row::Rows;
use crate::inlet::{Batch, Inlet};
use crate::share::Share;

mod field;
mod pace;
pub(crate) mod row;

/// Options of a `generate` door.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Records a second.
    rate: f64,
    /// What each record holds, by the name of the field.
    fields: BTreeMap<String, FieldOptions>,
    /// The same seed makes the same records, but for the times in them; 1 if not said.
    #[serde(default = "one")]
    seed: u64,
    /// How many records are bad: broken JSON, a missing id or time, a number below zero, a word
    /// where a number belongs, a wrong product. None if not said.
    #[serde(default)]
    bad: Share,
    /// A surge that comes round.
    burst: Option<Burst>,
    /// Stop after so many records; never if not said.
    count: Option<u64>,
}

/// A surge: the rate is `factor` times as high for a while.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Burst {
    /// A surge ends each such span, the first one after one span.
    every: Span,
    /// How long a surge lasts.
    lasts: Span,
    /// How many times as many records there are.
    factor: f64,
    /// What the records that a surge adds have in common, for example `{ region = "FR" }`.
    #[serde(default)]
    on: BTreeMap<String, Scalar>,
}

fn one() -> u64 {
    1
}

/// Makes up records.
pub(crate) struct Generate;

const NAME: &str = "generate";

/// Records are made this often: rarer, a live chart would jump; more often, each commit would hold
/// next to nothing.
const STEP: Duration = Duration::from_millis(20);

/// The pause after the journal said "slow down"; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Surges up to this factor: with the highest rate it is more than any machine takes.
const FACTOR_MAX: f64 = 1_000.0;

impl Door for Generate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Makes up records at a steady rate, some of them bad, with surges: for demonstrations and tests."
    }

    fn example(&self) -> &'static str {
        r#"[[stream.orders.from]]
door  = "generate"
rate  = 2000
bad   = "3 %"
burst = { every = "2 minutes", lasts = "20 seconds", factor = 8, on = { region = "FR" } }

[stream.orders.from.fields]
order_id    = { counter = "o-" }
ts          = { time = "now", late_by = "30 seconds", late_share = "1 %" }
customer_id = { among = 20000, prefix = "c" }
product_id  = { among = 500, prefix = "p", skew = 1.1 }
region      = { one_of = ["FR", "DE", "UK", "ES"], weights = [4, 3, 2, 1] }
quantity    = { integer = [1, 5] }
unit_price  = { decimal = [5, 200], per = "product_id" }
total       = { product = ["quantity", "unit_price"] }
"#
    }

    fn options(&self) -> Schema {
        schema_of::<Options>()
    }

    fn check(&self, options: &toml::Table) -> Result<(), OptionFault> {
        Options::read(options).map(|_made| ())
    }

    fn open(
        &self,
        options: &toml::Table,
        inlet: &Inlet,
        stream: &Name,
    ) -> Result<Running, OptionFault> {
        let (options, rows) = Options::read(options)?;
        let maker = Maker { options, rows, inlet: inlet.clone(), stream: stream.clone() };
        Ok(Running::start("generate", |stop| maker.run(stop)))
    }
}

impl Options {
    fn read(table: &toml::Table) -> Result<(Options, Arc<Rows>), OptionFault> {
        let options: Options = parse(table)?;
        if !(options.rate.is_finite()
            && 0.0 < options.rate
            && options.rate <= limits::GENERATE_RATE_MAX)
        {
            let message = format!("a number above 0 and up to {}", limits::GENERATE_RATE_MAX);
            return Err(OptionFault::at("rate", message));
        }
        if options.fields.is_empty() || limits::GENERATE_FIELDS_MAX < options.fields.len() {
            let message = format!("a record has 1 to {} fields", limits::GENERATE_FIELDS_MAX);
            return Err(OptionFault::at("fields", message));
        }
        if let Some(burst) = &options.burst {
            burst.check(&options.fields)?;
        }
        let fields = field::build(&options.fields)?;
        let surge: Vec<_> = options
            .burst
            .iter()
            .flat_map(|burst| &burst.on)
            .map(|(name, value)| (name.clone(), value.json()))
            .collect();
        let rows = Rows::new(options.seed, fields, &surge, options.bad.0);
        Ok((options, Arc::new(rows)))
    }
}

impl Burst {
    fn check(&self, fields: &BTreeMap<String, FieldOptions>) -> Result<(), OptionFault> {
        if self.every <= self.lasts || self.lasts.as_millis() == 0 {
            let message = "a surge lasts a while, but not as long as from one to the next";
            return Err(OptionFault::at("burst.lasts", message));
        }
        if !(1.0..=FACTOR_MAX).contains(&self.factor) {
            let message = format!("a number between 1 and {FACTOR_MAX}");
            return Err(OptionFault::at("burst.factor", message));
        }
        let Some(unknown) = self.on.keys().find(|it| !fields.contains_key(*it)) else {
            return Ok(());
        };
        let message = format!("there is no field `{unknown}`");
        let fault = OptionFault::at(format!("burst.on.{unknown}"), message);
        Err(match nearest(unknown, fields.keys().map(String::as_str)) {
            Some(near) => fault.with_help(format!("did you mean `{near}`?")),
            None => fault,
        })
    }
}

/// The door's task.
struct Maker {
    options: Options,
    rows: Arc<Rows>,
    inlet: Inlet,
    stream: Name,
}

impl Maker {
    async fn run(self, mut stop: Stop) {
        let clock = Arc::clone(self.inlet.clock());
        let opened = clock.elapsed();
        let surge = self.options.burst.as_ref().map(|burst| Surge {
            every: burst.every.0,
            lasts: burst.lasts.0,
            factor: burst.factor,
        });
        let mut pace = Pace::new(self.options.rate, surge, Duration::ZERO);
        let mut made = self.received();
        let last = self.options.count.map(|count| made.saturating_add(count));
        let mut room = Vec::new();
        loop {
            let pause = pace.next_in().max(STEP);
            if stop.within(clock.sleep(pause)).await {
                return;
            }
            let due = pace.due(clock.elapsed().saturating_sub(opened));
            let left = last.map_or(u64::MAX, |last| last.saturating_sub(made));
            if left == 0 {
                return;
            }
            let mut todo = (due.usual + due.surge).min(left);
            let mut surge = due.surge.min(todo);
            while 0 < todo {
                let count = todo.min(BATCH_RECORDS_MAX);
                let of_surge = surge.min(count);
                if !self.send(made, count, of_surge, &mut room, &mut stop).await {
                    return;
                }
                made += count;
                todo -= count;
                surge -= of_surge;
            }
        }
    }

    /// Numbers go on where the stream is, so that ids stay unique over restarts.
    fn received(&self) -> u64 {
        let stream = self.inlet.stream(&self.stream).ok();
        let info = stream.and_then(|it| self.inlet.journal().stream_info(it.id).ok());
        info.map_or(0, |it| it.received)
    }

    /// Makes and writes down `count` records after the first `made`; returns whether to go on.
    async fn send(
        &self,
        made: u64,
        count: u64,
        of_surge: u64,
        room: &mut Vec<u8>,
        stop: &mut Stop,
    ) -> bool {
        let clock = self.inlet.clock();
        let mut pause = PAUSE;
        loop {
            let sent = match self.batch(made, count, of_surge, room) {
                Ok(batch) => self.inlet.append(batch, None).await.map(|_accepted| ()),
                Err(refusal) => Err(refusal),
            };
            let refusal = match sent {
                Ok(()) => return true,
                Err(refusal) => refusal,
            };
            match refusal.kind() {
                Kind::Throttled | Kind::Unavailable | Kind::Conflict => {
                    if stop.within(clock.sleep(pause)).await {
                        return false;
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Kind::Invalid | Kind::Missing | Kind::Corrupt | Kind::Bug => {
                    tracing::error!(stream = %self.stream, error = %refusal, "the door `generate` ended");
                    return false;
                }
            }
        }
    }

    fn batch(
        &self,
        made: u64,
        count: u64,
        of_surge: u64,
        room: &mut Vec<u8>,
    ) -> Result<Batch, crate::Refusal> {
        let bytes = usize::try_from(count).unwrap_or(0).saturating_mul(RECORD_BYTES_GUESSED);
        let mut batch = self.inlet.batch(&self.stream, NAME, bytes)?;
        let now_ms = self.inlet.clock().now_ms();
        for index in 0..count {
            room.clear();
            self.rows.write(made + index + 1, now_ms, index < of_surge, room);
            batch.push(None, room)?;
        }
        Ok(batch)
    }
}

/// One append holds at most this many, so that high rates stay smooth.
const BATCH_RECORDS_MAX: u64 = 20_000;
/// For the first size of a buffer only.
const RECORD_BYTES_GUESSED: usize = 200;

#[cfg(test)]
mod tests;
