//! Random lives of a few requests of a few users, against an oracle that is simple because it is slow:
//! it keeps, for every subscription, the list of what is still to come.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{
    broadcaster::{Event, EventKind, Resume},
    protocol::{Ended, GlobalId, Outcome},
    testing::a_message,
};

const REQUESTS: usize = 6;
const RETAINED_BYTES: usize = 6 * 1024;

/// One thing that happens. Requests and subscriptions are meant modulo how many there are.
#[derive(Clone, Debug)]
enum Step {
    /// The flag says whether the client is still there.
    Admit(usize, bool),
    Open(usize),
    Chunk(usize),
    End(usize),
    Cancel(usize, UserId),
    Subscribe(UserId, Args),
    Acknowledge(usize, UserId),
    Read(usize, usize),
    Disconnect(usize),
    /// A reader's connection breaks, and it subscribes again behind what it has read.
    Reconnect(usize),
    /// Somebody subscribes with a cursor that a reader was told, perhaps another user's.
    Borrow(usize, UserId, Args),
    /// So many seconds pass, with a tick in each.
    Pass(u64),
}

/// A subscription's arguments beside its user.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Args {
    action: Option<&'static str>,
    resource: Option<u64>,
    page: Option<&'static str>,
    request: Option<usize>,
}

fn step() -> impl Strategy<Value = Step> {
    let request = 0..REQUESTS;
    let user = || (1..=3_u64).prop_map(UserId);
    prop_oneof![
        3 => (request.clone(), prop::bool::weighted(0.8)).prop_map(|(r, stays)| Step::Admit(r, stays)),
        3 => request.clone().prop_map(Step::Open),
        8 => request.clone().prop_map(Step::Chunk),
        3 => request.clone().prop_map(Step::End),
        1 => (request.clone(), user()).prop_map(|(r, user)| Step::Cancel(r, user)),
        5 => (user(), args()).prop_map(|(user, args)| Step::Subscribe(user, args)),
        2 => (request, user()).prop_map(|(r, user)| Step::Acknowledge(r, user)),
        6 => (0..8_usize, 1..4_000_usize).prop_map(|(s, bytes)| Step::Read(s, bytes)),
        1 => (0..8_usize).prop_map(Step::Disconnect),
        3 => (0..8_usize).prop_map(Step::Reconnect),
        1 => (0..8_usize, user(), args()).prop_map(|(s, user, args)| Step::Borrow(s, user, args)),
        1 => prop_oneof![Just(1), Just(61), Just(125)].prop_map(Step::Pass),
    ]
}

fn args() -> impl Strategy<Value = Args> {
    let page = || prop::option::of(prop_oneof![Just("A"), Just("B")]);
    let none = Args { action: None, resource: None, page: None, request: None };
    let (n1, n2, n3, n4) = (none.clone(), none.clone(), none.clone(), none);
    prop_oneof![
        3 => page().prop_map(move |page| Args { action: Some("chat"), page, ..n1.clone() }),
        3 => page().prop_map(move |page| Args { resource: Some(52), page, ..n2.clone() }),
        2 => page().prop_map(move |page| Args { page, ..n3.clone() }),
        2 => (0..REQUESTS).prop_map(move |r| Args { request: Some(r), ..n4.clone() }),
    ]
}

// === The oracle ===

type Said = (EventKind, Option<u32>);

/// A request as the oracle knows it.
#[derive(Debug)]
struct Told {
    address: Address,
    is_live: bool,
    is_open: bool,
    has_ended: bool,
    deadline: Option<Instant>,
    held: Vec<Said>,
    /// Each with its offset in the owner's log.
    published: Vec<(u64, Said)>,
    bytes: usize,
    finished_at: Option<Instant>,
    acknowledged: bool,
    chunks: u32,
    cancel: CancellationToken,
    /// The client that waits for the `requestId`.
    _client: Option<oneshot::Receiver<Result<Granted, Failure>>>,
}

