//! One schedule, from its seed to its end.

use crate::event::{Event, Target};
use crate::invariants::HEALTHY_WITHIN;
use crate::mutations::Mutation;
use crate::plan::Plan;
use crate::random::Random;
use crate::world::World;

/// What a schedule has shown.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
pub struct Summary {
    /// Virtual milliseconds, and how many of them passed between the last fault and health.
    pub lasted: u64,
    pub healed_in: u64,
    pub steps: u64,
    pub acknowledged: u64,
}

/// How often the end is looked for, in virtual milliseconds.
const LOOK: u64 = 500;

/// Runs the schedule of `seed`; with the trace if it is wanted.
pub fn run(seed: u64, mutation: Option<Mutation>, trace: bool) -> (Result<Summary, String>, String) {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random, mutation);
    let faults_end = 15_000 + plan.faults_last;
    let mut world = World::new(seed, plan, random, trace);
    for node in 0..world.nodes.len() {
        let delay = world.random.between(1, 3000);
        world.after(delay, Target::World, Event::StartAgent { node });
    }
    world.watch_expiry();
    world.after(1, Target::World, Event::Write);
    world.after(15_000, Target::World, Event::FirstFault);
    world.after(faults_end, Target::World, Event::FaultsEnd);
    let outcome = to_the_end(&mut world);
    world.say_state();
    (outcome, world.trace.text().to_owned())
}

fn to_the_end(world: &mut World) -> Result<Summary, String> {
    let (mut steps, mut look_at, mut ended) = (0, 0, None);
    loop {
        world.step();
        world.check();
        steps += 1;
        if let Some(what) = world.violation.take() {
            return Err(what);
        }
        if !world.faults_ended || world.now < look_at {
            continue;
        }
        let since = *ended.get_or_insert(world.now);
        look_at = world.now + LOOK;
        match world.ailment() {
            None => {
                let healed_in = world.now - since;
                world.say("world", || format!("healthy after {healed_in} ms"));
                return Ok(Summary { lasted: world.now, healed_in, steps, acknowledged: world.ledger.count });
            }
            Some(why) if world.now > since + HEALTHY_WITHIN => {
                return Err(format!("not healthy {} s after the last fault: {why}", HEALTHY_WITHIN / 1000));
            }
            Some(_) => {}
        }
    }
}
