//! The server as `duologue serve` runs it, with panics to order: a line such as `panic auth 2` on its standard input
//! makes the next two messages of that actor panic in its hands. Serves until its standard input ends.

use std::{
    collections::HashMap,
    io::{self, BufRead, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use clap::Parser;
use duologue::{
    app::App,
    cli::Arguments,
    config::Config,
    env_file::Environment,
    logging::{self, Audience},
};
use tokio::sync::oneshot;

fn main() -> anyhow::Result<()> {
    let Arguments { config, .. } = Arguments::parse();
    let config = Config::load(config.as_deref(), &Environment::default())?.config;
    let _logs = logging::start(&config.logging, Audience::Operator)?;
    let orders = Arc::new(Orders::default());
    let ended = read_orders(orders.clone());
    actix_rt::System::new().block_on(async {
        let inspector = Arc::new(move |actor, _message| orders.carry_out(actor));
        let app = App::start_inspected(&config, Some(inspector)).await?;
        writeln!(io::stdout(), "http://{}", app.address())?;
        app.run_until(async { drop(ended.await) }).await?;
        Ok(())
    })
}

/// Reads orders on a thread of its own; what is returned resolves when there will be no more.
fn read_orders(orders: Arc<Orders>) -> oneshot::Receiver<()> {
    let (end, ended) = oneshot::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["panic", actor, times] => orders.give(actor, times.parse().unwrap_or(0)),
                _ => tracing::warn!(line, "not an order"),
            }
        }
        drop(end);
    });
    ended
}

/// Panics that are still to be made, by actor.
#[derive(Default)]
struct Orders(Mutex<HashMap<String, u32>>);

impl Orders {
    fn give(&self, actor: &str, times: u32) {
        self.panics().insert(actor.to_owned(), times);
    }

    #[allow(clippy::panic, reason = "that is what was ordered")]
    fn carry_out(&self, actor: &str) {
        if self.is_due(actor) {
            panic!("as ordered");
        }
    }

    fn is_due(&self, actor: &str) -> bool {
        let mut panics = self.panics();
        let Some(left) = panics.get_mut(actor).filter(|left| **left > 0) else {
            return false;
        };
        *left -= 1;
        true
    }

    fn panics(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