#[derive(Debug)]
struct Reader {
    user: UserId,
    args: Args,
    subscription: Subscription,
    /// What is still to be read of each request.
    to_come: Vec<VecDeque<Said>>,
    /// Something that was to be read is no longer there.
    has_lost: bool,
    evictions_before: usize,
    last_offset: u64,
}

struct Run {
    correlation: Correlation,
    requests: Vec<Told>,
    /// Finished and still kept, oldest first.
    kept: VecDeque<usize>,
    evictions: usize,
    /// The newest offset of each user, and the newest that was removed.
    offsets: HashMap<UserId, u64>,
    removed: HashMap<UserId, u64>,
    readers: Vec<Reader>,
    now: Instant,
    last_deadline: Instant,
    has_room: Arc<AtomicBool>,
}

fn addresses() -> Vec<Address> {
    let pages = [None, Some("A"), Some("A"), Some("B"), None, Some("A")];
    let owner = [1, 1, 2, 1, 2, 1];
    (0..REQUESTS)
        .map(|n| Address {
            request_id: RequestId::new(),
            owner: UserId(owner[n]),
            action: if n == 3 { "explain_code" } else { "chat" }.to_owned(),
            resource_id: (n % 2 == 0).then(|| GlobalId::of("Issue", 52)),
            project_id: None,
            client_subscription_id: pages[n].map(ToOwned::to_owned),
            clearance: None,
            thread_id: None,
        })
        .collect()
}

/// Every set of arguments under which a message is published, from the table of topics.
fn topics(address: &Address, number: usize, kind: EventKind) -> Vec<Args> {
    let none = Args { action: None, resource: None, page: None, request: None };
    let action = match address.action.as_str() {
        "chat" => Some("chat"),
        _ => Some("explain_code"),
    };
    let resource = address.resource_id.as_ref().and_then(GlobalId::number);
    let page = match address.client_subscription_id.as_deref() {
        Some("A") => Some("A"),
        Some(_) => Some("B"),
        None => None,
    };
    let mut topics = vec![Args { request: Some(number), ..none.clone() }];
    if kind != EventKind::Chunk {
        topics.push(Args { action, ..none.clone() });
        topics.push(Args { resource, ..none.clone() });
    }
    if page.is_some() {
        topics.push(Args { page, ..none.clone() });
        if kind != EventKind::Echo {
            topics.push(Args { action, page, ..none.clone() });
            topics.push(Args { resource, page, ..none });
        }
    }
    topics
}

/// What an event counts for: its text twice, for an encoding, and what surrounds it.
fn size(content: &str) -> usize {
    512 + 2 * content.len()
}

impl Run {
    fn new() -> Self {
        let has_room = Arc::new(AtomicBool::new(true));
        let limits = Limits { retained_bytes: RETAINED_BYTES, ..Limits::default() };
        let now = Instant::now() + Duration::from_secs(1_000);
        let requests = addresses().into_iter().map(|address| Told {
            address,
            is_live: false,
            is_open: false,
            has_ended: false,
            deadline: None,
            held: Vec::new(),
            published: Vec::new(),
            bytes: 0,
            finished_at: None,
            acknowledged: false,
            chunks: 0,
            cancel: CancellationToken::new(),
            _client: None,
        });
        Self {
            correlation: Correlation::new(limits, has_room.clone()),
            requests: requests.collect(),
            kept: VecDeque::new(),
            evictions: 0,
            offsets: HashMap::new(),
            removed: HashMap::new(),
            readers: Vec::new(),
            now,
            last_deadline: now,
            has_room,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Admit(r, stays) => self.admit(r, stays),
            Step::Open(r) => {
                self.correlation.open(self.requests[r].address.request_id, self.now);
                self.open(r);
            }
            Step::Chunk(r) => self.chunk(r),
            Step::End(r) => self.end(r),
            Step::Cancel(r, user) => self.cancel(r, user),
            Step::Subscribe(user, args) => self.subscribe(user, args, None),
            Step::Acknowledge(r, user) => self.acknowledge(r, user),
            Step::Read(s, bytes) if !self.readers.is_empty() => {
                let s = s % self.readers.len();
                self.read(s, bytes);
            }
            Step::Disconnect(s) if !self.readers.is_empty() => {
                self.readers.swap_remove(s % self.readers.len());
            }
            Step::Reconnect(s) if !self.readers.is_empty() => {
                let Reader { user, args, subscription, .. } =
                    self.readers.swap_remove(s % self.readers.len());
                self.subscribe(user, args, Some((user, subscription.cursor())));
            }
            Step::Borrow(s, user, args) if !self.readers.is_empty() => {
                let reader = &self.readers[s % self.readers.len()];
                let told = (reader.user, reader.subscription.cursor());
                self.subscribe(user, args, Some(told));
            }
            Step::Read(..) | Step::Disconnect(_) | Step::Reconnect(_) | Step::Borrow(..) => {}
            Step::Pass(seconds) => (0..seconds).for_each(|_| self.pass_a_second()),
        }
        let live: usize = self.requests.iter().filter(|told| told.is_live).map(|told| told.bytes).sum();
        assert_eq!(self.has_room.load(Relaxed), live <= RETAINED_BYTES);
    }

