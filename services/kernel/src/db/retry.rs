//! Repeating a use case that lost to a concurrent one.

use std::time::Duration;

use crate::error::Result;

/// Attempts in all.
const ATTEMPTS: u32 = 6;
/// The first pause; every next one is twice as long, and each is shortened by a random share.
const FIRST_PAUSE: Duration = Duration::from_millis(4);

/// Runs `attempt` until it does not end in a conflict, at most six times with growing, jittered pauses.
/// Every attempt is a whole use case with a transaction of its own, so a repeated one starts from nothing.
pub async fn on_conflict<T>(mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
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
    use super::*;
    use crate::error::Error;

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_repeated_and_anything_else_is_not() {
        let mut calls = 0;
        let done = on_conflict(async || {
            calls += 1;
            if calls < 3 { Err(Error::Conflict) } else { Ok(calls) }
        });
        assert_eq!(done.await.unwrap(), 3);

        let mut calls = 0;
        let lost: Result<()> = on_conflict(async || {
            calls += 1;
            Err(Error::Conflict)
        })
        .await;
        assert!(matches!(lost, Err(Error::Conflict)));
        assert_eq!(calls, ATTEMPTS);

        let mut calls = 0;
        let wrong: Result<()> = on_conflict(async || {
            calls += 1;
            Err(Error::PageToken)
        })
        .await;
        assert!(wrong.is_err());
        assert_eq!(calls, 1);
    }
}
