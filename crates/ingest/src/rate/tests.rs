//! Time is moved by hand: every case is exact.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn cost(records: usize, bytes: usize) -> Cost {
    Cost { records, bytes }
}

fn meter(records: Option<u64>, bytes: Option<u64>) -> Arc<Meter> {
    Meter::of(Rate { records, bytes }, Duration::ZERO).unwrap()
}

#[test]
fn a_second_s_worth_at_once_then_as_much_as_time_brings() {
    let meter = meter(Some(100), None);
    assert_eq!(meter.take(seconds(0), cost(60, 1)), Ok(()));
    assert_eq!(meter.take(seconds(0), cost(40, 1)), Ok(()));
    assert_eq!(meter.take(seconds(0), cost(25, 1)), Err(Duration::from_millis(250)));
    assert_eq!(meter.take(Duration::from_millis(250), cost(25, 1)), Ok(()));
    assert_eq!(meter.take(Duration::from_millis(250), cost(1, 1)), Err(Duration::from_millis(10)));
    // A long silence is worth no more than a second.
    assert_eq!(meter.take(seconds(100), cost(100, 1)), Ok(()));
    assert!(meter.take(seconds(100), cost(1, 1)).is_err());
}

#[test]
fn a_request_larger_than_a_second_s_worth_is_paid_afterwards() {
    let meter = meter(None, Some(1_000));
    assert_eq!(meter.take(seconds(0), cost(1, 3_000)), Ok(()));
    assert_eq!(meter.take(seconds(0), cost(1, 1)), Err(Duration::from_millis(2_001)));
    assert!(meter.take(seconds(2), cost(1, 1)).is_err());
    assert_eq!(meter.take(seconds(3), cost(1, 1_000)), Ok(()));
}

#[test]
fn what_one_limit_refuses_costs_nothing_at_the_other() {
    let meter = meter(Some(10), Some(100));
    assert_eq!(meter.take(seconds(0), cost(1, 100)), Ok(()));
    assert!(meter.take(seconds(0), cost(9, 1)).is_err());
    meter.give_back(cost(0, 100));
    assert_eq!(meter.take(seconds(0), cost(9, 100)), Ok(()));
}

#[test]
fn clients_are_counted_apart_and_the_same_rate_goes_on() {
    let clients = Clients::default();
    let rate = Rate { records: Some(5), bytes: None };
    let ada = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let bob = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    assert!(clients.meter(ada, seconds(0)).is_none(), "no limit yet");
    clients.limit(rate, seconds(0));
    assert!(clients.meter(ada, seconds(0)).unwrap().take(seconds(0), cost(5, 0)).is_ok());
    clients.limit(rate, seconds(0));
    assert!(clients.meter(ada, seconds(0)).unwrap().take(seconds(0), cost(1, 0)).is_err());
    assert!(clients.meter(bob, seconds(0)).unwrap().take(seconds(0), cost(5, 0)).is_ok());
    // The same machine in other clothes.
    let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
    assert!(clients.meter(mapped, seconds(0)).unwrap().take(seconds(0), cost(1, 0)).is_err());
    let one: IpAddr = "2001:db8:1:2::1".parse().unwrap();
    let other: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
    assert!(clients.meter(one, seconds(0)).unwrap().take(seconds(0), cost(5, 0)).is_ok());
    assert!(clients.meter(other, seconds(0)).unwrap().take(seconds(0), cost(1, 0)).is_err());
}

#[test]
fn a_flood_of_addresses_takes_no_more_room_than_there_is() {
    let clients = Clients::default();
    clients.limit(Rate { records: Some(1), bytes: None }, seconds(0));
    let address = |it: u32| IpAddr::V4(Ipv4Addr::from(it));
    for it in 0..u32::try_from(limits::CLIENTS_MAX).unwrap() + 1_000 {
        let meter = clients.meter(address(it), seconds(0)).unwrap();
        meter.take(seconds(0), cost(1, 0)).unwrap_or_default();
    }
    assert_eq!(clients.meters.lock().by_address.len(), limits::CLIENTS_MAX);
    // Later, those that are silent again make room.
    clients.meter(address(u32::MAX), seconds(10)).unwrap();
    assert_eq!(clients.meters.lock().by_address.len(), 1);
}

proptest! {
    #[test]
    fn never_more_than_the_rate_and_a_second(
        rate in 1_u64..1_000,
        steps in prop::collection::vec((0_u64..500, 1_usize..300), 1..200),
    ) {
        let meter = meter(Some(rate), None);
        let (mut now_ms, mut taken, mut largest) = (0, 0, 0);
        for (pause_ms, records) in steps {
            now_ms += pause_ms;
            if meter.take(Duration::from_millis(now_ms), cost(records, 0)).is_ok() {
                taken += records;
                largest = largest.max(records);
            }
        }
        let most = rate as f64 * (now_ms as f64 / 1_000.0 + 1.0) + largest as f64 + 1.0;
        prop_assert!(taken as f64 <= most, "{taken} of at most {most}");
    }

    #[test]
    fn whoever_waits_as_long_as_told_is_let_in(
        rate in 1_u64..10_000,
        costs in prop::collection::vec(1_usize..20_000, 1..50),
    ) {
        let meter = meter(Some(rate), None);
        let mut now = Duration::ZERO;
        for records in costs {
            if let Err(wait) = meter.take(now, cost(records, 0)) {
                now += wait + Duration::from_micros(1);
                prop_assert_eq!(meter.take(now, cost(records, 0)), Ok(()));
            }
        }
    }
}
