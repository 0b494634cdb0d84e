use super::*;
use crate::domain::rate::{Rate, RateHeaders};

fn address(per_minute: u32) -> Address {
    Address::restored(per_minute, [], None, None, Millis(0))
}

/// Sends so many calls, one in a millisecond.
fn send(address: &mut Address, from: i64, calls: i64) {
    (from..from + calls).for_each(|at| address.book(Millis(at)));
}

#[test]
fn the_calls_of_other_workers_on_the_machine_count() {
    let mut address = Address::restored(3, [], None, None, Millis(0));
    address.book(Millis(2_000));
    assert_eq!(address.takes_over(vec![Millis(2_000), Millis(1_000)], Millis(2_000)), None);
    let full = vec![Millis(1_000), Millis(2_000), Millis(3_000), Millis(4_000)];
    assert_eq!(address.takes_over(full, Millis(4_000)), Some(Millis(61_600)), "the fourth of three");
    assert_eq!(
        address.permission(Millis(5_000), None),
        Permission::At(Millis(62_600)),
        "and the next one waits too"
    );
}

#[test]
fn calls_of_all_keys_count_together_and_over_a_restart() {
    let held = Some(Pause::new(Millis(10), 30));
    let mut address = Address::restored(3, [20, 10].map(Millis), None, held, Millis(30));
    assert_eq!(address.permission(Millis(30), None), Permission::At(Millis(40)));
    address.book(Millis(40));
    assert_eq!(address.permission(Millis(41), None), Permission::At(Millis(60_610)));
    assert_eq!(address.permission(Millis(60_610), None), Permission::Now);
}

#[test]
fn what_a_clock_an_hour_ahead_has_stored_holds_nothing_for_an_hour() {
    let (now, ahead) = (Millis(0), Millis(3_600_000));
    let held = Some(Pause::restored(Some(ahead), ahead.plus(30_000), now));
    let lowered = Some(Lowered { limit: 2, pause_ms: 30_000, at: ahead });
    for (sent, held, next) in [(&[ahead; 2][..], None, 60_600), (&[], held, 30_000)] {
        let address = Address::restored(600, sent.iter().copied(), lowered, held, now);
        assert_eq!(address.permission(now, None), Permission::At(Millis(next)));
        assert_eq!((address.limit(now), address.limit(Millis(6 * 60_000))), (2, 2), "tenths of two");
        assert_eq!(address.limit(Millis(18 * 60_000)), 3, "a higher limit is tried as soon as ever");
    }
}

#[test]
fn the_configured_limit_is_for_a_minute_and_holds_in_windows_of_the_keys() {
    let mut address = address(600);
    assert_eq!((address.limit(Millis(0)), address.window_ms()), (600, 60_000));
    address.measure(10_000);
    assert_eq!((address.limit(Millis(0)), address.window_ms()), (100, 10_000));
    address.measure(3_600_000);
    assert_eq!(address.window_ms(), 60_000, "that is one endpoint's");
    address.configure(1);
    address.measure(10_000);
    assert_eq!(address.limit(Millis(0)), 1, "never none");
}

#[test]
fn a_429_lowers_the_limit_to_what_was_sent_and_holds_all_until_its_window_ends() {
    let mut address = address(600);
    send(&mut address, 0, 43);
    // Three of them were in flight when the 41st was refused, and are refused after it.
    for (refused, at) in [(41, 50), (40, 51), (42, 52)] {
        address.refused(Millis(refused), 10_000, Millis(at));
    }
    assert_eq!(address.limit(Millis(60)), 40);
    assert_eq!(address.permission(Millis(60), None), Permission::At(Millis(10_052)));
    address.measure(10_000);
    assert_eq!((address.limit(Millis(60)), address.window_ms()), (40, 10_000));
}

#[test]
fn a_limit_that_is_kept_to_and_is_still_too_high_goes_down() {
    let mut address = address(600);
    address.measure(10_000);
    send(&mut address, 0, 41);
    address.refused(Millis(40), 10_000, Millis(50));
    assert_eq!(address.limit(Millis(60)), 40);
    send(&mut address, 20_000, 40);
    assert!(address.refused(Millis(20_039), 10_000, Millis(20_050)));
    assert_eq!(address.limit(Millis(20_060)), 39);
}

/// Seen on a busy machine: the one call after the pause came too late to show anything, and 40 calls in 10 s were sent
/// in a minute.
#[test]
fn while_no_key_knows_its_window_a_key_may_look_for_its_next_one() {
    let mut address = address(600);
    send(&mut address, 0, 41);
    address.refused(Millis(40), 10_000, Millis(50));
    address.book(Millis(10_050));
    let looks = |address: &Address, first: i64| address.permission(Millis(12_100), Some(Millis(first)));
    assert_eq!(address.permission(Millis(12_100), None), Permission::At(Millis(60_601)));
    assert_eq!(looks(&address, 12_050), Permission::Now);
    assert_eq!(looks(&address, 10_050), Permission::At(Millis(60_601)), "somebody has sent one since");
    let mut known = address.clone();
    known.measure(10_000);
    send(&mut known, 12_000, 40);
    assert!(matches!(looks(&known, 12_050), Permission::At(_)), "the length is known");
}

#[test]
fn after_a_handful_of_calls_a_429_holds_and_teaches_no_limit() {
    let mut address = address(600);
    send(&mut address, 0, 5);
    assert!(!address.refused(Millis(4), 10_000, Millis(10)), "others use the address");
    assert_eq!((address.limit(Millis(20)), address.lowered()), (600, None));
    assert_eq!(address.permission(Millis(20), None), Permission::At(Millis(10_010)));
}

