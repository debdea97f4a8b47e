//! `kith doctor NAME`: can other servers speak with this one? In plain words, with what to do.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;
use kith_federation::examine::{
    Answers, Examination, Keys, Seen, Unreached, WellKnownError, examine,
};
use kith_homeserver::{config::Config, outgoing};
use ruma::ServerName;

use super::say;

/// A certificate that ends sooner should have been renewed.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// By how many seconds clocks may differ before it is worth a word, and before it does harm.
const CLOCK_WARNING: u64 = 10;
const CLOCK_PROBLEM: u64 = 5 * 60;

/// Looks at the server and says what was found.
pub(super) async fn run(config: &Config, server: &ServerName) -> anyhow::Result<()> {
    let examination = examine(server, outgoing::options(&config.outgoing)?).await?;
    let findings = judge(&examination, SystemTime::now());
    for finding in &findings {
        say(finding)?;
    }
    let count = |grade| findings.iter().filter(|finding| finding.grade == grade).count();
    let (problems, warnings) = (count(Grade::Problem), count(Grade::Warning));
    if config.teams().iter().any(|team| team.server_name == server) {
        say(
            "\nThis was seen from this machine. Whether a firewall keeps others out is seen only from \
             elsewhere:\nrun the same command on a machine in another network.",
        )?;
    }
    match (problems, warnings) {
        (0, 0) => say(format_args!("\nOther servers can speak with {server}."))?,
        (0, _) => say(format_args!("\nOther servers can speak with {server}; see the warnings."))?,
        (1, _) => bail!("one problem with {server}"),
        (problems, _) => bail!("{problems} problems with {server}"),
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Good,
    Warning,
    Problem,
}

/// One thing that was seen, and what to do about it.
#[derive(Debug)]
struct Finding {
    grade: Grade,
    what: String,
    fix: Option<String>,
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self { grade: Grade::Good, what: what.into(), fix: None }
    }

    fn warning(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { grade: Grade::Warning, what: what.into(), fix: Some(fix.into()) }
    }

    fn problem(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { grade: Grade::Problem, what: what.into(), fix: Some(fix.into()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Good => "ok      ",
            Grade::Warning => "warning ",
            Grade::Problem => "PROBLEM ",
        };
        write!(f, "{grade} {}", self.what)?;
        match &self.fix {
            Some(fix) => write!(f, "\n         What to do: {fix}"),
            None => Ok(()),
        }
    }
}

/// Every step in its order: the name, the file, the addresses, and each address.
fn judge(seen: &Examination, now: SystemTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(well_known(seen));
    if let Some(services) = &seen.services {
        let targets = services.iter().map(|(host, port)| format!("{host}:{port}"));
        let targets = targets.collect::<Vec<_>>().join(", ");
        findings.push(Finding::good(format!(
            "DNS: an SRV record of {} leads to {targets}",
            seen.authority
        )));
    }
    match &seen.addresses {
        Err(error) => findings.push(Finding::problem(
            format!("DNS: {} cannot be found: {error}", seen.authority),
            format!(
                "at whoever serves your DNS, add an A (and AAAA) record for {} with the server's public \
                 address, or correct the SRV record if there is one",
                seen.authority.host()
            ),
        )),
        Ok(addresses) => {
            let list = addresses.iter().map(|seen| seen.address.to_string());
            let list = list.collect::<Vec<_>>().join(", ");
            findings.push(Finding::good(format!("DNS: {} is at {list}", seen.authority)));
            for address in addresses {
                at_address(&mut findings, seen, address, now);
            }
            if addresses.iter().all(|seen| matches!(seen.found, Err(Unreached::NoRoute))) {
                findings.push(Finding::problem(
                    "none of the addresses could be tried from this machine",
                    "run the command on a machine that has the Internet (and IPv6, if the server has \
                     nothing else)",
                ));
            }
        }
    }
    findings
}

fn well_known(seen: &Examination) -> Option<Finding> {
    let url = format!("https://{}/.well-known/matrix/server", seen.server.host());
    let write = format!(
        "let {url} answer {{\"m.server\": \"HOST:PORT\"}} with status 200, or 404 if the server \
         answers at {} itself",
        seen.server
    );
    Some(match seen.well_known.as_ref()? {
        Ok((name, lifetime)) => {
            let hours = lifetime.as_secs() / 3600;
            Finding::good(format!("{url} leads to {name} (remembered for {hours} h)"))
        }
        Err(error) if error.is_absence() => {
            Finding::good(format!("{url} does not exist: the server answers under its own name"))
        }
        Err(WellKnownError::Request(error)) => Finding::warning(
            format!("{url} cannot be read: {error}"),
            format!("if the server answers elsewhere, {write}"),
        ),
        Err(error) => Finding::problem(format!("{url} is wrong: {error}"), write),
    })
}

fn at_address(findings: &mut Vec<Finding>, seen: &Examination, at: &Seen, now: SystemTime) {
    let address = at.address;
    let host = seen.authority.host();
    let answers = match &at.found {
        Ok(answers) => answers,
        Err(Unreached::NotPermitted) => {
            findings.push(Finding::problem(
                format!("{address}: this is no public address; others cannot connect to it"),
                format!(
                    "let {host} lead to the server's public address; in a private network, allow it in \
                     outgoing.allowed_ranges of every server"
                ),
            ));
            return;
        }
        Err(Unreached::NoRoute) => {
            findings.push(Finding::warning(
                format!("{address}: this machine has no way there (no IPv6?); not checked"),
                "run the command on a machine that has",
            ));
            return;
        }
        Err(Unreached::Tcp(error)) => {
            findings.push(Finding::problem(
                format!("{address}: nobody takes the connection: {error}"),
                format!(
                    "see that the server runs and listens on port {}, and that firewall and router let \
                     it through",
                    address.port()
                ),
            ));
            return;
        }
        Err(Unreached::Tls(error)) => {
            findings.push(Finding::problem(
                format!("{address}: TLS does not work: {error}"),
                tls_fix(error, host),
            ));
            return;
        }
    };
    certificate(findings, address, answers, now);
    match &answers.version {
        Ok(version) => findings.push(Finding::good(format!("{address}: {version} answers"))),
        Err(error) => findings.push(Finding::problem(
            format!("{address}: no Matrix server answers under /_matrix/federation: {error}"),
            "let the proxy pass /_matrix to the server, with the Host header as it came; the listener \
             must serve \"federation\"",
        )),
    }
    match &answers.keys {
        Ok(published) => findings.push(keys(address, published, now)),
        Err(error) => findings.push(Finding::problem(
            format!("{address}: its signing keys are not to be believed: {error}"),
            format!(
                "/_matrix/key/v2/server must be answered by the server named {}, and by no other",
                seen.server
            ),
        )),
    }
    clock(findings, address, answers.clock);
}

/// The texts are rustls's.
fn tls_fix(error: &str, host: &str) -> String {
    if error.contains("expired") {
        "renew the certificate; see why it was not renewed by itself".to_owned()
    } else if error.contains("NotValidForName") || error.contains("not valid for name") {
        format!(
            "get a certificate for {host}, and see that this server or its proxy shows that one"
        )
    } else if error.contains("UnknownIssuer") {
        "use a certificate of a public authority, with all intermediate certificates in the file; for a \
         private one, name it in outgoing.certificate_authorities of every server"
            .to_owned()
    } else {
        format!("see that the port speaks HTTPS, with a certificate for {host}")
    }
}

fn certificate(
    findings: &mut Vec<Finding>,
    address: std::net::SocketAddr,
    answers: &Answers,
    now: SystemTime,
) {
    let Some(validity) = answers.certificate else { return };
    let left = validity.end.duration_since(now).unwrap_or_default();
    // One of a few days' life is renewed when it has few days.
    let life = validity.end.duration_since(validity.begin).unwrap_or_default();
    let days = left.as_secs() / 86_400;
    let what = format!("{address}: the certificate is good for {days} more days");
    findings.push(match left < SOON.min(life / 4) {
        false => Finding::good(what),
        true => Finding::warning(what, "renew it now, and see why it was not renewed by itself"),
    });
}

fn keys(address: std::net::SocketAddr, keys: &Keys, now: SystemTime) -> Finding {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let names = keys.ids.join(", ");
    match u128::from(keys.valid_until) > now {
        true => Finding::good(format!("{address}: its signing keys are signed: {names}")),
        false => Finding::problem(
            format!("{address}: its signing keys ({names}) have expired by their own words"),
            "set the server's clock; restart it if valid_until_ts of /_matrix/key/v2/server stays in the \
             past",
        ),
    }
}

fn clock(findings: &mut Vec<Finding>, address: std::net::SocketAddr, ahead: Option<i64>) {
    let Some(ahead) = ahead else { return };
    let seconds = ahead.unsigned_abs();
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let what = format!("{address}: its clock is {seconds} s {direction} this machine's");
    let fix = "let both machines set their clocks by NTP (systemd-timesyncd, chrony)";
    findings.push(match seconds {
        CLOCK_PROBLEM.. => Finding::problem(what, fix),
        CLOCK_WARNING.. => Finding::warning(what, fix),
        _ => Finding::good(format!("{address}: its clock agrees with this machine's")),
    });
}

#[cfg(test)]
mod tests {
    use kith_federation::{certificate::Validity, client::RequestError};
    use ruma::owned_server_name;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn now() -> SystemTime {
        UNIX_EPOCH + 20_000 * DAY
    }

    fn healthy() -> Examination {
        let end = now() + 60 * DAY;
        let answers = Answers {
            certificate: Some(Validity { begin: end - 90 * DAY, end }),
            version: Ok("Kith 1".to_owned()),
            keys: Ok(Keys { ids: vec!["ed25519:a".to_owned()], valid_until: 20_001 * 86_400_000 }),
            clock: Some(1),
        };
        Examination {
            server: owned_server_name!("a.test"),
            well_known: Some(Ok((owned_server_name!("matrix.a.test:443"), DAY))),
            authority: owned_server_name!("matrix.a.test:443"),
            services: None,
            addresses: Ok(vec![Seen {
                address: "192.0.2.1:443".parse().expect("an address"),
                found: Ok(answers),
            }]),
        }
    }

    /// What is not good, with the grade and the words.
    fn complaints(seen: &Examination) -> Vec<(Grade, String)> {
        let findings = judge(seen, now()).into_iter();
        let bad = findings.filter(|finding| finding.grade != Grade::Good);
        bad.map(|finding| (finding.grade, finding.to_string())).collect()
    }

    fn with_answers(change: impl FnOnce(&mut Answers)) -> Examination {
        let mut seen = healthy();
        let Ok(addresses) = &mut seen.addresses else { unreachable!("as made above") };
        let Ok(answers) = &mut addresses[0].found else { unreachable!("as made above") };
        change(answers);
        seen
    }

    fn unreached(why: Unreached) -> Examination {
        let mut seen = healthy();
        let address = "192.0.2.1:443".parse().expect("an address");
        seen.addresses = Ok(vec![Seen { address, found: Err(why) }]);
        seen
    }

    fn only(seen: &Examination) -> (Grade, String) {
        let mut complaints = complaints(seen);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        complaints.remove(0)
    }

    #[test]
    fn a_healthy_server_is_praised() {
        assert_eq!(complaints(&healthy()), []);
    }

    #[test]
    fn each_problem_is_told_with_what_to_do() {
        let tls = |error: &str| unreached(Unreached::Tls(error.to_owned()));
        let mut nowhere = healthy();
        nowhere.addresses = Err("no record".to_owned());
        let mut file = healthy();
        file.well_known = Some(Err(WellKnownError::Malformed("no m.server".to_owned())));
        for (seen, words) in [
            (nowhere, "add an A (and AAAA) record"),
            (file, "answer {\"m.server\": \"HOST:PORT\"}"),
            (unreached(Unreached::NotPermitted), "no public address"),
            (unreached(Unreached::Tcp("refused".to_owned())), "listens on port 443"),
            (
                tls("invalid peer certificate: Expired: certificate expired"),
                "renew the certificate",
            ),
            (tls("invalid peer certificate: UnknownIssuer"), "intermediate certificates"),
            (
                tls("certificate not valid for name \"matrix.a.test\""),
                "certificate for matrix.a.test",
            ),
            (tls("received corrupt message"), "speaks HTTPS"),
            (
                with_answers(|seen| seen.version = Err("404".to_owned())),
                "let the proxy pass /_matrix",
            ),
            (with_answers(|seen| seen.keys = Err("other".to_owned())), "the server named a.test"),
            (with_answers(|seen| seen.clock = Some(-600)), "600 s behind"),
            (
                with_answers(|seen| seen.keys = Ok(Keys { ids: Vec::new(), valid_until: 1 })),
                "have expired",
            ),
        ] {
            let (grade, text) = only(&seen);
            assert_eq!(grade, Grade::Problem, "{text}");
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn what_may_be_meant_is_a_warning() {
        let mut file = healthy();
        file.well_known = Some(Err(WellKnownError::Request(RequestError::Timeout)));
        let soon = with_answers(|seen| {
            let end = now() + DAY;
            seen.certificate = Some(Validity { begin: end - 90 * DAY, end });
        });
        for (seen, words) in [
            (file, "if the server answers elsewhere"),
            (soon, "good for 1 more days"),
            (with_answers(|seen| seen.clock = Some(30)), "30 s ahead of"),
        ] {
            let (grade, text) = only(&seen);
            assert_eq!(grade, Grade::Warning, "{text}");
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    /// Where there is no IPv6, an IPv6 address says nothing; where nothing could be tried, all is open.
    #[test]
    fn an_address_that_cannot_be_tried_is_no_proof() {
        let mut seen = healthy();
        let Ok(addresses) = &mut seen.addresses else { unreachable!("as made above") };
        let address = "[2001:db8::1]:443".parse().expect("an address");
        addresses.push(Seen { address, found: Err(Unreached::NoRoute) });
        assert_eq!(only(&seen).0, Grade::Warning);
        let grades: Vec<_> = complaints(&unreached(Unreached::NoRoute)).into_iter().collect();
        assert_eq!(grades.last().expect("two").0, Grade::Problem);
    }
}
