//! An agent's connection to ZooKeeper, as its client library keeps it: pings while nothing else is sent,
//! hangs up when nothing has come for a while, connects again with the same
//! session, and knows when the session must be over. A request made while there is no connection is sent
//! by the next one, even if nobody waits for its answer any more.

use std::collections::VecDeque;

use labrun_agent::decide::Write;

use crate::event::{Event, Target};
use crate::world::World;
use crate::zookeeper::{Outcome, Reply, Request};

/// One connection. Both queues keep their order; what meets a cut waits.
pub struct Link {
    node: usize,
    incarnation: u64,
    to_server: VecDeque<Sent<Request>>,
    to_client: VecDeque<Sent<Reply>>,
    /// The session that the server serves on it.
    session: Option<i64>,
    closed_by_client: bool,
    closed_by_server: bool,
    /// When the last message on its way arrives, in each direction.
    last_arrival: (u64, u64),
}

/// Requests and their answers have the same number; pings, watches and the like have none (0).
#[derive(Debug, Clone)]
struct Sent<T> {
    id: u64,
    message: T,
}

/// The client's side.
#[derive(Default)]
pub struct Client {
    link: Option<usize>,
    pub session: Option<i64>,
    timeout: u64,
    connected: bool,
    last_sent: u64,
    last_heard: u64,
    pinging: bool,
    /// Requests that wait for a connection.
    outbox: VecDeque<Sent<Request>>,
    /// Requests that were sent and are not answered.
    in_flight: Vec<u64>,
}

/// What the agent hears from its client.
pub enum Heard {
    /// A new session and its timeout.
    Connected {
        session: i64,
        timeout: u64,
    },
    /// Watched keys have changed, or may have.
    Changed,
    /// The connection is gone, and with it these requests.
    Disconnected(Vec<u64>),
    Expired(Vec<u64>),
    Answer {
        id: u64,
        reply: Reply,
    },
}

/// A message that meets a cut is tried again after this time.
const RESEND: u64 = 250;
/// Between the end of a session and the next one (agent: `dcs::session::PAUSE`).
const PAUSE: u64 = 500;

