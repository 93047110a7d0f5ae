//! Runs again and again, and side by side.

use crate::run::LAB;
use crate::support::Place;

#[test]
fn a_series_shows_how_the_phases_spread_and_can_be_compared() {
    let place = Place::new();
    let said = place.labrun(&["run", "--no-publish", "--repeat", "2", "--only", "failover", "--lang", "en"]).ends(0);
    assert!(said.out.contains("passed 2 / 2, did not pass 0 %"), "{}", said.out);
    assert!(said.out.contains("| failover/failover | through HAProxy | whole outage | 2 |"), "{}", said.out);
    let series = std::fs::read_dir(place.output.join(LAB).join("runs/series")).unwrap().next().unwrap().unwrap().path();
    let runs: Vec<String> = serde_json::from_slice::<serde_json::Value>(
        &std::fs::read(series.join("series.json")).unwrap(),
    )
    .unwrap()["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(runs.len(), 2);
    let to = place.dir().join("compared");
    let (series, to) = (series.to_str().unwrap(), to.to_str().unwrap());
    let said =
        place.labrun(&["compare", series, &runs[1], "--names", "both", "last", "--to", to, "--lang", "en"]).ends(0);
    assert!(
        said.out.contains("| passed | 2 / 2 | 1 / 1 |") && said.out.contains("The settings are the same."),
        "{}",
        said.out
    );
    let picture = std::fs::read_to_string(format!("{to}/compare.svg")).unwrap();
    assert!(picture.contains("both") && picture.contains("lr-phase-proxy_up"), "{picture}");
    let watched = place.labrun(&["watch", "--looks", "1"]).ends(0);
    assert!(
        watched.out.contains("leader running") && watched.out.contains(&format!("{} ended", runs[1])),
        "{}",
        watched.out
    );
    let tap = place.labrun(&["report", "--format", "tap"]).ends(0);
    assert!(tap.out.contains("ok 1 - failover/failover"), "{}", tap.out);
}
