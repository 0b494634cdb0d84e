//! A model of leases, paid calls and promotions, in which every order of events is tried, up to a limit.
//!
//! Two workers, one owner, one contact, an API that charges each call. A worker acts whenever it likes, or never again: a
//! kill, a stop, a network that is cut, a slow disk are orders of these events. Time is in units: a call takes one, a lease
//! two. Where the program decides by a pure function, the model calls the same one.

use stateright::{Checker, HasDiscoveries, Model, Property};
use unlockd::domain::durability::{Durability, History, may_lack_commits, unknown_calls_end_in};

const TIMEOUT: u8 = 1;
/// The API may carry out a call so long after its caller has given up.
const LATE: u8 = 1;
const LEASE: u8 = 2;
const END: u8 = 6;
const WORKERS: [usize; 2] = [0, 1];

/// What keeps a contact from being paid for twice; each can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    /// A write compares the epoch.
    Fence,
    /// A worker whose connection is lost ends: on a server that was promoted it holds nothing.
    OneConnection,
    /// A call must end before the deadline of the lease, by the worker's own clock.
    Deadline,
    /// A call follows its intent at once, or not at all.
    PauseRule,
    /// Who takes over looks only when a call of the worker before must have ended.
    Wait,
    /// A standby has the intent before the call.
    Proof,
    /// Another timeline means that commits may be missing.
    Detection,
    /// After that, nothing is asked about before a call that nobody knows of must have ended.
    WaitForUnknown,
}

struct Fleet {
    durability: Durability,
    without: Option<Guard>,
}

