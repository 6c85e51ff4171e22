//! Plugs the SQL engine into the console and the HTTP API.

use std::sync::Arc;

use async_trait::async_trait;
use base::Kind;
use query::{Engine, SqlError};
use show::{Answer, Answers, AskError, Question};

use crate::askers::Askers;

/// Answers questions with the engine.
pub(crate) struct EngineAnswers {
    pub(crate) engine: Arc<Engine>,
    pub(crate) askers: Arc<Askers>,
}

#[async_trait]
impl Answers for EngineAnswers {
    async fn ask(&self, question: Question) -> Result<Answer, AskError> {
        let answer = match &question.key {
            None => self.engine.ask(&question.sql).await,
            Some(key) => {
                let asker = self.askers.of_key(key.as_str()).ok_or_else(|| {
                    let message = format!("the key `{key}` may not ask any more");
                    AskError::new(Kind::Invalid, message)
                })?;
                self.engine.ask_as(&asker, &question.sql).await
            }
        };
        let answer = answer.map_err(refusal)?;
        let schema = Arc::clone(&answer.schema);
        let batches = futures::stream::unfold(answer, |mut answer| async {
            let batch = answer.next().await?;
            Some((batch.map_err(refusal), answer))
        });
        Ok(Answer { schema, batches: Box::pin(batches) })
    }
}

/// Says in the console's words why a question has no answer.
pub(crate) fn refusal(error: SqlError) -> AskError {
    AskError { kind: error.kind, message: error.message, help: error.help, position: error.range }
}
