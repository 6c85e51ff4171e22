//! The console over a pretended shop, to work on the web pages without the engine:
//! `cargo run --example console`, then `npm run dev` in `web/`.

#![expect(clippy::print_stdout, reason = "says where it listens")]

mod shop;
mod tables;

use std::sync::Arc;

use base::time::SystemClock;
use show::{Hosts, Settings, Show};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let clock = SystemClock::start();
    let shop = Arc::new(shop::Shop::open(Arc::clone(&clock)));
    let settings = Settings { hosts: Hosts::Loopback(Vec::new()) };
    let show = Show::start(settings, Arc::clone(&shop) as _, shop, clock);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:7079").await?;
    println!("ready http={}", listener.local_addr()?);
    axum::serve(listener, show.router()).await
}
