//! Is everything there? GStreamer's elements are plugins of the system's packages.

/// What recordings and relaying through GStreamer need, and Debian's package for it.
const NEEDED: [(&str, &str); 10] = [
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("appsink", "gstreamer1.0-plugins-base"),
    ("queue", "libgstreamer1.0-0"),
    ("filesink", "libgstreamer1.0-0"),
    ("rtpjitterbuffer", "gstreamer1.0-plugins-good"),
    ("rtpopusdepay", "gstreamer1.0-plugins-good"),
    ("rtpvp8depay", "gstreamer1.0-plugins-good"),
    ("rtph264depay", "gstreamer1.0-plugins-good"),
    ("webmmux", "gstreamer1.0-plugins-good"),
    ("matroskamux", "gstreamer1.0-plugins-good"),
];

#[derive(Debug, thiserror::Error)]
pub enum MissingElements {
    #[error("GStreamer cannot be started: {0}")]
    NoGStreamer(gstreamer::glib::Error),
    #[error("GStreamer has no {elements}: install {packages}")]
    Missing { elements: String, packages: String },
}

/// Starts GStreamer and names all that is missing; to be called before either is offered.
pub fn check() -> Result<(), MissingElements> {
    gstreamer::init().map_err(MissingElements::NoGStreamer)?;
    let there = |name: &str| gstreamer::ElementFactory::find(name).is_some();
    missing(there)
}

fn missing(there: impl Fn(&str) -> bool) -> Result<(), MissingElements> {
    let missing = || NEEDED.iter().filter(|(name, _)| !there(name));
    if missing().next().is_none() {
        return Ok(());
    }
    let elements: Vec<_> = missing().map(|(name, _)| *name).collect();
    let mut packages: Vec<_> = missing().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    Err(MissingElements::Missing { elements: elements.join(", "), packages: packages.join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_package_that_has_it() {
        let error =
            missing(|name| !name.starts_with("rtp") && !name.starts_with("app")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "GStreamer has no appsrc, appsink, rtpjitterbuffer, rtpopusdepay, rtpvp8depay, rtph264depay: \
             install gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
        );
        assert!(missing(|_| true).is_ok());
    }

    #[test]
    fn this_machine_has_everything() {
        check().unwrap();
    }
}
