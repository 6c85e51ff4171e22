//! Mails to a server that takes them, refuses them, or hangs up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base::time::SystemClock;
use base::{Name, task};
use expect_test::expect;
use parking_lot::Mutex;
use spec::{NotifyFormat, Secret, Spot};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::notifier::tests::{firing, now_ms, serve, settings, settle, state};
use crate::notifier::{Notifier, Settings};

/// What the server does instead of taking a mail, one for each connection.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    None,
    /// Answers a command that begins so with this line.
    Says(&'static str, &'static str),
    /// Takes the mail, and hangs up before it says so.
    HangsUp,
    /// Never greets.
    Silent,
}

/// Recipient and text of a mail.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

struct Server {
    address: String,
    seen: Seen,
}

impl Server {
    async fn start(troubles: &[Trouble]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("smtp://me:a b@c@{}", listener.local_addr().unwrap());
        let seen = Seen::default();
        let of = Arc::clone(&seen);
        let mut troubles: VecDeque<Trouble> = troubles.iter().copied().collect();
        task::spawn("smtp", async move {
            while let Ok((socket, _)) = listener.accept().await {
                let trouble = troubles.pop_front().unwrap_or(Trouble::None);
                let seen = Arc::clone(&of);
                task::spawn("smtp", async move { speak(socket, trouble, &seen).await });
            }
        });
        Server { address, seen }
    }
}

/// Speaks with one client until it leaves.
async fn speak(socket: TcpStream, trouble: Trouble, seen: &Seen) -> Option<()> {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    if matches!(trouble, Trouble::Silent) {
        std::future::pending::<()>().await;
    }
    write.write_all(b"220 here\r\n").await.ok()?;
    let mut to = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Trouble::Says(command, answer) = trouble
            && line.starts_with(command)
        {
            write.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
            continue;
        }
        let answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-here\r\n250-8BITMIME\r\n250 AUTH PLAIN",
            "AUTH" => {
                assert_eq!(line, "AUTH PLAIN AG1lAGEgYkBj", "me and `a b@c`");
                "235 welcome"
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.ok()?;
                let mut text = String::new();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "." {
                        break;
                    }
                    text += &format!("{line}\n");
                }
                seen.lock().push((to.clone(), text));
                if matches!(trouble, Trouble::HangsUp) {
                    return None;
                }
                "250 taken"
            }
            "RCPT" => {
                to = line.clone();
                "250 fine"
            }
            "QUIT" => "221 bye",
            _ => "250 fine",
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
    None
}

fn project(smtp: &str) -> spec::Mail {
    spec::Mail {
        spot: Spot::outside("a.toml", ""),
        smtp: Secret::new(smtp),
        from: spec::Mailbox {
            name: Some("Shop, Paris".to_owned()),
            address: "alerts@shop.example".to_owned(),
        },
        link: None,
    }
}

fn notify(email: &[&str], webhook: Option<&str>) -> BTreeMap<Name, spec::Notify> {
    let name = Name::new("oncall").unwrap();
    let notify = spec::Notify {
        name: name.clone(),
        spot: Spot::outside("notify.toml", ""),
        webhook: webhook.map(Secret::new),
        format: NotifyFormat::Json,
        email: email.iter().map(|it| spec::Mailbox::parse(it).unwrap()).collect(),
        log: false,
        description: None,
    };
    BTreeMap::from([(name, notify)])
}

fn start(server: &Server, email: &[&str], webhook: Option<&str>) -> Notifier {
    start_with(server, email, webhook, settings())
}

fn start_with(
    server: &Server,
    email: &[&str],
    webhook: Option<&str>,
    settings: Settings,
) -> Notifier {
    let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let settings = Settings { mail_timeout: Duration::from_millis(500), ..settings };
    let (targets, mail) = (notify(email, webhook), project(&server.address));
    Notifier::start(&targets, Some(&mail), settings, SystemClock::start()).unwrap()
}