/// What a server has.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Rows {
    holder: Option<usize>,
    epoch: u8,
    expires: u8,
    /// Whose intent, and when.
    intent: Option<(usize, u8)>,
    is_done: bool,
    timeline: u8,
    distrusted_at: Option<u8>,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Step {
    /// It holds nothing.
    Out,
    /// It has the owner, and looks at an intent no earlier than then.
    Holds {
        looks_at: u8,
    },
    /// It may buy: nothing was bought, as far as the database and the API knew on this timeline.
    MayBuy {
        timeline: u8,
    },
    Committed {
        at: u8,
    },
    Proven {
        at: u8,
    },
    Calls {
        until: u8,
    },
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Worker {
    epoch: u8,
    /// By its own clock, which runs as the server's does.
    deadline: u8,
    /// Of the server that it is connected to.
    timeline: u8,
    step: Step,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct World {
    now: u8,
    primary: Rows,
    standby: Option<Rows>,
    timeline: u8,
    /// Whether commits wait for the standby.
    is_named: bool,
    workers: [Worker; 2],
    /// Calls that the API may still carry out, with the last moment of each.
    calls: Vec<u8>,
    charged: u8,
    /// How often that may change.
    renamings: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Tick,
    Take(usize),
    Renew(usize),
    Decide(usize),
    Commit(usize),
    Prove(usize),
    Send(usize),
    Answered(usize),
    GivenUp(usize),
    CarriedOut(usize),
    Replicated,
    Renamed,
    Promoted,
    NewStandby,
}

impl World {
    fn has_time(&self, me: usize) -> bool {
        self.workers[me].deadline >= self.now + TIMEOUT
    }
}

impl Fleet {
    fn has(&self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    fn is_synchronous(&self) -> bool {
        self.durability == Durability::Synchronous
    }

    /// A commit: with a standby that confirms, it is there before anybody hears of it.
    fn committed(&self, world: &mut World) {
        if self.is_synchronous() && world.is_named && world.standby.is_some() {
            world.standby = Some(world.primary.clone());
        }
    }

    /// Whether this worker can write, as it must know before each commit.
    fn may_write(&self, world: &World, me: usize) -> bool {
        if world.workers[me].timeline != world.timeline && self.has(Guard::OneConnection) {
            return false;
        }
        let is_mine = world.primary.holder == Some(me) && world.primary.epoch == world.workers[me].epoch;
        is_mine || !self.has(Guard::Fence)
    }

    /// Another timeline than the one that is noted.
    fn look_at_the_timeline(&self, world: &mut World) {
        let of = |timeline: u8| History { system_id: String::new(), timeline: timeline.into() };
        let (before, now) = (of(world.primary.timeline), of(world.timeline));
        if before == now {
            return;
        }
        world.primary.timeline = world.timeline;
        if self.has(Guard::Detection) && may_lack_commits(self.durability, &before, &now) {
            world.primary.distrusted_at = Some(world.now);
        }
    }

    fn take(&self, world: &mut World, me: usize) -> Option<()> {
        let rows = &world.primary;
        let is_free = rows.holder.is_none() || rows.expires < world.now;
        if world.workers[me].step != Step::Out || !is_free || rows.is_done {
            return None;
        }
        let ended = rows.expires;
        let looks_at = if rows.holder.is_some() && self.has(Guard::Wait) { ended + LATE } else { 0 };
        self.look_at_the_timeline(world);
        let epoch = world.primary.epoch + 1;
        let expires = world.now + LEASE;
        (world.primary.holder, world.primary.epoch, world.primary.expires) = (Some(me), epoch, expires);
        let timeline = world.timeline;
        world.workers[me] = Worker { epoch, deadline: expires, timeline, step: Step::Holds { looks_at } };
        self.committed(world);
        Some(())
    }

    fn renew(&self, world: &mut World, me: usize) -> Option<()> {
        let until = world.now + LEASE;
        if world.workers[me].step == Step::Out || world.workers[me].deadline == until {
            return None;
        }
        if !self.may_write(world, me) {
            // It was replaced: the process ends.
            world.workers[me].step = Step::Out;
            return Some(());
        }
        (world.primary.expires, world.workers[me].deadline) = (until, until);
        self.committed(world);
        Some(())
    }

    /// Whether it may buy: by asking the API, if the database knows of an intent, or may have forgotten one.
    fn decide(&self, world: &mut World, me: usize) -> Option<()> {
        let Step::Holds { looks_at } = world.workers[me].step else { return None };
        if !self.may_write(world, me) {
            world.workers[me].step = Step::Out;
            return Some(());
        }
        self.look_at_the_timeline(world);
        let timeline = world.timeline;
        if world.primary.intent.is_none() && world.primary.distrusted_at.is_none() {
            world.workers[me].step = Step::MayBuy { timeline };
            return Some(());
        }
        let ago = world.primary.distrusted_at.map(|at| i64::from(world.now - at));
        let must_wait = self.has(Guard::WaitForUnknown)
            && unknown_calls_end_in(ago, LEASE.into(), LATE.into()) >= 0
            && ago.is_some();
        // An instant in which a call may still be carried out is not past.
        if (looks_at > 0 && world.now <= looks_at) || must_wait {
            return None;
        }
        match world.charged {
            0 => world.workers[me].step = Step::MayBuy { timeline },
            _ => {
                world.primary.is_done = true;
                self.committed(world);
                world.workers[me].step = Step::Out;
            }
        }
        Some(())
    }

    fn commit(&self, world: &mut World, me: usize) -> Option<()> {
        let Step::MayBuy { timeline } = world.workers[me].step else { return None };
        if !self.may_write(world, me) || world.primary.is_done {
            world.workers[me].step = Step::Out;
            return Some(());
        }
        if self.has(Guard::Detection) && timeline != world.timeline {
            world.workers[me].step = Step::Holds { looks_at: 0 };
            return Some(());
        }
        if self.has(Guard::Deadline) && !world.has_time(me) {
            return None;
        }
        world.primary.intent = Some((me, world.now));
        world.workers[me].step = Step::Committed { at: world.now };
        self.committed(world);
        Some(())
    }

    fn prove(&self, world: &mut World, me: usize) -> Option<()> {
        let Step::Committed { at } = world.workers[me].step else { return None };
        let intent = Some((me, at));
        let confirms = world.is_named && world.standby.as_ref().is_some_and(|rows| rows.intent == intent);
        if self.is_synchronous() && self.has(Guard::Proof) && !(confirms && world.primary.intent == intent) {
            return None;
        }
        world.workers[me].step = Step::Proven { at };
        Some(())
    }

    fn send(&self, world: &mut World, me: usize) -> Option<()> {
        let Step::Proven { at } = world.workers[me].step else { return None };
        let has_time = world.has_time(me);
        let is_prompt = world.now == at;
        if (self.has(Guard::Deadline) && !has_time) || (self.has(Guard::PauseRule) && !is_prompt) {
            // Taken back: not sent.
            world.workers[me].step = Step::Holds { looks_at: 0 };
            return Some(());
        }
        let until = world.now + TIMEOUT + LATE;
        world.workers[me].step = Step::Calls { until };
        world.calls.push(until);
        world.calls.sort_unstable();
        Some(())
    }

    fn happens(&self, world: &mut World, event: Event) -> Option<()> {
        match event {
            Event::Tick => {
                world.now += 1;
                let now = world.now;
                world.calls.retain(|until| *until >= now);
                (now <= END).then_some(())
            }
            Event::Take(me) => self.take(world, me),
            Event::Renew(me) => self.renew(world, me),
            Event::Decide(me) => self.decide(world, me),
            Event::Commit(me) => self.commit(world, me),
            Event::Prove(me) => self.prove(world, me),
            Event::Send(me) => self.send(world, me),
            Event::Answered(me) => {
                let Step::Calls { .. } = world.workers[me].step else { return None };
                if world.charged == 0 {
                    return None;
                }
                if self.may_write(world, me) {
                    world.primary.is_done = true;
                    self.committed(world);
                }
                world.workers[me].step = Step::Out;
                Some(())
            }
            Event::GivenUp(me) => {
                let Step::Calls { until } = world.workers[me].step else { return None };
                world.workers[me].step = Step::Holds { looks_at: until };
                (world.now > until).then_some(())
            }
            Event::CarriedOut(which) => {
                if which >= world.calls.len() {
                    return None;
                }
                world.calls.remove(which);
                world.charged += 1;
                Some(())
            }
            Event::Replicated => {
                let is_behind = world.standby.as_ref().is_some_and(|rows| *rows != world.primary);
                world.standby = Some(world.primary.clone());
                is_behind.then_some(())
            }
            Event::Renamed => {
                world.renamings = world.renamings.checked_sub(1)?;
                world.is_named = !world.is_named;
                Some(())
            }
            Event::Promoted => {
                world.primary = world.standby.take()?;
                world.timeline += 1;
                (world.timeline <= 2).then_some(())
            }
            Event::NewStandby => {
                let is_alone = world.standby.is_none();
                world.standby = Some(world.primary.clone());
                is_alone.then_some(())
            }
        }
    }
}

impl Model for Fleet {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let primary = Rows {
            holder: None,
            epoch: 0,
            expires: 0,
            intent: None,
            is_done: false,
            timeline: 1,
            distrusted_at: None,
        };
        let worker = Worker { epoch: 0, deadline: 0, timeline: 1, step: Step::Out };
        vec![World {
            now: 1,
            standby: Some(primary.clone()),
            primary,
            timeline: 1,
            is_named: self.is_synchronous(),
            workers: [worker.clone(), worker],
            calls: Vec::new(),
            charged: 0,
            renamings: if self.is_synchronous() { 2 } else { 0 },
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        events.extend([Event::Tick, Event::Replicated, Event::Renamed, Event::Promoted, Event::NewStandby]);
        events.extend((0..world.calls.len()).map(Event::CarriedOut));
        let kinds = [
            Event::Take,
            Event::Renew,
            Event::Decide,
            Event::Commit,
            Event::Prove,
            Event::Send,
            Event::Answered,
            Event::GivenUp,
        ];
        for kind in kinds {
            events.extend(WORKERS.map(kind));
        }
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = before.clone();
        self.happens(&mut world, event)?;
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Fleet>> {
        vec![
            Property::always(ONCE, |_, world: &World| world.charged <= 1),
            Property::sometimes("bought", |_, world: &World| world.primary.is_done && world.charged == 1),
            Property::sometimes("bought by the second worker", |_, world: &World| {
                world.primary.is_done && world.primary.epoch > 1
            }),
            Property::sometimes("bought after a promotion", |_, world: &World| {
                world.primary.is_done && world.timeline > 1 && world.primary.timeline > 1
            }),
        ]
    }
}

const ONCE: &str = "charged once";

fn search(durability: Durability, without: Option<Guard>) -> impl Checker<Fleet> {
    Fleet { durability, without }
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join()
}

#[test]
fn a_contact_is_charged_once_in_every_order_of_events() {
    for durability in [Durability::Synchronous, Durability::Verify] {
        let searched = search(durability, None);
        println!("{durability:?}: {} states, depth {}", searched.unique_state_count(), searched.max_depth());
        searched.assert_properties();
    }
}

#[test]
fn without_any_one_of_its_guards_it_is_charged_twice() {
    let of = |guard| match guard {
        Guard::OneConnection | Guard::Proof | Guard::PauseRule => Durability::Synchronous,
        Guard::Fence | Guard::Deadline | Guard::Wait | Guard::Detection | Guard::WaitForUnknown => {
            Durability::Verify
        }
    };
    let guards = [
        Guard::Fence,
        Guard::OneConnection,
        Guard::Deadline,
        Guard::PauseRule,
        Guard::Wait,
        Guard::Proof,
        Guard::Detection,
        Guard::WaitForUnknown,
    ];
    for guard in guards {
        let found = search(of(guard), Some(guard)).discovery(ONCE);
        println!("without {guard:?}: {:?}", found.as_ref().map(|path| path.clone().into_actions()));
        assert!(
            found.is_some(),
            "without {guard:?} nothing is charged twice, so the model says nothing about it"
        );
    }
}
