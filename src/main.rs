//! Parses the command line and does what it says.

fn main() -> std::process::ExitCode {
    polywatch::cli::main()
}