/// The header lines of that name.
fn headers<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let head = text.split("\n\n").next().unwrap();
    head.lines().filter(|it| it.starts_with(name)).collect()
}

#[tokio::test]
async fn a_mail_is_what_people_and_their_programs_expect() {
    let server = Server::start(&[]).await;
    let mailer = Mailer::new(&project(&server.address), Duration::from_secs(5)).unwrap();
    let mail = Mail {
        id: "m1".to_owned(),
        thread: Some("t1".to_owned()),
        subject: "Till 3: grüße, \u{2603}".to_owned(),
        text: "one\n.\n..two \u{2603}\n".to_owned(),
        at_ms: 1_767_600_000_000,
        unsubscribe: Some("https://h/leave?token=1".to_owned()),
    };
    let to = mailbox(&spec::Mailbox::parse("Ann <ann@b.example>").unwrap()).unwrap();
    assert_eq!(mailer.send(&to, &mail).await, Attempt::Delivered);
    let (recipient, text) = server.seen.lock().remove(0);
    assert_eq!(recipient, "RCPT TO:<ann@b.example>");
    expect![[r#"
        From: =?utf-8?b?U2hvcCwgUGFyaXM=?= <alerts@shop.example>
        To: Ann <ann@b.example>
        Subject: Till 3: =?utf-8?b?Z3LDvMOfZSwg4piD?=
        Message-ID: <m1@shop.example>
        Date: Mon, 05 Jan 2026 08:00:00 +0000
        Auto-Submitted: auto-generated
        Content-Type: text/plain; charset=utf-8
        References: <t1@shop.example>
        List-Unsubscribe: <https://h/leave?token=1>
        List-Unsubscribe-Post: List-Unsubscribe=One-Click
        Content-Transfer-Encoding: base64

        b25lDQouDQouLnR3byDimIMNCg==
    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn a_mail_is_tried_until_it_is_taken_and_is_always_the_same() {
    let troubles = [
        Trouble::Says("RCPT", "450 4.2.1 try later"),
        Trouble::Silent,
        Trouble::HangsUp,
        Trouble::Says("AUTH", "454 not now"),
        Trouble::Says("EHLO", "421 too many"),
    ];
    let server = Server::start(&troubles).await;
    let notifier = start(&server, &["ann@b.example"], None);
    let mut alert = firing();
    let id = alert.outbox().next().unwrap().0.id.clone();
    settle(&notifier, &mut alert).await;
    let state = state(&notifier);
    assert_eq!((state.delivered, state.failed, state.retries), (1, 0, 5));
    assert_eq!((state.attempts_in_vain, state.last_error), (0, None));
    let seen = server.seen.lock().clone();
    assert_eq!(seen.len(), 2, "one before the server hung up, one that it took");
    assert_eq!(seen[0], seen[1]);
    assert_eq!(headers(&seen[0].1, "Message-ID"), [format!("Message-ID: <{id}@shop.example>")]);
    assert_eq!(headers(&seen[0].1, "Subject"), ["Subject: [shop] Firing: Spike in FR: 1"]);
}

#[tokio::test]
async fn a_refusal_for_good_is_told_and_given_up() {
    for (trouble, wrong) in [
        (Trouble::Says("RCPT", "550 5.1.1 no such user"), "ann@b.example: 550 5.1.1 no such user"),
        (Trouble::Says("AUTH", "535 5.7.8 wrong"), "ann@b.example: 535 5.7.8 wrong"),
        (Trouble::Says("DATA", "554 spam\u{7}"), "ann@b.example: 554 spam"),
    ] {
        let server = Server::start(&[trouble]).await;
        let notifier = start(&server, &["ann@b.example"], None);
        settle(&notifier, &mut firing()).await;
        let state = state(&notifier);
        assert_eq!((state.delivered, state.failed, state.retries), (0, 1, 0));
        assert_eq!(state.last_error.as_deref(), Some(wrong));
        assert!(server.seen.lock().is_empty());
    }
}

#[tokio::test]
async fn a_mailbox_that_takes_nothing_repeats_no_mail_to_others() {
    let (url, script) = serve(&[]).await;
    let later = Trouble::Says("RCPT TO:<bob", "450 later");
    let server = Server::start(&[later; 100]).await;
    let email = ["ann@b.example", "bob@b.example"];
    let notifier = start(&server, &email, Some(&url));
    let mut alert = firing();
    notifier.exchange(&mut alert);
    let to = |name: &str| {
        let seen = server.seen.lock();
        seen.iter().filter(|(to, _)| to.contains(name)).count()
    };
    // Both mailboxes are tried at the same time.
    for _ in 0..2_000 {
        notifier.exchange(&mut alert);
        if 4 < state(&notifier).retries && to("ann") == 1 {
            break;
        }
        SystemClock::start().sleep(Duration::from_millis(1)).await;
    }
    assert!(state(&notifier).last_error.unwrap().starts_with("bob@b.example: 450 later"));
    assert_eq!((to("ann"), to("bob"), script.seen.lock().len()), (1, 0, 1));
    settle(&notifier, &mut alert).await;
    assert_eq!((to("ann"), to("bob"), script.seen.lock().len()), (1, 1, 1));
    assert_eq!((state(&notifier).delivered, state(&notifier).failed), (1, 0));
}

#[tokio::test]
async fn an_old_mail_is_given_up_and_a_server_that_is_away_is_named() {
    let server = Server { address: "smtp://127.0.0.1:1".to_owned(), seen: Seen::default() };
    let settings = Settings { tried: Duration::ZERO, ..settings() };
    let notifier = start_with(&server, &["ann@b.example"], None, settings);
    settle(&notifier, &mut firing()).await;
    let error = state(&notifier).last_error.unwrap();
    assert!(error.starts_with("given up: ann@b.example: cannot reach the mail server"), "{error}");
}

#[tokio::test]
async fn messages_are_told_by_each_way_and_without_a_server_not_by_mail() {
    let server = Server::start(&[]).await;
    let notifier = start(&server, &["ann@b.example"], Some("http://127.0.0.1:1/"));
    assert_eq!(notifier.ways("oncall"), ["webhook", "email ann@b.example"]);
    let message = crate::Message {
        id: "m1".to_owned(),
        notify: Name::new("oncall").unwrap(),
        subject: None,
        text: "text".to_owned(),
        at_ms: now_ms(),
    };
    assert_eq!(notifier.tell(&message, "email ann@b.example").await, Attempt::Delivered);
    assert!(matches!(
        notifier.tell(&message, "email bob@b.example").await,
        Attempt::Refused { .. }
    ));
    assert_eq!(server.seen.lock().len(), 1);
    notifier.check_mail("bob@b.example").unwrap();
    notifier.check_mail("bob").unwrap_err();
    let none = Notifier::start(&BTreeMap::new(), None, settings(), SystemClock::start()).unwrap();
    assert!(none.check_mail("bob@b.example").unwrap_err().contains("[project.mail]"));
}

#[tokio::test]
async fn no_password_goes_over_a_line_that_anyone_can_read() {
    // A server elsewhere that knows no TLS; this one only seems to be elsewhere.
    let server = Server::start(&[]).await;
    let mut mailer = Mailer::new(&project(&server.address), Duration::from_secs(5)).unwrap();
    let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tls = TlsParameters::builder("localhost".to_owned()).build_rustls().unwrap();
    mailer.server.safety = MailSafety::StartTls;
    mailer.tls = Some(tls);
    let to = mailbox(&spec::Mailbox::parse("ann@b.example").unwrap()).unwrap();
    let mail = firing().outbox().next().unwrap().0.to_mail("shop");
    let Attempt::Refused { reason } = mailer.send(&to, &mail).await else { panic!("it was sent") };
    assert_eq!(reason, "STARTTLS is not supported on this server");
}
