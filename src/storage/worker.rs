//! A thread of its own behind a bounded queue: SQLite blocks, the actors never do.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use duologue_actors::ports::StoreError;
use tokio::sync::{mpsc, oneshot};

/// How many jobs may wait. Beyond it, whoever asks waits for room; a request has at most a few jobs at a
/// time, so the permits of admission bound those who wait.
const QUEUE: usize = 1_024;

/// The longest anyone waits for an answer: long for a disk that syncs in milliseconds, short beside a
/// request's deadline of two minutes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a job's outcome goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A running thread that takes jobs of type `J`, first come, first served. Dropping it lets the thread
/// finish what waits, and waits for that.
pub(super) struct Worker<J> {
    queue: Mutex<Option<mpsc::Sender<J>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<J: Send + 'static> Worker<J> {
    /// Starts `work`, which has to take jobs until there are no more.
    pub fn start(
        name: &str,
        work: impl FnOnce(mpsc::Receiver<J>) + Send + 'static,
    ) -> Result<Self, io::Error> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(jobs))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Hands the job over and waits for its answer.
    pub async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> J) -> Result<T, StoreError> {
        let asked = async {
            let queue = lock(&self.queue).clone().ok_or_else(closed)?;
            let (answer, answered) = oneshot::channel();
            queue.send(job(answer)).await.map_err(|_| closed())?;
            // The thread ends when nobody can send any more: holding on while waiting would hold it up.
            drop(queue);
            answered.await.map_err(|_| closed())?
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(format!("no answer within {} s", PATIENCE.as_secs())))
        })
    }
}

impl<J> Worker<J> {
    /// Whether there is a thread that takes jobs: not after a stop, nor after a panic.
    pub fn is_running(&self) -> bool {
        lock(&self.queue).as_ref().is_some_and(|queue| !queue.is_closed())
    }

    /// Takes no more jobs, and returns when those that wait are done. Blocks.
    pub fn stop(&self) {
        drop(lock(&self.queue).take());
        // Held while joining, so that a second caller waits as well.
        let mut thread = lock(&self.thread);
        if let Some(Err(_)) = thread.take().map(JoinHandle::join) {
            tracing::error!("storage.thread.panicked");
        }
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        self.stop();
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// Nothing is left half-done under these locks, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Job = (u32, Answer<u32>);

    fn doubling() -> Worker<Job> {
        Worker::start("doubling", |mut jobs: mpsc::Receiver<Job>| {
            while let Some((number, answer)) = jobs.blocking_recv() {
                answer.send(Ok(number * 2)).ok();
            }
        })
        .unwrap()
    }

    #[tokio::test]
    async fn a_job_is_answered_by_the_thread() {
        assert_eq!(doubling().ask(|answer| (21, answer)).await, Ok(42));
    }

    #[tokio::test]
    async fn a_stopped_worker_says_so() {
        let worker = doubling();
        worker.stop();
        let refused = worker.ask(|answer| (21, answer)).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_thread_that_panicked_refuses_jobs_instead_of_leaving_them_unanswered() {
        let worker = Worker::start("panicking", |mut jobs: mpsc::Receiver<Job>| {
            jobs.blocking_recv();
            panic!("on purpose");
        })
        .unwrap();
        assert!(worker.is_running());
        assert!(worker.ask(|answer| (1, answer)).await.is_err());
        worker.stop();
        assert!(!worker.is_running());
        assert!(worker.ask(|answer| (2, answer)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_hangs_is_not_waited_for_for_ever() {
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let worker = Worker::start("hanging", move |mut jobs: mpsc::Receiver<Job>| {
            let job = jobs.blocking_recv();
            held.recv().ok();
            drop(job);
        })
        .unwrap();
        let refused = worker.ask(|answer| (21, answer)).await;
        assert_eq!(refused, Err(StoreError::Unavailable("no answer within 10 s".to_owned())));
        let_go.send(()).unwrap();
    }
}
