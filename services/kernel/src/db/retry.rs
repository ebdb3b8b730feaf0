//! Repeating a use case that lost to a concurrent one.

use std::time::Duration;

use crate::error::Result;

/// Attempts in all.
const ATTEMPTS: u32 = 6;
/// The first pause; every next one is twice as long, and each is shortened by a random share.
const FIRST_PAUSE: Duration = Duration::from_millis(4);

/// Runs `attempt` until it does not end in a conflict, at most six times with growing, jittered pauses.
/// Every attempt is a whole use case with a transaction of its own, so a repeated one starts from nothing.
pub async fn on_conflict<T, F>(mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(error) if error.is_retryable() => tokio::time::sleep(jitter(pause)).await,
            done => return done,
        }
        pause *= 2;
    }
    attempt().await
}

/// Between half and the whole of `pause`, so that those who collided once do not collide again.
fn jitter(pause: Duration) -> Duration {
    let mut random = [0_u8; 2];
    if getrandom::fill(&mut random).is_err() {
        return pause;
    }
    pause / 2 + (pause / 2) * u32::from(u16::from_le_bytes(random)) / 65_536
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::Error;

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_repeated_and_anything_else_is_not() {
        let calls = Cell::new(0);
        let count = || calls.replace(calls.get() + 1) + 1;
        let done = on_conflict(|| async { if count() < 3 { Err(Error::Conflict) } else { Ok(calls.get()) } });
        assert_eq!(done.await.unwrap(), 3);

        calls.set(0);
        let lost = on_conflict(|| async {
            count();
            Err::<(), _>(Error::Conflict)
        });
        assert!(matches!(lost.await, Err(Error::Conflict)));
        assert_eq!(calls.get(), ATTEMPTS);

        calls.set(0);
        let wrong = on_conflict(|| async {
            count();
            Err::<(), _>(Error::PageToken)
        });
        assert!(wrong.await.is_err());
        assert_eq!(calls.get(), 1);
    }
}