impl World {
    /// Sends a request as soon as there is a connection.
    pub fn request(&mut self, node: usize, id: u64, request: Request) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let sent = Sent { id, message: request };
        match agent.client.link.filter(|_| agent.client.connected) {
            Some(link) => self.send(node, link, sent),
            None => agent.client.outbox.push_back(sent),
        }
    }

    fn send(&mut self, node: usize, link: usize, sent: Sent<Request>) {
        let now = self.now;
        let Some(agent) = &mut self.nodes[node].agent else { return };
        agent.client.last_sent = now;
        if sent.id > 0 {
            agent.client.in_flight.push(sent.id);
        }
        let delay = self.network.delay(&mut self.random, node, self.network.zookeeper());
        let link_state = &mut self.links[link];
        let at = (now + delay).max(link_state.last_arrival.0);
        link_state.to_server.push_back(sent);
        link_state.last_arrival.0 = at;
        self.after(at - now, Target::ZooKeeper, Event::Arrival { link });
    }

    /// Requests of this node are on their way, or wait for a connection.
    pub fn has_sent(&self, node: usize) -> bool {
        let waits = |client: &Client| !client.outbox.is_empty();
        let coming = |link: &Link| link.node == node && !link.closed_by_server && !link.to_server.is_empty();
        self.links.iter().any(coming) || self.nodes[node].agent.as_ref().is_some_and(|agent| waits(&agent.client))
    }

    pub fn on_zookeeper(&mut self, event: Event) {
        match event {
            Event::Arrival { link } => self.arrival(link),
            Event::Expiry => {
                let told = self.zookeeper.expire(self.now);
                self.announce(told);
                self.watch_expiry();
            }
            other => unreachable!("{other:?} does not happen to ZooKeeper"),
        }
    }

    /// Looks again when the next session may be over.
    pub fn watch_expiry(&mut self) {
        let at = self.zookeeper.next_expiry().unwrap_or(self.now + 1000).clamp(self.now + 1, self.now + 1000);
        self.after(at - self.now, Target::ZooKeeper, Event::Expiry);
    }

    fn arrival(&mut self, link: usize) {
        let node = self.links[link].node;
        if self.links[link].closed_by_server {
            return;
        }
        if !self.network.is_open(node, self.network.zookeeper()) {
            return self.after(RESEND, Target::ZooKeeper, Event::Arrival { link });
        }
        let Some(sent) = self.links[link].to_server.pop_front() else { return };
        let session = self.links[link].session;
        let (reply, told) = self.zookeeper.handle(self.now, link, session, &sent.message);
        if let Request::Write { name, write } = &sent.message {
            self.trace.say(self.now, "zk", || format!("{name}: {} -> {reply:?}", brief(write)));
            self.changed = true;
            if *write == Write::ReleaseLeader && matches!(reply, Reply::Written(Outcome::Done(_))) {
                self.lease.released_by = Some(node);
            }
        }
        if let Reply::Connected { session, .. } = reply {
            self.links.iter_mut().filter(|l| l.session == Some(session)).for_each(|l| l.closed_by_server = true);
            self.links[link].session = Some(session);
        }
        let ends = matches!(reply, Reply::Expired);
        self.announce(told);
        self.reply(link, Sent { id: sent.id, message: reply });
        self.links[link].closed_by_server |= ends;
    }

    /// Tells watchers of a change.
    pub fn announce(&mut self, told: Vec<usize>) {
        self.changed |= !told.is_empty();
        for link in told {
            self.reply(link, Sent { id: 0, message: Reply::Changed });
        }
    }

    fn reply(&mut self, link: usize, reply: Sent<Reply>) {
        if self.links[link].closed_by_client {
            return;
        }
        let node = self.links[link].node;
        let delay = self.network.delay(&mut self.random, self.network.zookeeper(), node);
        let at = (self.now + delay).max(self.links[link].last_arrival.1);
        self.links[link].last_arrival.1 = at;
        self.links[link].to_client.push_back(reply);
        self.after(at - self.now, Target::Agent(node, self.links[link].incarnation), Event::Answer { link });
    }

    /// A message from ZooKeeper; `None` if it is still on its way, or tells nothing.
    pub fn hear(&mut self, node: usize, link: usize) -> Option<Heard> {
        if self.links[link].closed_by_client {
            return None;
        }
        if !self.network.is_open(self.network.zookeeper(), node) {
            let target = self.agent_target(node);
            self.after(RESEND, target, Event::Answer { link });
            return None;
        }
        let Sent { id, message } = self.links[link].to_client.pop_front()?;
        let client = &mut self.nodes[node].agent.as_mut()?.client;
        client.last_heard = self.now;
        client.in_flight.retain(|other| *other != id);
        match message {
            Reply::Connected { session, timeout } => Some(self.connected(node, link, session, timeout)),
            Reply::Expired => Some(self.end_session(node)),
            Reply::Pong => {
                client.pinging = false;
                None
            }
            Reply::Changed => Some(Heard::Changed),
            reply => Some(Heard::Answer { id, reply }),
        }
    }

    fn connected(&mut self, node: usize, link: usize, session: i64, timeout: u64) -> Heard {
        let Some(agent) = &mut self.nodes[node].agent else { return Heard::Changed };
        let client = &mut agent.client;
        let known = client.session == Some(session);
        (client.session, client.timeout, client.connected) = (Some(session), timeout, true);
        self.send(node, link, Sent { id: 0, message: Request::Watch });
        let outbox = self.nodes[node].agent.as_mut().map(|agent| std::mem::take(&mut agent.client.outbox));
        for sent in outbox.unwrap_or_default() {
            self.send(node, link, sent);
        }
        if known { Heard::Changed } else { Heard::Connected { session, timeout } }
    }

    /// The session is over: a new one is asked for after a pause.
    fn end_session(&mut self, node: usize) -> Heard {
        let mut lost = self.disconnect(node);
        if let Some(agent) = &mut self.nodes[node].agent {
            agent.client.session = None;
            agent.client.last_sent = self.now + PAUSE;
            lost.extend(agent.client.outbox.drain(..).map(|sent| sent.id));
        }
        Heard::Expired(lost)
    }

    fn disconnect(&mut self, node: usize) -> Vec<u64> {
        let Some(agent) = &mut self.nodes[node].agent else { return Vec::new() };
        agent.client.connected = false;
        if let Some(link) = agent.client.link.take() {
            self.links[link].closed_by_client = true;
        }
        std::mem::take(&mut agent.client.in_flight)
    }

    /// The library's own timer.
    pub fn link_timer(&mut self, node: usize) -> Option<Heard> {
        let now = self.now;
        let agent = self.nodes[node].agent.as_ref()?;
        let timeout = if agent.client.timeout > 0 { agent.client.timeout } else { agent.session_timeout() };
        let tick = connection_timeout(timeout) / 8;
        let target = self.agent_target(node);
        self.after(tick, target, Event::LinkTimer);
        let client = &mut self.nodes[node].agent.as_mut()?.client;
        let Some(link) = client.link else {
            if client.session.is_some() && now > client.last_heard + timeout * 7 / 5 {
                return Some(self.end_session(node));
            }
            if now >= client.last_sent {
                self.dial(node);
            }
            return None;
        };
        let silent_since = if client.connected { client.last_heard } else { client.last_sent };
        if now >= silent_since + connection_timeout(timeout) {
            let was_connected = client.connected;
            let lost = self.disconnect(node);
            return was_connected.then_some(Heard::Disconnected(lost));
        }
        if client.connected && !client.pinging && now >= client.last_sent + 3 * tick {
            client.pinging = true;
            self.send(node, link, Sent { id: 0, message: Request::Ping });
        }
        None
    }

    fn dial(&mut self, node: usize) {
        let incarnation = self.nodes[node].incarnation;
        self.links.push(Link {
            node,
            incarnation,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            session: None,
            closed_by_client: false,
            closed_by_server: false,
            last_arrival: (0, 0),
        });
        let link = self.links.len() - 1;
        let Some(agent) = &mut self.nodes[node].agent else { return };
        let timeout = agent.session_timeout();
        agent.client.link = Some(link);
        (agent.client.connected, agent.client.pinging) = (false, false);
        let session = agent.client.session;
        self.send(node, link, Sent { id: 0, message: Request::Connect { session, timeout } });
    }

    /// A server that is restarted drops every connection; the clients learn it by and by.
    pub fn drop_links(&mut self) {
        for link in &mut self.links {
            link.closed_by_server = true;
        }
        for node in 0..self.nodes.len() {
            let target = self.agent_target(node);
            let delay = self.random.delay(1, 50);
            self.after(delay, target, Event::LinkReset { links: self.links.len() });
        }
    }

    /// The connection was reset by the server, if it is one of the first `links`.
    pub fn link_reset(&mut self, node: usize, links: usize) -> Option<Heard> {
        let client = &self.nodes[node].agent.as_ref()?.client;
        let was_connected = client.connected;
        client.link.filter(|link| *link < links)?;
        let lost = self.disconnect(node);
        was_connected.then_some(Heard::Disconnected(lost))
    }
}

/// A silent connection is given up after this time (agent: `dcs::session::connect`).
fn connection_timeout(session_timeout: u64) -> u64 {
    (session_timeout / 5).min(4000)
}

/// A write in a line that can be read.
pub fn brief(write: &Write) -> String {
    match write {
        Write::Member(data) => {
            let position = data.xlog_location.map_or(String::new(), |position| format!(" at {position}"));
            let timeline = data.timeline.map_or(String::new(), |timeline| format!(" timeline {timeline}"));
            format!("member {} {}{position}{timeline}", data.role, data.state)
        }
        Write::Status { status, .. } => format!("status {}", status.optime),
        Write::Sync { sync, version } => format!("sync {} over {version:?}", sync.to_json()),
        Write::Config { .. } => "config".into(),
        Write::Failover { failover, .. } => format!("failover {}", failover.to_json()),
        Write::History { .. } => "history".into(),
        other => format!("{other:?}"),
    }
}
