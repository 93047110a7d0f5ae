//! The topology as a picture: the client, the entry point, the database nodes with their roles, the DCS.

use super::svg::{Anchor, Svg, text_width, to_f64};

/// A node's box.
#[derive(Debug, Clone)]
pub struct NodeBox {
    /// The node's name.
    pub name: String,
    /// What runs on it.
    pub about: String,
    /// Its ports, as `5433 → 5432`.
    pub ports: String,
    /// Its role, where it has one that is known: the word for pictures' classes, and the word for people.
    pub role: Option<(String, String)>,
}

/// What the picture shows.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The picture's name for screen readers.
    pub title: String,
    /// The client, with the address that it is told to use.
    pub client: (String, String),
    /// The haproxy nodes.
    pub proxies: Vec<NodeBox>,
    /// The postgres nodes.
    pub databases: Vec<NodeBox>,
    /// The zookeeper nodes.
    pub stores: Vec<NodeBox>,
    /// Words at the edges.
    pub words: EdgeWords,
}

/// Words at the edges.
#[derive(Debug, Clone, Default)]
pub struct EdgeWords {
    /// From the proxy to the leader: sessions.
    pub sessions: String,
    /// From the proxy to a node that does not lead: its health check only.
    pub check: String,
    /// From the leader to a standby.
    pub replication: String,
    /// From a database to the DCS.
    pub dcs: String,
}

const WIDTH: f64 = 860.0;
const BOX: (f64, f64) = (284.0, 76.0);
/// How much wider bold letters are.
const BOLD: f64 = 1.12;
const ROWS: [f64; 4] = [14.0, 100.0, 262.0, 424.0];

/// Draws the topology.
pub fn draw(view: &View) -> Svg {
    let mut svg = Svg::new(WIDTH, ROWS[3] + BOX.1 + 14.0, &view.title);
    let proxies = centers(view.proxies.len());
    let databases = centers(view.databases.len());
    let stores = centers(view.stores.len());
    let leader = view.databases.iter().position(is_leader);

    for proxy in &proxies {
        arrow(&mut svg, "lr-flow", (WIDTH / 2.0, ROWS[0] + 44.0), (*proxy, ROWS[1]));
    }
    for proxy in &proxies {
        for (place, database) in databases.iter().enumerate() {
            let (from, to) = (shifted(*proxy, *database, proxies.len()), *database);
            let (class, word) = match leader {
                Some(at) if at == place => ("lr-flow", &view.words.sessions),
                _ => ("lr-check", &view.words.check),
            };
            arrow(&mut svg, class, (from, ROWS[1] + BOX.1), (to, ROWS[2]));
            label(&mut svg, (f64::midpoint(from, to), f64::midpoint(ROWS[1] + BOX.1, ROWS[2]) + 4.0), word);
        }
    }
    if let Some(at) = leader {
        replication(&mut svg, view, &databases, at);
    }
    for store in &stores {
        for (place, database) in databases.iter().enumerate() {
            let to = shifted(*store, *database, stores.len());
            arrow(&mut svg, "lr-check", (*database, ROWS[2] + BOX.1), (to, ROWS[3]));
            if place == 0 || place + 1 == databases.len() {
                let y = f64::midpoint(ROWS[2] + BOX.1, ROWS[3]) + 4.0;
                label(&mut svg, (f64::midpoint(*database, to), y), &view.words.dcs);
            }
        }
    }
    client(&mut svg, &view.client);
    for (nodes, centers, y) in
        [(&view.proxies, &proxies, ROWS[1]), (&view.databases, &databases, ROWS[2]), (&view.stores, &stores, ROWS[3])]
    {
        for (node, center) in nodes.iter().zip(centers) {
            node_box(&mut svg, node, (*center, y), box_width(nodes.len()));
        }
    }
    svg
}

fn is_leader(node: &NodeBox) -> bool {
    node.role.as_ref().is_some_and(|(role, _)| role == "leader")
}

/// Where the boxes of a row have their middles.
fn centers(count: usize) -> Vec<f64> {
    (0..count).map(|place| WIDTH * (to_f64(place) + 0.5) / to_f64(count)).collect()
}

fn box_width(count: usize) -> f64 {
    BOX.0.min(WIDTH / to_f64(count.max(1)) - 16.0)
}

/// Where an edge leaves a box that several edges leave: a little towards the other end.
fn shifted(from: f64, to: f64, boxes: usize) -> f64 {
    let reach = box_width(boxes) / 2.0 - 24.0;
    from + ((to - from) / 3.0).clamp(-reach, reach)
}

