//! Shows a stream live: `GET /v1/streams/NAME/follow`, as server-sent events or over a WebSocket.
//!
//! A reader pulls from the journal through a short queue. One that takes nothing for a while is
//! told so and cut off; it can go on where it was, and nobody else waits for it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base::limits;
use futures::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use self::pump::{News, Pump};
use super::fault::HttpFault;
use super::{answer_page, judge, refuse_stranger};
use crate::keys::Act;
use crate::keys::guard::Head;
use crate::router::Served;

mod pump;

/// The readers that follow streams.
#[derive(Debug, Clone)]
pub(crate) struct Followers(Arc<Semaphore>);

impl Default for Followers {
    fn default() -> Followers {
        Followers(Arc::new(Semaphore::new(limits::FOLLOWERS_MAX)))
    }
}

/// Where to begin.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct From {
    from: Option<String>,
}

/// `GET /v1/streams/{name}/follow`
pub(crate) async fn get(
    State(served): State<Served>,
    Path(name): Path<String>,
    Query(From { from }): Query<From>,
    Head { client, uri, headers }: Head,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let passed = judge(&served, &name, &headers, &uri);
    let opened = || {
        refuse_stranger(&passed, &name)?;
        let inlet = served.enter(&headers, client, Act::Read)?;
        let stream = inlet.stream(&name)?;
        // A browser that lost the connection says by itself how far it was.
        let last = headers.get("last-event-id").and_then(|it| it.to_str().ok());
        let pump = Pump::new(&inlet, stream, last.or(from.as_deref()))?;
        let place = Arc::clone(&served.followers.0).try_acquire_owned();
        let place = place.map_err(|_full| HttpFault::TooManyFollowers)?;
        Ok::<_, HttpFault>((pump, place))
    };
    let (pump, place) = match opened() {
        Ok(opened) => opened,
        Err(fault) => return answer_page(&passed, false, fault.into_response()),
    };
    match socket {
        Ok(upgrade) => upgrade.on_upgrade(move |socket| over_socket(socket, pump, place)),
        Err(_no_upgrade) => answer_page(&passed, false, as_events(pump, place)),
    }
}

/// Answers with server-sent events.
fn as_events(pump: Pump, place: OwnedSemaphorePermit) -> Response {
    let news = start(pump);
    let events = futures::stream::unfold((news, place), |(mut news, place)| async {
        let event = event_of(news.recv().await?);
        Some((Ok::<_, Infallible>(event), (news, place)))
    });
    let alive = KeepAlive::new().interval(limits::FOLLOW_ALIVE_EVERY);
    Sse::new(events).keep_alive(alive).into_response()
}

fn event_of(news: News) -> Event {
    match news {
        News::Record(text) => Event::default().event("record").data(text),
        // Without data it is no event, but browsers remember it.
        News::Position(position) => Event::default().id(position),
        News::Gap(text) => Event::default().event("gap").data(text),
        News::End(reason) => Event::default().event("end").data(reason),
    }
}

fn start(pump: Pump) -> mpsc::Receiver<News> {
    let (sender, news) = mpsc::channel(limits::FOLLOW_EVENTS_MAX);
    drop(base::task::spawn("follow", pump.run(sender)));
    news
}

/// Close codes of RFC 6455.
const POLICY: u16 = 1008;
const AWAY: u16 = 1001;

/// Sends each record as a text message, and closes with the reason.
async fn over_socket(socket: WebSocket, pump: Pump, place: OwnedSemaphorePermit) {
    let clock = Arc::clone(pump.clock());
    let mut news = start(pump);
    let (mut to, mut from) = socket.split();
    loop {
        let alive = clock.sleep(limits::FOLLOW_ALIVE_EVERY);
        let message = tokio::select! {
            news = news.recv() => match news {
                Some(News::Record(text) | News::Gap(text)) => Message::Text(text.into()),
                Some(News::Position(_)) => continue,
                Some(News::End(reason)) => closing(POLICY, reason),
                None => closing(AWAY, "the program stops".to_owned()),
            },
            // What a client says is not listened to, but pings are answered by reading on.
            said = from.next() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => continue,
            },
            () = alive => Message::Ping(bytes::Bytes::new()),
        };
        let is_last = matches!(message, Message::Close(_));
        let sent = tokio::select! {
            sent = to.send(message) => sent.is_ok(),
            () = clock.sleep(limits::FOLLOW_STALL_MAX) => false,
        };
        if is_last || !sent {
            break;
        }
    }
    drop(place);
}

fn closing(code: u16, reason: String) -> Message {
    Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from(reason) }))
}

#[cfg(test)]
mod tests;
