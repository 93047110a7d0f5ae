//! Being told to stop: by Ctrl-C, SIGTERM, or a caller that has seen enough.

use tokio::sync::watch;

/// Tells everybody who holds a [`Cancel`] to stop.
#[derive(Debug)]
pub struct Canceller(watch::Sender<bool>);

/// Hears whether to stop. Clones hear the same.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<bool>);

/// A canceller, and what hears it.
pub fn cancellation() -> (Canceller, Cancel) {
    let (sender, receiver) = watch::channel(false);
    (Canceller(sender), Cancel(receiver))
}

impl Canceller {
    /// Tell everybody to stop. Telling it twice is fine.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// One that is never told.
    pub fn never() -> Cancel {
        cancellation().1
    }

    /// Whether it was told.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is told; for ever, where nobody is left to tell.
    pub async fn cancelled(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|told| *told).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_it_also_later() {
        let (canceller, cancel) = cancellation();
        let other = cancel.clone();
        assert!(!other.is_cancelled());
        canceller.cancel();
        canceller.cancel();
        cancel.cancelled().await;
        assert!(other.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_canceller_nothing_is_ever_told() {
        let waited = tokio::time::timeout(std::time::Duration::from_secs(3600), Cancel::never().cancelled()).await;
        assert!(waited.is_err());
    }
}
