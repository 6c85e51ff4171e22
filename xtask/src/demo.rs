//! From a clone to live charts.

use std::process::Stdio;

use crate::chore::{self, Outcome};
use crate::{console, seed};

/// Builds the console and the program, then runs the shop until it is interrupted.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let started = chore::now();
    let cargo = chore::cargo();
    println!("Mainstem: a shop with 2,000 orders a second.");
    println!(
        "The first time, libraries are compiled for some minutes; later it starts in seconds."
    );
    console::run(&[])?;
    seed::restore();
    // The whole workspace and the profile of the tests: one set of libraries serves both.
    let build = [&cargo, "build", "--workspace", "--locked"];
    chore::step("building the program", &mut chore::command("", &build))?;
    println!(
        "\n  ready to run after {:.0} s; stop it with Ctrl+C\n",
        started.elapsed().as_secs_f32()
    );
    let mut program =
        chore::command("", &["target/debug/mainstem", "run", "examples/shop", "--env", "demo"]);
    program.args(arguments).stdin(Stdio::inherit());
    let status = program.status().map_err(|error| format!("cannot start the program: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the program ended with {status}")) }
}
