//! From what the tests called to `docs/spec-coverage.md`: one row for each endpoint of the
//! specification.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::Record;

/// An endpoint of the specification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// `client`, `federation`, `appservice` or `push`.
    pub api: String,
    /// `/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}`
    pub path: String,
    pub method: String,
}

/// What tests did with an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Some test was answered with a 2xx.
    pub covered: bool,
    /// Errors that tests have seen: `403 M_FORBIDDEN`.
    pub errors: BTreeSet<String>,
    /// Tests that called it themselves, and those that did on the way to something else.
    pub direct: BTreeSet<String>,
    pub helped: BTreeSet<String>,
}

const HEADER: &str = "| api | method | path | status | errors seen | tests |";

/// More names say no more about an endpoint.
const NAMES_SHOWN: usize = 3;

/// The endpoints of a table as in `endpoints.tsv`: api, method, path, and columns that do not
/// matter here.
pub fn parse_endpoints(table: &str) -> Vec<Endpoint> {
    let rows = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split('\t').map(str::to_owned);
        let (api, method, path) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Endpoint { api, path, method })
    });
    // Two forms of one route are two rows there.
    BTreeSet::from_iter(rows).into_iter().collect()
}

/// The rows of a report made earlier, and whether each was covered.
pub fn parse_report(report: &str) -> Vec<(Endpoint, bool)> {
    let rows = report.lines().skip_while(|line| *line != HEADER).skip(2);
    rows.filter_map(|line| {
        let mut fields = line.split('|').map(|field| field.trim().to_owned()).skip(1);
        let (api, method, path) = (fields.next()?, fields.next()?, fields.next()?);
        let covered = fields.next()? == "covered";
        let path = path.trim_matches('`').to_owned();
        Some((Endpoint { api, path, method }, covered))
    })
    .collect()
}

/// Counts each record for the endpoint whose path fits best.
pub fn coverage(endpoints: &[Endpoint], records: &[Record]) -> Vec<Coverage> {
    let mut coverage = vec![Coverage::default(); endpoints.len()];
    let mut found: BTreeMap<(&str, &str), Option<usize>> = BTreeMap::new();
    for record in records {
        let key = (record.method.as_str(), record.path.as_str());
        let index = *found.entry(key).or_insert_with(|| find(endpoints, key.0, key.1));
        let Some(coverage) = index.map(|index| &mut coverage[index]) else { continue };
        coverage.covered |= (200..300).contains(&record.status);
        if record.status >= 400 {
            coverage.errors.insert(format!("{} {}", record.status, record.errcode));
        }
        let tests = if record.direct { &mut coverage.direct } else { &mut coverage.helped };
        tests.insert(record.test.clone());
    }
    coverage
}

/// The endpoint with this method and path; with most literal parts, where two fit.
fn find(endpoints: &[Endpoint], method: &str, path: &str) -> Option<usize> {
    let fitting = endpoints.iter().enumerate().filter_map(|(index, endpoint)| {
        if endpoint.method != method {
            return None;
        }
        let literal = literal_parts(&endpoint.path, path)?;
        Some((literal, index))
    });
    fitting.max_by_key(|(literal, _)| *literal).map(|(_, index)| index)
}

/// How many parts of the template are literally in the path, if the path fits at all.
fn literal_parts(template: &str, path: &str) -> Option<usize> {
    let (mut template_parts, mut parts) = (template.split('/'), path.split('/'));
    let mut literal = 0;
    loop {
        match (template_parts.next(), parts.next()) {
            (None, None) => return Some(literal),
            (Some(template), Some(part)) if template == part => literal += 1,
            (Some(template), Some(_)) if template.starts_with('{') => (),
            // `/state/m.room.name` is `/state/{eventType}/{stateKey}` with an empty state key.
            (Some("{stateKey}"), None) => return Some(literal),
            _ => return None,
        }
    }
}

