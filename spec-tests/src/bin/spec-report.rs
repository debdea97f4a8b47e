//! `spec-report [--check] [ENDPOINTS.tsv]`: writes `docs/spec-coverage.md` from what the last run of
//! the tests called. With `--check` it writes nothing and fails if an endpoint that the page calls
//! covered was not covered by that run.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use kith_spec_tests::{
    record::{FOLDER, Record, binary_name, build_of},
    report::{Endpoint, coverage, parse_endpoints, parse_report, render},
};

fn main() -> std::io::Result<ExitCode> {
    let (options, files): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let check = match options.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        _ => {
            eprintln!("usage: spec-report [--check] [ENDPOINTS.tsv]");
            return Ok(ExitCode::FAILURE);
        }
    };
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec-coverage.md");
    let before = parse_report(&fs::read_to_string(&page).unwrap_or_default());
    let endpoints = match files.first() {
        Some(file) => parse_endpoints(&fs::read_to_string(file)?),
        None => before.iter().map(|(endpoint, _)| endpoint.clone()).collect(),
    };
    let coverage = coverage(&endpoints, &read_records()?);
    let covered = |wanted: &Endpoint| {
        endpoints.iter().zip(&coverage).any(|(endpoint, row)| endpoint == wanted && row.covered)
    };
    let lost: Vec<&Endpoint> = before
        .iter()
        .filter(|(endpoint, was_covered)| *was_covered && !covered(endpoint))
        .map(|(endpoint, _)| endpoint)
        .collect();
    for Endpoint { method, path, .. } in &lost {
        eprintln!("no longer covered: {method} {path}");
    }
    let count = coverage.iter().filter(|row| row.covered).count();
    eprintln!("{count} of {} endpoints covered", endpoints.len());
    if check {
        return Ok(if lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    fs::write(page, render(&endpoints, &coverage))?;
    Ok(ExitCode::SUCCESS)
}

/// What the newest build of each test binary called.
fn read_records() -> std::io::Result<Vec<Record>> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).unwrap_or(Path::new("."));
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    let folder = target.join(FOLDER);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut newest: BTreeMap<String, (SystemTime, PathBuf)> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let build = text.lines().next().unwrap_or_default();
        let program = PathBuf::from(build.split('\t').next().unwrap_or_default());
        if build_of(&program).as_deref() != Some(build) {
            // Of a program that was built again or is gone.
            fs::remove_file(&path)?;
            continue;
        }
        let modified = fs::metadata(&program)?.modified()?;
        let known = newest.entry(binary_name(&program)).or_insert((modified, program.clone()));
        if known.0 < modified {
            *known = (modified, program.clone());
        }
        files.push((program, text));
    }
    files.retain(|(program, _)| newest.values().any(|(_, newest)| newest == program));
    let lines = files.iter().flat_map(|(_, text)| text.lines().skip(1));
    Ok(lines.filter_map(Record::from_line).collect())
}
