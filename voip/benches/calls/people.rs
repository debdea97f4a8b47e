//! What people notice: how soon they are in, and whether lips fit voices. With LiveKit's client for Python.

use kith_voip::Rooms;

use crate::{
    relay::Process,
    story::python,
    table::{Table, percentile},
};

/// Five who join one after the other.
pub(crate) async fn join(table: &mut Table) {
    let relay = Process::start(None, &Rooms::None).await;
    let tokens = ["ann", "1", "2", "3", "4", "5"].map(|identity| relay.token(identity));
    let mut arguments = vec![relay.url.as_str()];
    arguments.extend(tokens.iter().map(String::as_str));
    let seen = python("join.py", &arguments).await;
    let worst = |field: &str| {
        let of = |line: &serde_json::Value| line[field].as_f64();
        seen.iter().filter_map(of).fold(f64::NAN, f64::max)
    };
    table.at_most("join to first sound, slowest of 5", 1.5, worst("sound"), "s");
    table.at_most("join to first picture, slowest of 5", 2.0, worst("picture"), "s");
}

/// A flash and a beep each second.
pub(crate) async fn sync(table: &mut Table) {
    let relay = Process::start(None, &Rooms::None).await;
    let [ann, bob] = ["ann", "bob"].map(|identity| relay.token(identity));
    let seen = python("sync.py", &[&relay.url, &ann, &bob, "30"]).await;
    let list = |chapter: &str| -> Vec<f64> {
        let line = seen.iter().find(|line| line["saw"] == chapter);
        let list = line.and_then(|line| line["milliseconds"].as_array());
        list.into_iter().flatten().filter_map(serde_json::Value::as_f64).collect()
    };
    let mut apart = list("apart");
    let inside = apart.iter().filter(|apart| (-45.0..=125.0).contains(*apart)).count();
    let share = inside as f64 * 100.0 / apart.len() as f64;
    let median = percentile(&mut apart, 0.5);
    let measure = format!(
        "sound at most 45 ms before and 125 ms after the picture ({} flashes, median {median:.0} ms after)",
        apart.len()
    );
    table.at_least(&measure, 95.0, share, "%");
    let mut after = list("after");
    table.at_most("glass to glass 640×360, p50", 150.0, percentile(&mut after, 0.5), "ms");
    table.at_most("glass to glass 640×360, p95", 400.0, percentile(&mut after, 0.95), "ms");
}
