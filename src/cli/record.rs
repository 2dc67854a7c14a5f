//! `polywatch record`.

use std::collections::BTreeSet;
use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;

use super::asked_to_stop;
use super::output::{self, Failed};
use crate::capture::{self, CaptureError, Options, Wanted};
use crate::core::policy::CompiledPolicy;
use crate::offline::{input, policies};

/// Records what happens to objects of a cluster, for polywatch check --history: one JSON line an event.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes to standard output and tells its progress on standard error. It needs list and watch for the
kinds, and nothing else; values of Secrets are replaced while they are read. Ends at Ctrl-C.

Exit code: 0 recorded, 1 recorded, but some kind is missing or incomplete, 2 nothing recorded.

Examples:
  polywatch record -f policies/ --for 1h > events.jsonl
  polywatch record --kind v1/Pod --kind apps/v1/Deployment -n shop > events.jsonl
  polywatch record -f policies/ --max-events 1000 | polywatch check -f policies/ --history -")]
pub struct Record {
    /// Policies whose kinds are recorded: a file, a folder, or - for standard input; may be given again
    #[arg(short = 'f', long = "filename", value_name = "POLICIES", required_unless_present = "kinds")]
    policies: Vec<PathBuf>,

    /// A kind to record, such as v1/Pod, apps/v1/Deployment or apps/*/Deployment; may be given again
    #[arg(long = "kind", value_name = "APIVERSION/KIND", value_parser = wanted)]
    kinds: Vec<Wanted>,

    /// Only objects of this namespace [default: all]
    #[arg(short = 'n', long, value_name = "NAME")]
    namespace: Option<String>,

    /// End after this time, such as 90s, 15m or 2h [default: at Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    limit: Option<Duration>,

    /// End after this many events
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    max_events: Option<u64>,

    /// Context of the kubeconfig to use, instead of its current one
    #[arg(long, env = "POLYWATCH_CONTEXT", value_name = "NAME")]
    context: Option<String>,
}

impl Record {
    pub fn execute(self) -> ExitCode {
        output::exit(self.run())
    }

    fn run(self) -> Result<bool, Failed> {
        let mut kinds: BTreeSet<Wanted> = self.kinds.into_iter().collect();
        if !self.policies.is_empty() {
            input::stdin_once(&self.policies)?;
            let policies = policies::read(&input::read_all(&self.policies)?)?;
            kinds.extend(policies.iter().flat_map(|policy| kinds_of(policy)));
        }
        let options = Options {
            context: self.context,
            kinds,
            namespace: self.namespace,
            limit: self.limit,
            max_events: self.max_events,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let out = BufWriter::new(io::stdout());
        let captured =
            runtime.block_on(capture::run(options, asked_to_stop(), out, |line| eprintln!("{line}")));
        let captured = captured.map_err(|error| match error {
            CaptureError::Write(error) => Failed::Write(error),
            other => Failed::Refused(other.to_string()),
        })?;
        eprintln!("{} events recorded", captured.events);
        captured.incomplete.iter().for_each(|line| eprintln!("incomplete: {line}"));
        Ok(captured.incomplete.is_empty())
    }
}

fn kinds_of(policy: &CompiledPolicy) -> impl Iterator<Item = Wanted> {
    let namespaces =
        || Wanted { group: String::new(), version: Some("v1".to_owned()), kind: "Namespace".to_owned() };
    let targets = policy.selections.iter().map(|selection| Wanted {
        group: selection.target.group.clone(),
        version: selection.target.version.clone(),
        kind: selection.target.kind.clone(),
    });
    targets.chain(policy.needs_namespaces().then(namespaces))
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let (group, version, kind) = match parts.as_slice() {
        [version, kind] => ("", *version, *kind),
        [group, version, kind] => (*group, *version, *kind),
        _ => {
            return Err(
                "write VERSION/KIND or GROUP/VERSION/KIND, such as v1/Pod or apps/v1/Deployment".to_owned()
            );
        }
    };
    if parts.contains(&"") {
        return Err("a part of it is empty".to_owned());
    }
    let version = (version != "*").then(|| version.to_owned());
    Ok(Wanted { group: group.to_owned(), version, kind: kind.to_owned() })
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<SignedDuration> = text.parse().ok();
    let duration = parsed.and_then(|duration| Duration::try_from(duration).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write a time such as 90s, 15m or 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_times_are_read_or_refused() {
        assert_eq!(wanted("v1/Pod").map(|w| w.to_string()).as_deref(), Ok("v1/Pod"));
        assert_eq!(wanted("apps/*/Deployment").map(|w| w.to_string()).as_deref(), Ok("apps/*/Deployment"));
        assert!(wanted("Pod").is_err() && wanted("a/b/c/d").is_err() && wanted("/Pod").is_err());
        assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
        assert!(duration("soon").is_err() && duration("-5s").is_err() && duration("0s").is_err());
    }
}