/// From the leader to its neighbours, and on: a standby further away is reached past those between.
fn replication(svg: &mut Svg, view: &View, centers: &[f64], leader: usize) {
    let half = box_width(centers.len()) / 2.0;
    let y = ROWS[2] + BOX.1 / 2.0;
    for (place, center) in centers.iter().enumerate() {
        let steps = place.abs_diff(leader);
        if steps == 0 {
            continue;
        }
        let direction = if place > leader { 1.0 } else { -1.0 };
        if steps == 1 {
            let (from, to) = (centers[leader] + direction * half, center - direction * half);
            arrow(svg, "lr-wal", (from, y), (to, y));
            label(svg, (f64::midpoint(from, to), y - 8.0), &view.words.replication);
        } else {
            let low = ROWS[2] + BOX.1 + 6.0 + 6.0 * to_f64(steps);
            svg.polyline(
                "lr-wal",
                &[
                    (centers[leader] + direction * 30.0, ROWS[2] + BOX.1),
                    (centers[leader] + direction * 30.0, low),
                    (center - direction * 30.0, low),
                    (center - direction * 30.0, ROWS[2] + BOX.1),
                ],
                false,
            );
        }
    }
}

fn client(svg: &mut Svg, (name, address): &(String, String)) {
    let width = (text_width(name, 13.0) + text_width(address, 13.0) + 44.0).max(150.0);
    svg.rect("lr-box-client", (WIDTH / 2.0 - width / 2.0, ROWS[0]), (width, 44.0), 22.0);
    if address.is_empty() {
        svg.text("lr-name", (WIDTH / 2.0, ROWS[0] + 27.0), Anchor::Middle, name);
    } else {
        svg.text("lr-name", (WIDTH / 2.0, ROWS[0] + 19.0), Anchor::Middle, name);
        svg.text("lr-port", (WIDTH / 2.0, ROWS[0] + 35.0), Anchor::Middle, address);
    }
}

fn node_box(svg: &mut Svg, node: &NodeBox, (center, y): (f64, f64), width: f64) {
    let (class, edge) = match &node.role {
        Some((role, _)) => (format!("lr-box lr-edge-{role}"), 3.0),
        None => ("lr-box".to_owned(), 0.0),
    };
    let left = center - width / 2.0;
    svg.rect(&class, (left, y), (width, BOX.1), 10.0);
    svg.text("lr-name", (left + 14.0 + edge, y + 24.0), Anchor::Start, &node.name);
    if let Some((role, word)) = &node.role {
        let pill = text_width(word, 11.0) + 16.0;
        let beside = 14.0 + edge + text_width(&node.name, 13.5) * BOLD + 8.0 + pill + 10.0 <= width;
        // Where there is no room beside the name, it sits on the box's upper edge.
        let top = if beside { y + 11.0 } else { y - 9.0 };
        svg.rect(&format!("lr-fill-{role}"), (left + width - pill - 10.0, top), (pill, 18.0), 9.0);
        svg.text("lr-pill", (left + width - pill / 2.0 - 10.0, top + 13.0), Anchor::Middle, word);
    }
    svg.text("lr-about", (left + 14.0 + edge, y + 44.0), Anchor::Start, &node.about);
    svg.text("lr-port", (left + 14.0 + edge, y + 63.0), Anchor::Start, &node.ports);
}

fn label(svg: &mut Svg, (x, y): (f64, f64), text: &str) {
    if text.is_empty() {
        return;
    }
    let width = text_width(text, 11.5) + 10.0;
    svg.rect("lr-paper", (x - width / 2.0, y - 12.0), (width, 16.0), 4.0);
    svg.text("lr-label", (x, y), Anchor::Middle, text);
}

/// A line with a head at its end.
fn arrow(svg: &mut Svg, class: &str, from: (f64, f64), to: (f64, f64)) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(1.0);
    let (ux, uy) = (dx / length, dy / length);
    let base = (to.0 - ux * 9.0, to.1 - uy * 9.0);
    svg.line(class, from, base);
    svg.polyline(
        &format!("{class}-head"),
        &[to, (base.0 - uy * 4.5, base.1 + ux * 4.5), (base.0 + uy * 4.5, base.1 - ux * 4.5)],
        true,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the pill of a node of that name is, above or below the upper edge of its box.
    fn pill_above(name: &str, word: &str) -> bool {
        let mut svg = Svg::new(WIDTH, 500.0, "t");
        let role = Some(("sync_standby".to_owned(), word.to_owned()));
        let node = NodeBox { name: name.to_owned(), about: String::new(), ports: String::new(), role };
        node_box(&mut svg, &node, (WIDTH / 2.0, 100.0), BOX.0);
        let drawn = svg.inline();
        let pill = drawn.split("lr-fill-sync_standby").nth(1).expect("a pill");
        let y = pill.split("y=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("its place");
        y.parse::<f64>().expect("a number") < 100.0
    }

    #[test]
    fn a_role_never_covers_its_nodes_name() {
        assert!(!pill_above("pg-slave", "синхронная реплика"));
        assert!(pill_above("a-database-node-with-a-long-name", "синхронная реплика"));
    }
}