    fn admit(&mut self, r: usize, stays: bool) {
        let told = &mut self.requests[r];
        if told.deadline.is_some() {
            return; // Cache admits a request once.
        }
        // One request a second meets its deadline, so that their order is known.
        let timer = (self.now + Duration::from_secs(120)).max(self.last_deadline + Duration::from_secs(2));
        self.last_deadline = timer;
        (told.deadline, told.is_live) = (Some(timer), true);
        let request_id = told.address.request_id;
        let deadline = Deadline { at: SystemTime::UNIX_EPOCH, timer };
        let (reply, mut client) = oneshot::channel();
        self.correlation.await_acceptance(request_id, deadline, reply);
        if !stays {
            client.close();
        }
        self.correlation.admit(
            Admitted {
                address: told.address.clone(),
                deadline,
                cancel: told.cancel.clone(),
                echo: Some(a_message(request_id, Role::User, "q")),
                recovered: false,
            },
            self.now,
        );
        assert_eq!(client.try_recv().is_ok(), stays, "a client that waits hears that it is accepted");
        told._client = Some(client);
        self.say(r, (EventKind::Echo, None), "q");
        if !stays {
            self.open(r);
        }
    }

    fn open(&mut self, r: usize) {
        let told = &mut self.requests[r];
        if told.is_live && !told.is_open {
            told.is_open = true;
            for said in std::mem::take(&mut told.held) {
                self.publish(r, said);
            }
            self.evict(|run, _| run.bytes() > RETAINED_BYTES);
        }
    }

    fn chunk(&mut self, r: usize) {
        let told = &mut self.requests[r];
        let (request_id, chunk_id) = (told.address.request_id, told.chunks + 1);
        let content = "x".to_owned();
        let chunk = ChunkProduced { request_id, chunk_id, content };
        self.correlation.chunk(chunk, SystemTime::UNIX_EPOCH, self.now);
        if told.is_live && !told.has_ended {
            told.chunks = chunk_id;
            self.say(r, (EventKind::Chunk, Some(chunk_id)), "x");
        }
    }

    fn end(&mut self, r: usize) {
        let told = &self.requests[r];
        let outcome = Outcome::Completed { content: "done".to_owned() };
        let ended = Ended { request_id: told.address.request_id, outcome, model: None };
        let terminal = TerminalRecord {
            outcome: ended.outcome,
            ..deadline_exceeded(&told.address, SystemTime::UNIX_EPOCH)
        };
        self.correlation.recorded(Recorded::Terminal(Arc::new(terminal)), self.now);
        if told.is_live && !told.has_ended {
            self.say(r, (EventKind::Final, None), "done");
        }
    }

    fn say(&mut self, r: usize, said: Said, content: &str) {
        let told = &mut self.requests[r];
        told.has_ended |= said.0 == EventKind::Final;
        told.bytes += size(content);
        if told.is_open {
            self.publish(r, said)
        } else {
            told.held.push(said)
        }
        self.evict(|run, _| run.bytes() > RETAINED_BYTES);
    }

