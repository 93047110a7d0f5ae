//! What a run comes to as a whole: verdict, points, facts, timeline, outages, and the versions of the programs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::InRun;
use crate::lab::model::HttpMethod;
use crate::observe::zookeeper;
use crate::topology::Service;
use crate::verify::history::Gap;
use crate::verify::outage::advice::advice;
use crate::verify::outage::marks::Observed;
use crate::verify::outage::{self, election};
use crate::verify::run::Outage;
use crate::verify::workload::Judged;
use crate::verify::world::World;
use crate::verify::{Run, Verdict};

/// Where nothing was done to the cluster, a shorter gap than this is the clients' own pace and no outage.
const NOTICED_US: u64 = 1_000_000;
/// How long asking for a version may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Fill in everything that follows from the parts and from what was observed so far.
pub(super) fn complete(in_run: &InRun<'_>, run: &mut Run) {
    run.took_ms = in_run.spine.now_ms();
    run.verdict = Verdict::all(run.parts.iter().map(|part| part.verdict));
    let points = run.parts.iter().flat_map(|part| &part.checks).map(|check| check.points);
    run.points = points.fold((0, 0), |sum, points| (sum.0 + points.0, sum.1 + points.1));
    run.facts = in_run.spine.facts();
    run.timeline = in_run.spine.roles();
    run.outages = in_run.workloads.judged().iter().flat_map(|judged| outages(in_run, judged)).collect();
}

/// What the ways of a workload to the cluster as a whole saw; a way to one node sees that node's fate. A way that was never
/// without acknowledged writes has no outage; nor has a history that no fact shows.
fn outages(in_run: &InRun<'_>, judged: &Judged) -> Vec<Outage> {
    let Some(fact) = &judged.fact else { return Vec::new() };
    let paths = judged.judgement.paths.iter().filter(|(name, _)| matches!(name.as_str(), "proxy" | "direct"));
    let of_path = paths.filter_map(|(name, path)| {
        let gap: Gap = path.gap.filter(|gap| judged.fault_us.is_some() || gap.len_us() >= NOTICED_US)?;
        let outage = Outage {
            workload: judged.name.clone(),
            path: name.clone(),
            fact: fact.clone(),
            gap_ms: gap.len_us() / 1000,
            gap: (gap.from_us / 1000, gap.to_us / 1000),
            closed: gap.closed,
            fault_at_ms: judged.fault_us.map(|at_us| at_us / 1000),
            counts: (path.acked, path.rejected.values().sum(), path.indeterminate),
            ..Outage::default()
        };
        Some(explained(in_run, outage, gap, judged.fault_us))
    });
    of_path.collect()
}

/// The outage with its marks and phases, or with why no election ended it.
fn explained(in_run: &InRun<'_>, mut outage: Outage, gap: Gap, fault_us: Option<u64>) -> Outage {
    let (Some(fault_us), Some((_, samples))) = (fault_us, &in_run.watch) else { return outage };
    let mut all = samples.all();
    if !gap.closed {
        // What came after the last write that was tried, such as an election once the fault was undone, ended no gap.
        all.retain(|sample| sample.at_us <= gap.to_us);
    }
    let observed = Observed { samples: &all, members: samples.members() };
    let struck = in_run.faults.at(fault_us);
    outage.fault = struck.as_ref().map(|struck| struck.word.to_owned()).unwrap_or_default();
    let marks = outage::marks(&observed, fault_us, gap.closed.then_some(gap.to_us), outage.path == "proxy");
    outage.marks = marks.iter().map(|mark| (mark.name.to_owned(), mark.at_us / 1000)).collect();
    outage.seen_by = marks.into_iter().map(|mark| (mark.name.to_owned(), mark.by)).collect();
    outage.phases = outage::phases(&outage);
    outage.dominant = outage::dominant(&outage.phases).map(|phase| phase.name.clone());
    let timing = in_run.world.deployment().timing();
    outage.advice = outage.dominant.as_ref().and_then(|mark| advice(mark, &outage.fault, timing));
    if !outage.seen_by.contains_key("lock_taken") {
        let hit = struck.map(|struck| struck.node).unwrap_or_default();
        let leader = observed.leader_at(fault_us).map(|member| observed.node_of(member));
        let is_leader = leader.is_none_or(|leader| leader == hit);
        outage.unhurt = !is_leader && gap.closed && gap.len_us() < NOTICED_US;
        outage.no_election = observed.field_by(gap.to_us).and_then(|field| election::why(field, leader, &hit));
    }
    outage
}

/// The versions of the programs, as the programs themselves tell them. What does not answer has none.
pub(super) async fn versions(world: &dyn World) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for node in &world.deployment().nodes {
        let found = match node.service {
            Service::Postgres { .. } => {
                let agent = agent_version(world, &node.name).await;
                versions.extend(agent);
                postgres_version(world, &node.name).await.map(|version| ("postgres", version))
            }
            Service::Haproxy { .. } => haproxy_version(world, &node.name).await.map(|version| ("haproxy", version)),
            Service::Zookeeper { .. } => zookeeper_version(node.main).await.map(|version| ("zookeeper", version)),
        };
        versions.extend(found.map(|(name, version)| (name.to_owned(), version)));
    }
    versions
}

async fn postgres_version(world: &dyn World, node: &str) -> Option<String> {
    let session = world.dial().open(node, LIMIT).await.ok()?;
    let output = session.run("SHOW server_version").await.ok()?;
    let version = output.rows.first()?.first()?.clone()?;
    Some(version.split_whitespace().next()?.to_owned())
}

/// The agent's version of Patroni's protocol, under the name of the agent.
async fn agent_version(world: &dyn World, node: &str) -> Option<(String, String)> {
    let status = world.http(node, HttpMethod::Get, "/patroni").await.ok()?.json()?;
    let about = status.get("patroni")?;
    let version = about.get("version")?.as_str()?.to_owned();
    Some(("patroni protocol".to_owned(), version))
}

/// From the statistics page: `HAProxy version 2.6.12-1+deb12u2, released 2025/04/22`.
async fn haproxy_version(world: &dyn World, node: &str) -> Option<String> {
    let page = world.http(node, HttpMethod::Get, "/").await.ok()?.body;
    let (_, after) = page.split_once("HAProxy version ")?;
    let version = after.split([',', ' ', '<']).next()?;
    Some(version.to_owned()).filter(|version| !version.is_empty())
}

/// `Zookeeper version: 3.8.0-…, built on …`.
async fn zookeeper_version(address: std::net::SocketAddr) -> Option<String> {
    let answer = zookeeper::srvr(address, LIMIT).await?;
    let version = answer.strip_prefix("Zookeeper version: ")?.split(['-', ',']).next()?;
    Some(version.to_owned())
}