/// The page for `docs/`.
pub fn render(endpoints: &[Endpoint], coverage: &[Coverage]) -> String {
    let mut page = String::from(
        "# Which endpoints of the specification do our tests call?\n\n\
         Written by `make spec-report` from the requests that the tests really made. `covered` is \
         an endpoint\nthat answered at least one of them with success; the errors are those that \
         tests provoked. A covered\nendpoint can do less than the specification says: read the \
         tests.\n\n",
    );
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (endpoint, coverage) in endpoints.iter().zip(coverage) {
        let count = counts.entry(&endpoint.api).or_default();
        count.0 += usize::from(coverage.covered);
        count.1 += 1;
    }
    for (api, (covered, all)) in counts {
        page.push_str(&format!("- {api}: {covered} of {all}\n"));
    }
    page.push_str(&format!("\n{HEADER}\n|---|---|---|---|---|---|\n"));
    for (endpoint, coverage) in endpoints.iter().zip(coverage) {
        let Endpoint { api, path, method } = endpoint;
        let status = if coverage.covered { "covered" } else { "not yet" };
        let errors = Vec::from_iter(coverage.errors.iter().map(|error| error.trim())).join(", ");
        let tests = tests(coverage);
        page.push_str(&format!(
            "| {api} | {method} | `{path}` | {status} | {errors} | {tests} |\n"
        ));
    }
    page
}

fn tests(coverage: &Coverage) -> String {
    let names = if coverage.direct.is_empty() { &coverage.helped } else { &coverage.direct };
    let shown = Vec::from_iter(names.iter().take(NAMES_SHOWN).map(String::as_str)).join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(method: &str, path: &str, status: u16, test: &str) -> Record {
        let errcode = if status < 400 { "" } else { "M_FORBIDDEN" };
        Record {
            test: test.to_owned(),
            direct: true,
            method: method.to_owned(),
            path: path.to_owned(),
            status,
            errcode: errcode.to_owned(),
        }
    }

    const TABLE: &str = "api\tmethod\tpath\tmore\n\
        client\tGET\t/c/profile/{userId}/{keyName}\tx\n\
        client\tGET\t/c/profile/{userId}/displayname\tx\n\
        client\tPUT\t/c/rooms/{roomId}/state/{eventType}/{stateKey}\tx\n\
        client\tPUT\t/c/rooms/{roomId}/state/{eventType}/{stateKey}\tx\n";

    #[test]
    fn a_request_counts_for_the_most_literal_path_that_fits() {
        let endpoints = parse_endpoints(TABLE);
        assert_eq!(endpoints.len(), 3);
        let records = [
            record("GET", "/c/profile/%40a%3Ab/displayname", 200, "one"),
            record("GET", "/c/profile/%40a%3Ab/colour", 403, "two"),
            record("PUT", "/c/rooms/x/state/m.room.name", 200, "three"),
            record("GET", "/c/rooms/x/state/m.room.name", 200, "four"),
        ];
        let coverage = coverage(&endpoints, &records);
        let row = |path: &str| {
            let index = endpoints.iter().position(|endpoint| endpoint.path.contains(path));
            &coverage[index.expect("the endpoint is in the table")]
        };
        assert!(row("displayname").covered);
        assert!(!row("keyName").covered);
        assert_eq!(Vec::from_iter(&row("keyName").errors), ["403 M_FORBIDDEN"]);
        assert_eq!(Vec::from_iter(&row("stateKey").direct), ["three"]);
    }

    #[test]
    fn a_report_can_be_read_again() {
        let endpoints = parse_endpoints(TABLE);
        let records = [record("GET", "/c/profile/a/displayname", 200, "one")];
        let report = render(&endpoints, &coverage(&endpoints, &records));
        let read: Vec<_> = parse_report(&report);
        assert_eq!(read.len(), 3);
        for (endpoint, covered) in read {
            assert!(endpoints.contains(&endpoint));
            assert_eq!(covered, endpoint.path.contains("displayname"));
        }
    }
}