    fn publish(&mut self, r: usize, said: Said) {
        let told = &mut self.requests[r];
        let offset = self.offsets.entry(told.address.owner).or_default();
        *offset += 1;
        told.published.push((*offset, said));
        for reader in &mut self.readers {
            if reader.user == told.address.owner && topics(&told.address, r, said.0).contains(&reader.args) {
                reader.to_come[r].push_back(said);
            }
        }
        if said.0 == EventKind::Final {
            told.is_live = false;
            told.finished_at = Some(self.now);
            self.kept.push_back(r);
            assert!(told.cancel.is_cancelled(), "work goes on after the end");
        }
    }

    fn bytes(&self) -> usize {
        let kept = self.requests.iter().enumerate().filter(|(r, told)| told.is_live || self.kept.contains(r));
        kept.map(|(_, told)| told.bytes).sum()
    }

    fn evict(&mut self, is_due: impl Fn(&Self, usize) -> bool) {
        while let Some(r) = self.kept.front().copied().filter(|r| is_due(self, *r)) {
            self.kept.pop_front();
            self.evictions += 1;
            let told = &self.requests[r];
            let last = told.published.iter().map(|(offset, _)| *offset).max().unwrap_or_default();
            let removed = self.removed.entry(told.address.owner).or_default();
            *removed = last.max(*removed);
            for reader in &mut self.readers {
                reader.has_lost |= !reader.to_come[r].is_empty();
            }
        }
    }

    fn cancel(&mut self, r: usize, user: UserId) {
        let told = &self.requests[r];
        let is_known = told.address.owner == user && (told.is_live || self.kept.contains(&r));
        let cancelled = self.correlation.cancel(user, told.address.request_id);
        assert_eq!(cancelled.is_ok(), is_known);
        assert!(!is_known || told.cancel.is_cancelled());
    }

    fn acknowledge(&mut self, r: usize, user: UserId) {
        let told = &mut self.requests[r];
        self.correlation.acknowledge(user, &[told.address.request_id]);
        told.acknowledged |= told.finished_at.is_some() && told.address.owner == user;
    }

    fn pass_a_second(&mut self) {
        self.now += Duration::from_secs(1);
        self.correlation.tick(SystemTime::UNIX_EPOCH, self.now);
        for r in 0..REQUESTS {
            let told = &self.requests[r];
            let overdue = told.deadline.is_some_and(|at| self.now >= at + BROADCASTER_GRACE);
            if told.is_live && overdue {
                if !told.has_ended {
                    // Its gate may still be closed: the backstop does not jump the queue.
                    self.say(r, (EventKind::Final, None), "");
                }
                self.open(r);
            }
        }
        let now = self.now;
        self.evict(|run, r| {
            run.requests[r].finished_at.is_some_and(|at| now >= at + Duration::from_secs(300))
        });
    }

    /// Rules 3 and 4: what of a request lies before a new subscription and is shown to it.
    fn replayed(&self, r: usize, args: &Args) -> Vec<Said> {
        let told = &self.requests[r];
        let recent = told.finished_at.is_none_or(|at| self.now < at + Duration::from_secs(60));
        let unaddressed = told.address.client_subscription_id.is_none();
        let shown = if args.request.is_some() {
            true
        } else if args.page.is_some() {
            !told.acknowledged
        } else if args.action.is_some() || args.resource.is_some() {
            unaddressed && recent && !told.acknowledged
        } else {
            false
        };
        let wanted = self.published_after(r, args, 0);
        wanted.into_iter().filter(|said| shown && (told.is_live || said.0 == EventKind::Final)).collect()
    }

    /// What is kept of a request behind an offset and under these arguments.
    fn published_after(&self, r: usize, args: &Args, after: u64) -> Vec<Said> {
        let told = &self.requests[r];
        let is_kept = told.is_live || self.kept.contains(&r);
        let said = told.published.iter().filter(|(offset, said)| {
            is_kept && *offset > after && topics(&told.address, r, said.0).contains(args)
        });
        said.map(|(_, said)| *said).collect()
    }

