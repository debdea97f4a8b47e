//! Which endpoints did the tests really call? Every request is one line in a file of this process,
//! which `spec-report` reads when the tests are over.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::UNIX_EPOCH,
};

use parking_lot::Mutex;

/// Where the records are, below the `target` folder.
pub const FOLDER: &str = "tmp/spec-requests";

/// A request that a test made and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// `client::session::login_needs_the_right_password`: the test binary, then the test.
    pub test: String,
    /// Made by the test itself, not by a helper on the way there.
    pub direct: bool,
    pub method: String,
    /// As it was sent, without the query.
    pub path: String,
    pub status: u16,
    /// Empty unless the answer is an error.
    pub errcode: String,
}

impl Record {
    fn to_line(&self) -> String {
        let direct = if self.direct { "direct" } else { "helper" };
        let Self { test, method, path, status, errcode, .. } = self;
        format!("{test}\t{direct}\t{method}\t{path}\t{status}\t{errcode}\n")
    }

    /// The inverse of what this process wrote; `None` for a line cut off by a killed process.
    pub fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        Some(Self {
            test: fields.next()?.to_owned(),
            direct: fields.next()? == "direct",
            method: fields.next()?.to_owned(),
            path: fields.next()?.to_owned(),
            status: fields.next()?.parse().ok()?,
            errcode: fields.next()?.to_owned(),
        })
    }
}

struct Recorder {
    file: File,
    /// So that a load test is not a file of its own size.
    written: HashSet<Record>,
}

/// Notes a request. Failing to is a failure of the test: the report would be wrong.
pub fn record(record: Record) {
    static RECORDER: OnceLock<Mutex<Recorder>> = OnceLock::new();
    let recorder = RECORDER.get_or_init(|| {
        let file = open().expect("the file for the record of requests can be written");
        Mutex::new(Recorder { file, written: HashSet::new() })
    });
    let mut recorder = recorder.lock();
    if recorder.written.insert(record.clone()) {
        let line = record.to_line();
        recorder.file.write_all(line.as_bytes()).expect("the record of requests can be written");
    }
}

/// The running test. Only its own thread knows: ask before anything is spawned.
pub fn current_test() -> String {
    let binary = program().map(|path| binary_name(&path)).unwrap_or_default();
    let thread = std::thread::current().name().filter(|name| *name != "main").map(str::to_owned);
    // A runner that starts one process for each test names it on the command line.
    let test = thread.or_else(|| {
        let mut arguments = std::env::args().skip(1);
        arguments.by_ref().find(|argument| argument == "--exact");
        arguments
            .find(|argument| !argument.starts_with('-'))
            .or_else(|| std::env::args().skip(1).find(|argument| argument.contains("::")))
    });
    format!("{binary}::{}", test.unwrap_or_default())
}

/// `client` for `target/debug/deps/client-0123456789abcdef`.
pub fn binary_name(program: &Path) -> String {
    let stem = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    stem.rsplit_once('-').map_or(stem.clone(), |(name, _)| name.to_owned())
}

/// The first line of a record file names the program that wrote it, and when that was built: what
/// an older build wrote does not count.
pub fn build_of(program: &Path) -> Option<String> {
    let modified = fs::metadata(program).ok()?.modified().ok()?;
    let modified = modified.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    Some(format!("{}\t{modified}", program.display()))
}

fn program() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

fn open() -> std::io::Result<File> {
    let program = std::env::current_exe()?;
    let deps = program.parent().unwrap_or(Path::new("."));
    let target = deps.ancestors().nth(2).unwrap_or(deps);
    let folder = target.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let stem = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{stem}.{}.tsv", std::process::id());
    let mut file = File::create(folder.join(name))?;
    writeln!(file, "{}", build_of(&program).unwrap_or_default())?;
    Ok(file)
}
