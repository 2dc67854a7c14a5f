//! `polywatch graph`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;

use super::output::{self, Failed};
use crate::core::graph::{Graph as Drawn, Wanted};
use crate::offline::{graph, input, manifests, policies, report};

/// How the answer of an operator begins that does not know the object.
const UNKNOWN: &str = "no policy looks at it";
/// Longest answer of an operator, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints what depends on an object, through the lookups of policies, and what it depends on.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --from: what policies make of manifests. With --from: what a running operator knows,
which has to be started with --debug-listen; kubectl port-forward reaches it.

Exit code: 0, 1 when no policy looks at the object, 2 when an input can not be read.

Examples:
  polywatch graph Service/shop/checkout -f policies/ -r manifests/
  polywatch graph Service/shop/checkout --from http://127.0.0.1:6060
  polywatch graph Service/shop/checkout -f policies/ -r manifests/ -o dot | dot -Tsvg > graph.svg")]
pub struct Graph {
    /// The object: KIND/NAMESPACE/NAME, or KIND/NAME where it lives in no namespace; KIND.GROUP tells kinds of the
    /// same name apart
    #[arg(value_name = "OBJECT")]
    object: Wanted,

    /// Policies: a file, a folder, or - for standard input; may be given again
    #[arg(short = 'f', long = "filename", value_name = "POLICIES", required_unless_present = "from")]
    policies: Vec<PathBuf>,

    /// Manifests: a file, a folder, or - for standard input; may be given again
    #[arg(short = 'r', long = "resources", value_name = "MANIFESTS", required_unless_present = "from")]
    resources: Vec<PathBuf>,

    /// Ask a running operator instead, at the address of its --debug-listen
    #[arg(long, value_name = "URL", conflicts_with_all = ["policies", "resources", "namespace"])]
    from: Option<Uri>,

    /// Namespace of objects that live in one and name none
    #[arg(short = 'n', long, value_name = "NAME", default_value = "default")]
    namespace: String,

    /// Form of the graph
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    output: Form,
}

/// Forms of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A tree for people
    Text,
    /// Objects and what each depends on
    Json,
    /// For Graphviz
    Dot,
}

impl Graph {
    pub fn execute(self) -> ExitCode {
        output::exit(self.run())
    }

    fn run(self) -> Result<bool, Failed> {
        let drawn = match &self.from {
            Some(from) => ask(from, &self.object)?,
            None => self.draw()?,
        };
        let Some(drawn) = drawn else {
            eprintln!("no policy looks at {}, or it does not exist", self.object);
            return Ok(false);
        };
        output::print(&match self.output {
            Form::Text => report::tree(&drawn),
            Form::Dot => report::dot(&drawn),
            Form::Json => {
                let text = serde_json::to_string_pretty(&drawn);
                text.map_err(|error| Failed::Refused(error.to_string()))? + "\n"
            }
        })?;
        Ok(true)
    }

    fn draw(&self) -> Result<Option<Drawn>, Failed> {
        input::stdin_once(self.policies.iter().chain(&self.resources))?;
        let policies = policies::read(&input::read_all(&self.policies)?)?;
        let manifests = manifests::read(&input::read_all(&self.resources)?, &self.namespace)?;
        Ok(graph::graph(&policies, &manifests, &self.object, Timestamp::now()))
    }
}

/// Asks an operator.
fn ask(from: &Uri, object: &Wanted) -> Result<Option<Drawn>, Failed> {
    let refused = |why: String| Failed::Refused(format!("{from} does not answer: {why}"));
    let object = in_query(&object.to_string());
    let address = format!("{}/debug/graph?object={object}", from.to_string().trim_end_matches('/'));
    let address: Uri = address.parse().map_err(|error| refused(format!("{error}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| refused(error.to_string()))?;
    let exchange = async {
        let client: Client<_, Empty<&[u8]>> = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.get(address).await.map_err(|error| {
            let why =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            refused(why)
        })?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| refused(error.to_string()))?.to_bytes();
        match status.as_u16() {
            200 => serde_json::from_slice(&body).map(Some).map_err(|error| refused(error.to_string())),
            404 if body.starts_with(UNKNOWN.as_bytes()) => Ok(None),
            404 => Err(refused("it has no /debug/graph; give the address of --debug-listen".to_owned())),
            code => Err(refused(format!("{code} {}", String::from_utf8_lossy(&body).trim()))),
        }
    };
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange).await });
    answer.unwrap_or_else(|_| Err(refused(format!("nothing within {} s", PATIENCE.as_secs()))))
}

/// As it may stand in a query, in which names such as that of a ClusterRole could mean something.
fn in_query(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::in_query;

    #[test]
    fn names_mean_nothing_in_a_query() {
        assert_eq!(in_query("ClusterRole/system:a&b=c d%é"), "ClusterRole/system:a%26b%3Dc%20d%25%C3%A9");
    }
}
