//! `POST /v1/runs/TABLE`: lets a table that is recomputed run now.

use axum::Json;
use axum::extract::{Path, State};
use base::{Kind, Name};

use crate::fault::Refusal;
use crate::pipeline::Begun;
use crate::routes::Show;

pub(crate) async fn begin(
    State(show): State<Show>,
    Path(table): Path<String>,
) -> Result<Json<Begun>, Refusal> {
    let table = Name::new(&table);
    let table = table.map_err(|error| Refusal::new(Kind::Invalid, error.to_string()))?;
    show.pipeline().run_table(table).await.map(Json).map_err(Refusal::of_ours)
}