#[test]
fn a_longer_retry_after_shows_a_longer_window_than_that_of_the_keys() {
    let mut address = address(600);
    address.measure(10_000);
    send(&mut address, 0, 50);
    address.refused(Millis(49), 58_000, Millis(60));
    assert_eq!((address.limit(Millis(70)), address.window_ms()), (49, 60_000));
}

#[test]
fn a_lowered_limit_rises_again_step_by_step_up_to_what_is_configured() {
    let mut address = address(600);
    send(&mut address, 0, 41);
    address.refused(Millis(40), 60_000, Millis(0));
    let steps = [(0, 40), (359_999, 40), (360_000, 44), (720_000, 52), (1_080_000, 68), (3_600_000, 600)];
    for (at, limit) in steps {
        assert_eq!(address.limit(Millis(at)), limit, "{at}");
    }
    address.configure(600);
    assert_eq!(address.limit(Millis(0)), 40, "the same configuration, read again");
    address.configure(300);
    assert_eq!(address.limit(Millis(0)), 300, "a person has changed it");
}

/// Keys of one machine at an API that counts in fixed windows, which open with a call.
struct Vendor {
    key_limit: u32,
    address_limit: u32,
    window_ms: i64,
    /// End and calls: of each key, then of the address.
    windows: Vec<(i64, u32)>,
}

impl Vendor {
    /// The headers of a call that passes, or the `Retry-After` of one that does not.
    fn call(&mut self, key: usize, now: i64) -> Result<RateHeaders, i64> {
        for window in &mut self.windows {
            if window.0 <= now {
                *window = (now + self.window_ms, 0);
            }
        }
        let last = self.windows.len() - 1;
        let full = [(key, self.key_limit), (last, self.address_limit)];
        let full = full.into_iter().filter(|(index, limit)| self.windows[*index].1 >= *limit);
        if let Some(end) = full.map(|(index, _)| self.windows[index].0).max() {
            return Err((end - now + 999) / 1_000 * 1_000);
        }
        self.windows[last].1 += 1;
        self.windows[key].1 += 1;
        let (end, used) = self.windows[key];
        // In whole seconds, as on the wire.
        let left_ms = (end + 999) / 1_000 * 1_000 - now / 1_000 * 1_000;
        Ok(RateHeaders {
            limit: self.key_limit,
            remaining: self.key_limit - used,
            resets_at: Millis(now + left_ms),
            left_ms,
            took_ms: 0,
        })
    }
}

/// Five keys that always have something to ask, for ten minutes; an answer takes 30 ms, and each key has two calls in
/// flight. How many calls passed, and how many were refused.
fn ten_minutes(key_limit: u32, address_limit: u32) -> (Vec<u32>, u32) {
    const KEYS: usize = 5;
    let mut vendor = Vendor { key_limit, address_limit, window_ms: 10_000, windows: vec![(0, 0); KEYS + 1] };
    let (mut address, mut rates) = (address(600), vec![Rate::new(120); KEYS]);
    let (mut passed, mut refused) = (vec![0; KEYS], 0);
    let mut flights: Vec<(i64, usize, i64, Result<RateHeaders, i64>)> = Vec::new();
    for now in 0..600_000_i64 {
        while flights.first().is_some_and(|(answered, ..)| *answered <= now) {
            let (_, key, sent, answer) = flights.remove(0);
            let rate = &mut rates[key];
            match answer {
                Ok(headers) => {
                    passed[key] += 1;
                    let in_flight = flights.iter().filter(|(_, other, ..)| *other == key).count();
                    let headers = RateHeaders { resets_at: Millis(now + headers.left_ms), ..headers };
                    rate.learn(headers, in_flight as u32, Millis(now));
                }
                Err(pause) if rate.is_refused_for_address(None, pause, Millis(now)) => {
                    refused += 1;
                    address.refused(Millis(sent), pause, Millis(now));
                }
                Err(pause) => {
                    refused += 1;
                    rate.block(pause, Millis(now));
                }
            }
            address.measure(rates.iter().map(Rate::window_ms).min().unwrap_or_default());
        }
        // The key that asks first is another one each time.
        for key in (0..KEYS).map(|key| (key + now as usize) % KEYS) {
            let in_flight = flights.iter().filter(|(_, other, ..)| *other == key).count();
            let allowed = rates[key]
                .permission(Millis(now))
                .max(address.permission(Millis(now), rates[key].first_of_next_window()));
            if in_flight < 2 && allowed == Permission::Now {
                rates[key].book(Millis(now));
                address.book(Millis(now));
                flights.push((now + 30, key, now, vendor.call(key, now)));
            }
        }
    }
    (passed, refused)
}

#[test]
fn five_keys_use_four_fifths_of_their_calls_with_two_percent_429s_at_most() {
    let (passed, refused) = ten_minutes(20, 100);
    let sum: u32 = passed.iter().sum();
    assert!(sum >= 4_800, "{passed:?} of 6000");
    assert!(f64::from(refused) <= 0.02 * f64::from(sum + refused), "{refused} refused, {sum} passed");
}

#[test]
fn a_limit_of_the_address_in_no_header_is_used_by_four_fifths_with_less_than_five_percent_429s() {
    let (passed, refused) = ten_minutes(20, 40);
    let sum: u32 = passed.iter().sum();
    assert!(sum >= 1_920, "{passed:?} of 2400");
    assert!(f64::from(refused) < 0.05 * f64::from(sum + refused), "{refused} refused, {sum} passed");
    assert!(passed.iter().all(|calls| *calls >= 240), "no key gets less than half of its part: {passed:?}");
}
