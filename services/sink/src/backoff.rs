//! How long to wait after a failed attempt.

use std::time::Duration;

use kernel::config::Sinks;

/// Longest wait that a receiver can ask for.
const MAX_ASKED: Duration = Duration::from_hours(1);

/// Full jitter: anything up to a bound that doubles with each of `attempts` failed ones, and not before what was `asked` for.
pub fn pause(settings: &Sinks, attempts: i64, asked: Option<Duration>) -> Duration {
    let mut random = [0_u8; 4];
    // without randomness the whole bound is waited
    let share = if getrandom::fill(&mut random).is_ok() { u32::from_le_bytes(random) } else { u32::MAX };
    jittered(settings, attempts, share).max(asked.unwrap_or_default().min(MAX_ASKED))
}

fn jittered(settings: &Sinks, attempts: i64, share: u32) -> Duration {
    let doubled = u32::try_from(attempts.clamp(1, 32) - 1).unwrap_or(0);
    let bound = settings.retry_min_ms.saturating_mul(1 << doubled).min(settings.retry_max_ms);
    let micros = u128::from(bound) * 1_000 * u128::from(share) / u128::from(u32::MAX);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_last_one() {
        let settings = Sinks {
            file_dir: "".into(),
            allow_loopback: false,
            allow_private_networks: false,
            retry_min_ms: 1_000,
            retry_max_ms: 300_000,
        };
        let most = |attempts| jittered(&settings, attempts, u32::MAX).as_secs();
        assert_eq!([1, 2, 3, 9, 10, 1_000, i64::MAX].map(most), [1, 2, 4, 256, 300, 300, 300]);
        assert_eq!(jittered(&settings, 5, 0), Duration::ZERO);
        assert!(pause(&settings, 1, Some(Duration::from_secs(30))) >= Duration::from_secs(30));
        assert!(pause(&settings, 1, Some(Duration::MAX)) <= MAX_ASKED);
    }
}