    /// A cursor proves that what this subscription would have been shown before it has arrived.
    fn receive_before(&mut self, user: UserId, args: &Args, cursor: u64) {
        for (r, told) in self.requests.iter_mut().enumerate() {
            let is_before = told.published.last().is_some_and(|(offset, _)| *offset <= cursor);
            let is_wanted = topics(&told.address, r, EventKind::Final).contains(args);
            told.acknowledged |=
                told.finished_at.is_some() && told.address.owner == user && is_before && is_wanted;
        }
    }

    fn subscribe(&mut self, user: UserId, args: Args, after: Option<(UserId, Cursor)>) {
        let resource = args.resource.map(|id| GlobalId::of("Issue", id));
        let request = args.request.map(|r| self.requests[r].address.request_id);
        let page = args.page.map(ToOwned::to_owned);
        let filter = Filter::new(user, args.action, resource, page, request).unwrap();
        let subscription = self.correlation.subscribe(filter, after.map(|(_, cursor)| cursor), self.now);
        let own = after.filter(|(whose, _)| *whose == user).map(|(_, cursor)| cursor.offset);
        if let Some(offset) = own {
            self.receive_before(user, &args, offset);
        }
        let removed = self.removed.get(&user).copied().unwrap_or_default();
        let resumed = own.filter(|offset| removed <= *offset);
        let to_come: Vec<VecDeque<Said>> = (0..REQUESTS)
            .map(|r| {
                let is_own = self.requests[r].address.owner == user;
                match resumed {
                    _ if !is_own => VecDeque::new(),
                    Some(offset) => self.published_after(r, &args, offset).into(),
                    None => self.replayed(r, &args).into(),
                }
            })
            .collect();
        let replays = to_come.iter().any(|said| !said.is_empty());
        if after.is_some() && resumed.is_none() {
            assert_eq!(subscription.resume(), Resume::Reset, "a hole that is not told");
        } else {
            assert_eq!(subscription.resume() == Resume::Replayed, replays);
        }
        self.readers.push(Reader {
            user,
            args,
            subscription,
            to_come,
            has_lost: false,
            evictions_before: self.evictions,
            last_offset: resumed.unwrap_or_default(),
        });
    }

    fn read(&mut self, s: usize, max_bytes: usize) {
        let reader = &mut self.readers[s];
        if reader.subscription.has_hole() {
            assert!(self.evictions > reader.evictions_before, "a hole where nothing was removed");
            self.readers.swap_remove(s);
            return;
        }
        assert!(!reader.has_lost, "a silent hole");
        let events = reader.subscription.read(max_bytes);
        let bytes: usize = events.iter().map(|event| event.size()).sum();
        assert!(bytes <= max_bytes || events.len() == 1, "{bytes} of {max_bytes}");
        let nothing_to_come = reader.to_come.iter().all(VecDeque::is_empty);
        assert_eq!(events.is_empty(), nothing_to_come, "something is missing or too much");
        for event in events {
            check(reader, &self.requests, &event);
        }
    }
}

fn check(reader: &mut Reader, requests: &[Told], event: &Event) {
    assert_eq!(event.owner(), reader.user, "somebody else's");
    assert!(event.offset() > reader.last_offset, "out of order");
    reader.last_offset = event.offset();
    let r = requests.iter().position(|told| told.address.request_id == event.request_id()).unwrap();
    let said = (event.kind, event.message.chunk_id);
    assert_eq!(
        reader.to_come[r].pop_front(),
        Some(said),
        "request {r}: a gap, a repetition or after the end"
    );
}

proptest! {
    #[test]
    fn no_gap_no_repetition_one_end_and_only_the_owner(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run::new();
        for step in steps {
            run.take(step);
        }
        // Whoever reads on gets everything there is.
        for s in (0..run.readers.len()).rev() {
            run.read(s, usize::MAX);
        }
    }
}
