//! What PostgreSQL's clients call about functions, where any answer will do: there are no functions
//! of users to list.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// The functions and what they always say.
pub(super) const ANSWERS: &[(&str, ScalarValue)] = &[
    ("pg_function_is_visible", ScalarValue::Boolean(Some(true))),
    ("pg_get_function_result", ScalarValue::Utf8(None)),
    ("pg_get_function_arguments", ScalarValue::Utf8(None)),
];

/// A function of one argument that always says the same.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Constant {
    name: &'static str,
    answer: ScalarValue,
    signature: Signature,
}

impl Constant {
    pub(super) fn new(name: &'static str, answer: ScalarValue) -> Constant {
        Constant { name, answer, signature: Signature::any(1, Volatility::Stable) }
    }
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.answer.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.answer.clone()))
    }
}
