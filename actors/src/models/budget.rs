//! Retries are paid for: when everything fails, a server that repeats every call trebles the load on what
//! is down already.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub struct BudgetBounds {
    /// Retries for each hundred calls.
    pub percent: u32,
    /// Retries that can be saved up. A server with little traffic lives on these.
    pub reserve: u32,
    /// How long an empty reserve takes to fill without any traffic.
    pub refill: Duration,
}

impl Default for BudgetBounds {
    fn default() -> Self {
        Self { percent: 10, reserve: 10, refill: Duration::from_secs(600) }
    }
}

/// The retries one model may be sent. Clones share what there is.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    bounds: BudgetBounds,
    balance: Arc<Mutex<Balance>>,
}

#[derive(Debug)]
struct Balance {
    retries: f64,
    as_of: Instant,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(BudgetBounds::default())
    }
}

impl RetryBudget {
    #[must_use]
    pub fn new(bounds: BudgetBounds) -> Self {
        let balance = Balance { retries: f64::from(bounds.reserve), as_of: Instant::now() };
        Self { bounds, balance: Arc::new(Mutex::new(balance)) }
    }

    /// The retries that can be had now.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between none and the reserve, which is a u32"
    )]
    pub fn left(&self) -> u32 {
        self.with_balance(|balance, _| balance.retries as u32)
    }

    /// A call was made that is no retry.
    pub(super) fn earn(&self) {
        self.with_balance(|balance, bounds| balance.retries += f64::from(bounds.percent) / 100.0);
    }

    /// Pays for one retry, if there is enough.
    pub(super) fn spend(&self) -> bool {
        self.with_balance(|balance, _| {
            let can = balance.retries >= 1.0;
            if can {
                balance.retries -= 1.0;
            }
            can
        })
    }

    fn with_balance<T>(&self, change: impl FnOnce(&mut Balance, &BudgetBounds) -> T) -> T {
        let mut balance = self.balance.lock().unwrap_or_else(PoisonError::into_inner);
        let reserve = f64::from(self.bounds.reserve);
        let now = Instant::now();
        let waited = now.duration_since(balance.as_of).as_secs_f64() / self.bounds.refill.as_secs_f64();
        balance.as_of = now;
        balance.retries = (balance.retries + reserve * waited).min(reserve);
        let result = change(&mut balance, &self.bounds);
        balance.retries = balance.retries.min(reserve);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(percent: u32, reserve: u32) -> RetryBudget {
        RetryBudget::new(BudgetBounds { percent, reserve, ..BudgetBounds::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn ten_calls_earn_one_retry() {
        let budget = budget(10, 3);
        assert_eq!((0..5).filter(|_| budget.spend()).count(), 3);
        (0..9).for_each(|_| budget.earn());
        assert!(!budget.spend());
        // As fractions, ten tenths are a little less than one.
        (0..2).for_each(|_| budget.earn());
        assert!(budget.spend() && !budget.spend());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_saved_than_the_reserve_holds() {
        let budget = budget(100, 3);
        (0..100).for_each(|_| budget.earn());
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(budget.left(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_reserve_fills_in_ten_minutes_without_traffic() {
        let budget = RetryBudget::default();
        while budget.spend() {}
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(budget.left(), 5);
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(budget.left(), 10);
    }

    /// Retries in an hour in which every call fails and asks for two.
    async fn retries_of_an_hour(pause: Duration) -> (u32, u32) {
        let (budget, started) = (RetryBudget::default(), Instant::now());
        let (mut calls, mut retries) = (0, 0);
        while started.elapsed() < Duration::from_secs(3_600) {
            calls += 1;
            budget.earn();
            for _ in 0..2 {
                retries += u32::from(budget.spend());
            }
            tokio::time::advance(pause).await;
        }
        (calls, retries)
    }

    #[tokio::test(start_paused = true)]
    async fn as_shipped_retries_are_a_tenth_of_the_calls_and_one_a_minute_whatever_the_traffic() {
        // What was saved, and what flows back in an hour.
        let floor = 10 + 60;
        for pause in [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(10)] {
            let (calls, retries) = retries_of_an_hour(pause).await;
            let most = calls / 10 + floor;
            assert!((most - 2..=most).contains(&retries), "{retries} retries of {calls} calls");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clones_spend_from_one_budget() {
        let budget = budget(10, 2);
        assert!(budget.clone().spend() && budget.spend() && !budget.clone().spend());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_reserve_there_are_no_retries() {
        let budget = budget(100, 0);
        budget.earn();
        assert!(!budget.spend());
    }
}
