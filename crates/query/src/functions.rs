//! The functions of our dialect, one file each; the list in this file is the whole registration.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

mod postgres;
pub mod to_char;
pub mod window;

/// Our functions, in the order of the reference.
pub fn all() -> Vec<ScalarUDF> {
    let windows = window::Kind::ALL.map(|it| ScalarUDF::from(window::WindowStart::new(it)));
    let others =
        [ScalarUDF::from(window::WindowEnd::new()), ScalarUDF::from(to_char::ToChar::new())];
    windows.into_iter().chain(others).collect()
}

/// Adds our functions, and those that read JSON text (`->`, `->>`, `json_get` and its family).
///
/// # Errors
/// When the session refuses functions.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<(), DataFusionError> {
    datafusion_functions_json::register_all(registry)?;
    for function in all() {
        registry.register_udf(Arc::new(function))?;
    }
    Ok(())
}

/// Adds what PostgreSQL's clients call and the library for their catalog lacks.
pub(crate) fn register_postgres(session: &SessionContext) {
    for (name, answer) in postgres::ANSWERS {
        session.register_udf(ScalarUDF::from(postgres::Constant::new(name, answer.clone())));
    }
}
