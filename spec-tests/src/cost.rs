//! What does something cost? Processor time, which a busy machine does not change much.

/// A clock tick of `/proc`, in milliseconds: `USER_HZ` is 100 on every Linux that we run on.
const TICK_MS: f64 = 10.0;

/// User and system time of this process so far, in milliseconds.
pub fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    // The name of the process, in brackets, may hold spaces: fields are counted after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok());
    (field(11).unwrap_or(0.0) + field(12).unwrap_or(0.0)) * TICK_MS
}
