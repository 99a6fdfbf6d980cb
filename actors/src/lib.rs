//! Duologue's pipeline: six actors that hand a request along as messages, from "somebody wants
//! something" to the one message that ends it. Knows no HTTP, GraphQL, database or model; those come in
//! through the traits of [`ports`], and the edge comes in through [`entrance`].
//!
//! # One request
//!
//! ```text
//! entrance ── Await ──────────────────────────────────────────────────────────▶ Broadcaster: a waiter
//!     └────── Submitted
//!                 ▼
//!               Auth            who is asking?                      auth.rs
//!                 │ Authenticated
//!                 ▼
//!            FeatureFlag        is it switched on?  checks 1 to 3   feature_flag.rs
//!                 │ Enabled
//!                 ▼
//!              Policy           may they, here?     checks 4 to 6   policy.rs, policy/checks.rs
//!                 │ Authorized
//!                 ▼
//!              Cache            writes it down, synced              cache.rs
//!                 ├── Admitted ───────────────────────────────────────────────▶ Broadcaster: the waiter
//!                 │ Accepted                                                    gets its requestId
//!                 ▼
//!            Completion         asks the model                      completion.rs
//!                 ├── ChunkProduced, one outstanding ─────────────────────────▶ Broadcaster ▶ subscribers
//!                 │ Ended
//!                 ▼
//!              Cache            writes the end, the first one counts
//!                 └── Recorded ───────────────────────────────────────────────▶ Broadcaster ▶ subscribers
//!                                                                                  broadcaster.rs
//! ```
//!
//! Each message is a fact that only the file of its actor can build, and contains the fact before it.
//! So no request reaches Completion without all six checks. What travels inside all of them is
//! [`protocol::Request`]: id, action, input, deadline, cancellation, and the permit that bounds how many
//! there are.
//!
//! # How a request ends
//!
//! Every end is a [`protocol::Ended`] to Cache, whoever says it. If the request was accepted, Cache
//! writes its terminal and tells the Broadcaster ([`cache::Recorded`]), the only sender of finals. If it
//! was not, nothing is written and its waiter hears the refusal.
//!
//! | what happens | who ends it | where |
//! |---|---|---|
//! | a check refuses | the actor that checks | `auth.rs`, `feature_flag.rs`, `policy.rs` |
//! | the answer is complete, or the model fails | the task that runs the model | `completion/run.rs` |
//! | its owner cancels | Broadcaster pulls the token, that task ends it | `broadcaster/correlation.rs` |
//! | its deadline passes | that task; 0.5 s later Cache; 1 s later the Broadcaster | `completion/run.rs`, `cache/ledger.rs`, `broadcaster/correlation.rs` |
//! | an actor panics with it in hand | that actor, when it is restarted | `supervisor/guardian.rs`, `desk.rs` |
//! | a task working on it panics | the task's wrapper | `desk.rs` |
//! | the process stops or is killed | nobody: it stays in the journal and enters at Auth again as [`cache::Recovered`] | `cache/recovery.rs` |
//!
//! # Which file
//!
//! | question | file |
//! |---|---|
//! | what do the words mean; ids, codes and texts of failures | [`protocol`] |
//! | how does the edge get in | [`entrance`] |
//! | what becomes of an answer whose caller leaves | `entrance/direct_stream.rs` |
//! | what is an action | [`action`] |
//! | who is wired to whom, in what order they start and stop | [`supervisor`], `supervisor/crew.rs` |
//! | what survives a panic, when does the process give up | `supervisor/guardian.rs`, `supervisor/intensity.rs` |
//! | what every handler does first and last; slow work beside an actor | `desk.rs` |
//! | what a refusal says, and in which order it is decided | [`policy::checks`], [`feature_flag`] |
//! | what each check found, for the log and for people | [`trace`] |
//! | how a resource is cut to size, how a prompt is rendered | `policy/excerpt.rs`, `completion/prompt.rs` |
//! | which version of a prompt a user gets; templates, tags and turns | [`prompt`] |
//! | what is done to a whole answer before it is kept | `completion/modifiers.rs` |
//! | what a slash command does, and what the conversation shows and remembers after it | [`slash_command`] |
//! | how deltas become chunks, when an answer ends | `completion/chunker.rs`, `completion/run.rs` |
//! | when a model is asked again, or another one | [`models`], `models/answer.rs`, `models/retry.rs` |
//! | when a model is left alone, how much it is asked at a time | `models/breaker.rs`, `models/capacity.rs` |
//! | what a silent model costs | `models/attempt.rs` |
//! | what is said when no model answers | `models/verdict.rs` |
//! | what a call cost, and what is logged of it | `models/record.rs` |
//! | when a prompt or an answer may be logged | `completion/expanded_log.rs` |
//! | what is in the journal, and in which order it is written | `cache/records.rs`, `cache/store.rs` |
//! | which thread of its owner's a request is in | [`protocol::ThreadChoice`], [`ports::Journal::accept`] |
//! | which end counts when several come | `cache/ledger.rs` |
//! | when nothing may be published yet (the gate) | `broadcaster/correlation.rs`, [`entrance::Gate`] |
//! | who gets what, and what is replayed | `broadcaster/filter.rs`, `broadcaster/user_log.rs` |
//! | what a client gives back to go on where it was | `broadcaster/cursor.rs` |
//! | how a slow reader reads | `broadcaster/subscription.rs` |
//! | whether an answer may still be shown to who asked for it | `entrance/reader.rs`, `policy/second_look.rs` |
//! | every bound and its default | [`limits`], [`permits`] |
//! | time, and how tests stop it | [`clock`] |
//!
//! # Three ways to send
//!
//! [`protocol::forward`] hands a fact to the next actor, [`protocol::deliver`] tells Cache or the
//! Broadcaster what they must hear, and a task may `send(chunk).await`. Neither of the first two can
//! fail: the permit is the bound, not the mailbox. Handlers never wait; what takes time is a task whose
//! result comes back as a private message.

pub mod action;
pub mod auth;
pub mod broadcaster;
pub mod cache;
pub mod clock;
pub mod completion;
mod desk;
mod directory_answer;
pub mod entrance;
pub mod feature_flag;
pub mod limits;
pub mod models;
pub mod permits;
pub mod policy;
pub mod ports;
pub mod prompt;
pub mod protocol;
pub mod slash_command;
pub mod supervisor;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod trace;
