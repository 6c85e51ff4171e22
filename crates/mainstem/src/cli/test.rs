//! `mainstem test`: runs a project's tests in memory; event time is driven by the data.

mod case;
mod compare;

use std::path::PathBuf;
use std::process::ExitCode;

use base::time::SystemClock;
use clap::Args;

use crate::compile::compile;

/// Run the tests of a project: given these records, the tables must hold these rows.
///
/// Nothing is stored and nobody is notified. The exit code is 0 if all tests pass, 1 if one fails,
/// 2 if the project has faults.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The project's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Run only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// Lay NAME.ENV.toml files over NAME.toml, for example `prod`.
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
}

impl Test {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let compiled = match compile(&self.dir, self.env.as_deref(), false).await {
            Ok(compiled) => compiled,
            Err(faults) => {
                eprint!("{}", faults.render(super::has_colour()));
                return Ok(ExitCode::from(2));
            }
        };
        let wanted = |name: &str| self.only.as_deref().is_none_or(|it| name.contains(it));
        let (mut passed, mut failed) = (0, 0);
        for test in compiled.project.tests.values().filter(|it| wanted(&it.name)) {
            let clock = SystemClock::start();
            let failures = case::run(&compiled, test).await?;
            let milliseconds = clock.elapsed().as_millis();
            let (line, _) = test.spot.line_and_column();
            if failures.is_empty() {
                passed += 1;
                println!("pass  {} ({milliseconds} ms)", test.name);
            } else {
                failed += 1;
                println!("FAIL  {} ({}:{line}, {milliseconds} ms)", test.name, test.spot.file.path);
                failures.iter().for_each(|it| println!("{it}"));
            }
        }
        println!("\n{passed} passed, {failed} failed");
        if passed + failed == 0 {
            println!(
                "a test is a section [test.NAME] with given.STREAM and expect.TABLE; see docs/guide"
            );
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
