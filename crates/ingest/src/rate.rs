//! How much may come in within a second: token buckets, moved by whatever time they are told.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::limits;
use parking_lot::Mutex;

/// Records and bytes a second; no limit where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// Records a second.
    pub records: Option<u64>,
    /// Bytes of records a second, without their keys.
    pub bytes: Option<u64>,
}

impl Rate {
    /// Returns whether anything is limited.
    pub fn is_limited(self) -> bool {
        self.records.is_some() || self.bytes.is_some()
    }
}

/// Fills by `per_second` up to one second's worth.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    per_second: f64,
    /// Below zero after a request of more than a second's worth: others wait until that is paid.
    level: f64,
    at: Duration,
}

impl Bucket {
    #[expect(clippy::cast_precision_loss, reason = "a rate beyond 2^53 is no limit")]
    fn new(per_second: u64, now: Duration) -> Bucket {
        let per_second = per_second.max(1) as f64;
        Bucket { per_second, level: per_second, at: now }
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + passed * self.per_second).min(self.per_second);
        self.at = self.at.max(now);
    }

    /// Returns how long `cost` has to wait. What is more than a second's worth needs a full bucket
    /// only, else it would wait for ever.
    fn wait(&self, cost: f64) -> Duration {
        let missing = cost.min(self.per_second) - self.level;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
    }
}

/// What one stream, key or client has left.
#[derive(Debug)]
pub(crate) struct Meter {
    rate: Rate,
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    records: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Meter {
    /// Returns a meter with a second's worth; none if nothing is limited.
    pub(crate) fn of(rate: Rate, now: Duration) -> Option<Arc<Meter>> {
        rate.is_limited().then(|| {
            let bucket = |limit: Option<u64>| limit.map(|it| Bucket::new(it, now));
            let buckets = Buckets { records: bucket(rate.records), bytes: bucket(rate.bytes) };
            Arc::new(Meter { rate, buckets: Mutex::new(buckets) })
        })
    }

    /// Returns `before` if it has the same rate, so that what was used up stays so.
    pub(crate) fn renewed(
        before: Option<&Arc<Meter>>,
        rate: Rate,
        now: Duration,
    ) -> Option<Arc<Meter>> {
        match before {
            Some(before) if before.rate == rate => Some(Arc::clone(before)),
            _ => Meter::of(rate, now),
        }
    }

    /// Takes the cost of a request, or says how long it has to wait; then nothing is taken.
    pub(crate) fn take(&self, now: Duration, cost: Cost) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock();
        let mut wait = Duration::ZERO;
        for (bucket, cost) in buckets.with(cost) {
            bucket.fill(now);
            wait = wait.max(bucket.wait(cost));
        }
        if !wait.is_zero() {
            return Err(wait);
        }
        buckets.with(cost).for_each(|(bucket, cost)| bucket.level -= cost);
        Ok(())
    }

    /// Gives back what was taken for a request that another limit refused.
    pub(crate) fn give_back(&self, cost: Cost) {
        let mut buckets = self.buckets.lock();
        buckets.with(cost).for_each(|(bucket, cost)| bucket.level += cost);
    }

    /// Returns whether nothing was used lately.
    fn is_idle(&self, now: Duration) -> bool {
        let mut buckets = self.buckets.lock();
        buckets.with(Cost::default()).all(|(bucket, _)| {
            bucket.fill(now);
            bucket.per_second <= bucket.level
        })
    }
}

/// What a request costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

impl Buckets {
    #[expect(clippy::cast_precision_loss, reason = "a request is far below 2^53")]
    fn with(&mut self, cost: Cost) -> impl Iterator<Item = (&mut Bucket, f64)> {
        let records = self.records.iter_mut().map(move |it| (it, cost.records as f64));
        let bytes = self.bytes.iter_mut().map(move |it| (it, cost.bytes as f64));
        records.chain(bytes)
    }
}

/// The meters of all clients, by address.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// Most projects limit no clients: then a request takes no lock.
    is_limited: AtomicBool,
    meters: Mutex<ClientMeters>,
}

#[derive(Debug, Default)]
struct ClientMeters {
    rate: Rate,
    by_address: HashMap<IpAddr, Arc<Meter>>,
    /// Shared by those for whom there is no room any more.
    others: Option<Arc<Meter>>,
}

impl Clients {
    /// Sets what one client may send.
    pub(crate) fn limit(&self, rate: Rate, now: Duration) {
        let mut meters = self.meters.lock();
        self.is_limited.store(rate.is_limited(), Ordering::Relaxed);
        if meters.rate != rate {
            let others = Meter::of(rate, now);
            *meters = ClientMeters { rate, by_address: HashMap::new(), others };
        }
    }

    /// Returns the meter of a client; none if clients are not limited.
    pub(crate) fn meter(&self, client: IpAddr, now: Duration) -> Option<Arc<Meter>> {
        if !self.is_limited.load(Ordering::Relaxed) {
            return None;
        }
        let mut meters = self.meters.lock();
        let network = network_of(client);
        if let Some(meter) = meters.by_address.get(&network) {
            return Some(Arc::clone(meter));
        }
        if limits::CLIENTS_MAX <= meters.by_address.len() {
            // A meter that is full again says no more than a new one.
            meters.by_address.retain(|_, meter| !meter.is_idle(now));
        }
        if limits::CLIENTS_MAX <= meters.by_address.len() {
            return meters.others.clone();
        }
        let meter = Meter::of(meters.rate, now)?;
        meters.by_address.insert(network, Arc::clone(&meter));
        Some(meter)
    }
}

/// One machine may take any address of its IPv6 network.
fn network_of(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => IpAddr::V4(mapped),
            None => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        },
    }
}

#[cfg(test)]
mod tests;
