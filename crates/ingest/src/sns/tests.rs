//! The API of SNS over the router, with somebody who notes what he is to bring.

use std::time::Duration;

use expect_test::{Expect, expect};
use parking_lot::Mutex;

use super::*;
use crate::items::{Ask, Found, ItemFault, ItemTable, Items};
use crate::keys::Key;
use crate::rate::Rate;
use crate::tests::Fixture;

/// Address, headers and body.
type Posted = (String, Vec<(String, String)>, String);

/// Notes what is brought; refuses the first attempts.
#[derive(Default)]
struct Noting {
    told: Mutex<Vec<(String, Message)>>,
    posted: Mutex<Vec<Posted>>,
    mailed: Mutex<Vec<(String, Mail)>>,
    refusals: Mutex<u32>,
}

#[async_trait]
impl Messenger for Noting {
    fn topics(&self) -> Vec<Name> {
        vec![Name::new("oncall").unwrap()]
    }

    fn ways(&self, topic: &Name) -> Vec<String> {
        if topic.as_str() == "oncall" { vec!["webhook".to_owned()] } else { Vec::new() }
    }

    async fn tell(&self, topic: &Name, way: &str, message: &Message) -> Sent {
        assert_eq!(way, "webhook");
        let mut refusals = self.refusals.lock();
        if 0 < *refusals {
            *refusals -= 1;
            return Sent::Again("busy".to_owned());
        }
        self.told.lock().push((topic.to_string(), message.clone()));
        Sent::Taken
    }

    async fn post(&self, address: &str, headers: &[(&str, &str)], body: String) -> Sent {
        if address.contains("gone") {
            return Sent::Refused("410 Gone".to_owned());
        }
        let headers = headers.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        self.posted.lock().push((address.to_owned(), headers, body));
        Sent::Taken
    }

    fn check_mail(&self, to: &str) -> Result<(), String> {
        if to.contains('@') { Ok(()) } else { Err(format!("`{to}` is no address of mail")) }
    }

    fn mail_link(&self) -> Option<String> {
        Some("https://stream.example".to_owned())
    }

    async fn mail(&self, to: &str, mail: &Mail) -> Sent {
        self.mailed.lock().push((to.to_owned(), mail.clone()));
        Sent::Taken
    }
}

/// No table is served by key here.
struct NoItems;

#[async_trait]
impl Items for NoItems {
    fn tables(&self) -> Vec<ItemTable> {
        Vec::new()
    }

    async fn find(&self, _: Ask) -> Result<Found, ItemFault> {
        unreachable!("there are no tables")
    }

    fn takes_puts(&self, _: &str) -> Option<Name> {
        None
    }
}

/// Must be called within a runtime: messages are brought by a task.
fn open(folder: &std::path::Path) -> (Fixture, Arc<Noting>) {
    let mut fixture = Fixture::new();
    fixture.inlet.keep_in(folder).unwrap();
    let noting = Arc::new(Noting::default());
    let messenger: Arc<dyn Messenger> = Arc::clone(&noting) as Arc<dyn Messenger>;
    fixture.router = crate::router_with(fixture.inlet.clone(), Arc::new(NoItems), messenger);
    (fixture, noting)
}

async fn call(fixture: &Fixture, form: &str) -> (u16, String) {
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    let (status, _, body) = fixture.post("/", &headers, form.to_owned()).await;
    (status.as_u16(), String::from_utf8(body).unwrap())
}

/// The text of the first element of that name.
fn text<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{name}: {xml}"));
    rest.split_once("</").unwrap().0
}

async fn refused(fixture: &Fixture, form: &str, expected: &Expect) {
    let (status, body) = call(fixture, form).await;
    expected.assert_eq(&format!("{status} {}: {}", text(&body, "Code"), text(&body, "Message")));
}

/// Waits until `is_so`, while the time of the test passes.
async fn until(fixture: &Fixture, is_so: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        fixture.clock.advance(Duration::from_secs(1));
        pause(Duration::from_millis(5)).await;
    }
    panic!("it does not come to that");
}

const ONCALL: &str = "arn%3Aaws%3Asns%3Aus-east-1%3A000000000000%3Aoncall";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_told_by_the_project_in_order_and_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (fixture, noting) = open(folder.path());
    *noting.refusals.lock() = 3;
    let (_, list) = call(&fixture, "Action=ListTopics").await;
    assert_eq!(text(&list, "TopicArn"), "arn:aws:sns:us-east-1:000000000000:oncall");
    let publish =
        |text: &str| format!("Action=Publish&TopicArn={ONCALL}&Subject=a+b&Message={text}");
    let (status, first) = call(&fixture, &publish("one%20%26%20%E2%98%83")).await;
    assert_eq!(status, 200, "{first}");
    let id = text(&first, "MessageId").to_owned();
    call(&fixture, &publish("two")).await;
    until(&fixture, || noting.told.lock().len() == 2).await;
    let told = noting.told.lock().clone();
    assert_eq!((told[0].1.text.as_str(), told[1].1.text.as_str()), ("one & \u{2603}", "two"));
    assert_eq!((&told[0].1.id, told[0].1.subject.as_deref()), (&id, Some("a b")));
    until(&fixture, || fixture.inlet.letters().count() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_asked_before_it_is_told_and_can_leave() {
    let folder = tempfile::tempdir().unwrap();
    let (fixture, noting) = open(folder.path());
    let subscribe =
        format!("Action=Subscribe&TopicArn={ONCALL}&Protocol=http&Endpoint=http%3A%2F%2Fapp%2Fsns");
    let (_, answer) = call(&fixture, &subscribe).await;
    assert_eq!(text(&answer, "SubscriptionArn"), "pending confirmation");
    until(&fixture, || noting.posted.lock().len() == 1).await;
    let (address, headers, body) = noting.posted.lock()[0].clone();
    let question: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (address.as_str(), question["Type"].as_str()),
        ("http://app/sns", Some("SubscriptionConfirmation"))
    );
    assert!(
        headers.contains(&(
            "x-amz-sns-message-type".to_owned(),
            "SubscriptionConfirmation".to_owned()
        ))
    );
    // Nothing is told before it is confirmed.
    call(&fixture, &format!("Action=Publish&TopicArn={ONCALL}&Message=early")).await;
    until(&fixture, || noting.told.lock().len() == 1).await;
    assert_eq!(noting.posted.lock().len(), 1);
    let link = question["SubscribeURL"].as_str().unwrap();
    let path = link.split_once("localhost").unwrap().1;
    let (status, _, said) = fixture.get(path).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&said));
    call(&fixture, &format!("Action=Publish&TopicArn={ONCALL}&Message=late&Subject=s")).await;
    until(&fixture, || noting.posted.lock().len() == 2).await;
    let told: serde_json::Value = serde_json::from_str(&noting.posted.lock()[1].2).unwrap();
    assert_eq!((told["Message"].as_str(), told["Subject"].as_str()), (Some("late"), Some("s")));
    assert_eq!(told["Timestamp"].as_str().unwrap().len(), "2026-01-05T08:00:00.000Z".len());
    let (_, listed) = call(&fixture, "Action=ListSubscriptions").await;
    let arn = text(&listed, "SubscriptionArn").to_owned();
    // What is kept is there after a restart.
    let book = crate::kept::Kept::<book::Book>::default();
    book.open(folder.path(), book::FILE).unwrap();
    assert!(book.now().subscriptions[&arn].is_confirmed);
    let (status, _) = call(&fixture, &format!("Action=Unsubscribe&SubscriptionArn={arn}")).await;
    assert_eq!(status, 200);
    let (_, listed) = call(&fixture, "Action=ListSubscriptions").await;
    assert!(!listed.contains("http://app/sns"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_that_is_gone_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (fixture, noting) = open(folder.path());
    let subscribe =
        format!("Action=Subscribe&TopicArn={ONCALL}&Protocol=https&Endpoint=https%3A%2F%2Fgone%2F");
    call(&fixture, &subscribe).await;
    let token = fixture.inlet.messages().now().subscriptions.values().next().unwrap().token.clone();
    let confirm = format!("Action=ConfirmSubscription&TopicArn={ONCALL}&Token={token}");
    assert_eq!(call(&fixture, &confirm).await.0, 200);
    let batch = format!(
        "Action=PublishBatch&TopicArn={ONCALL}\
         &PublishBatchRequestEntries.member.1.Id=a&PublishBatchRequestEntries.member.1.Message=x\
         &PublishBatchRequestEntries.member.2.Id=b&PublishBatchRequestEntries.member.2.Message="
    );
    let (status, answer) = call(&fixture, &batch).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("<Failed><member><Id>b</Id><Code>InvalidParameter</Code>"), "{answer}");
    until(&fixture, || noting.told.lock().len() == 1).await;
    until(&fixture, || fixture.inlet.letters().count() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_asked_first_told_then_and_leaves_by_a_button() {
    let folder = tempfile::tempdir().unwrap();
    let (fixture, noting) = open(folder.path());
    let subscribe = |protocol: &str, to: &str| {
        format!("Action=Subscribe&TopicArn={ONCALL}&Protocol={protocol}&Endpoint={to}")
    };
    for protocol in ["email", "email-json"] {
        let (status, answer) = call(&fixture, &subscribe(protocol, "ann%40b.example")).await;
        assert_eq!((status, text(&answer, "SubscriptionArn")), (200, "pending confirmation"));
    }
    until(&fixture, || noting.mailed.lock().len() == 2).await;
    // Whoever subscribes again is asked again.
    call(&fixture, &subscribe("email", "ann%40b.example")).await;
    until(&fixture, || noting.mailed.lock().len() == 3).await;
    let asked: Vec<(String, Mail)> = noting.mailed.lock().drain(..).collect();
    assert!(asked.iter().all(|(to, mail)| to == "ann@b.example" && mail.unsubscribe.is_none()));
    assert_eq!(asked[2].1.subject, "Confirm the subscription to oncall");
    let json = asked.iter().find(|(_, mail)| mail.text.starts_with('{')).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json.1.text).unwrap();
    assert_eq!(json["Type"], "SubscriptionConfirmation");
    let link = asked[2].1.text.lines().find(|it| it.starts_with("https://")).unwrap();
    let links = [json["SubscribeURL"].as_str().unwrap(), link];
    for link in links {
        let path = link.strip_prefix("https://stream.example").unwrap();
        assert_eq!(fixture.get(path).await.0, 200);
    }
    let message = "%7B%22default%22%3A%22all%22%2C%22email%22%3A%22mail%22%7D";
    let publish =
        format!("Action=Publish&TopicArn={ONCALL}&MessageStructure=json&Message={message}");
    let (status, answer) = call(&fixture, &publish).await;
    assert_eq!(status, 200, "{answer}");
    until(&fixture, || noting.mailed.lock().len() == 2 && noting.told.lock().len() == 1).await;
    assert_eq!(noting.told.lock()[0].1.text, "all");
    let mut told: Vec<Mail> = noting.mailed.lock().drain(..).map(|(_, mail)| mail).collect();
    told.sort_by_key(|it| it.text.starts_with('{'));
    let leave = told[0].unsubscribe.clone().unwrap();
    assert_eq!(
        told[0].text,
        format!(
            "mail\n\n--\nTo stop receiving messages of this topic, visit this link:\n{leave}\n"
        )
    );
    let json: serde_json::Value = serde_json::from_str(&told[1].text).unwrap();
    assert_eq!(
        (json["Message"].as_str(), told[0].id.as_str()),
        (Some("all"), text(&answer, "MessageId"))
    );
    // What only looks at links ends nothing; the button does.
    let path = leave.strip_prefix("https://stream.example").unwrap();
    let (status, _, page) = fixture.get(path).await;
    assert!(status == 200 && String::from_utf8_lossy(&page).contains("<form method=\"post\">"));
    assert_eq!(fixture.inlet.messages().now().subscriptions.len(), 2);
    let (status, _, _) = fixture.post(path, &[], String::new()).await;
    assert_eq!((status.as_u16(), fixture.inlet.messages().now().subscriptions.len()), (200, 1));
    assert_eq!(fixture.get(path).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_in_the_words_of_sns() {
    let folder = tempfile::tempdir().unwrap();
    let (fixture, _) = open(folder.path());
    let none = "arn:aws:sns:us-east-1:000000000000:none";
    refused(
        &fixture,
        &format!("Action=Publish&TopicArn={none}&Message=x"),
        &expect!["404 NotFound: Topic does not exist"],
    )
    .await;
    refused(
        &fixture,
        &format!("Action=Publish&TopicArn={ONCALL}&Message="),
        &expect!["400 InvalidParameter: Invalid parameter: Empty message"],
    )
    .await;
    refused(
        &fixture,
        &format!("Action=Subscribe&TopicArn={ONCALL}&Protocol=sqs&Endpoint=arn:aws:sqs:x"),
        &expect![
            "400 InvalidParameter: Invalid parameter: the protocol sqs is not served here; subscribe an http or https address, or one of mail"
        ],
    )
    .await;
    refused(
        &fixture,
        &format!("Action=Subscribe&TopicArn={ONCALL}&Protocol=email&Endpoint=ann"),
        &expect![
            "400 InvalidParameter: Invalid parameter: Email address: `ann` is no address of mail"
        ],
    )
    .await;
    refused(
        &fixture,
        &format!("Action=DeleteTopic&TopicArn={ONCALL}"),
        &expect!["400 InvalidParameter: the project declares it; take [notify.oncall] out of it"],
    )
    .await;
    refused(
        &fixture,
        "Action=SetSMSAttributes",
        &expect!["400 InvalidAction: the action SetSMSAttributes is not valid for this endpoint."],
    )
    .await;
    let key = Key {
        name: Name::new("app").unwrap(),
        id: "app".to_owned(),
        secret: "a secret for the app".to_owned(),
        may: vec![Act::Write],
        streams: None,
        limit: Rate::default(),
    };
    fixture.inlet.keys().replace(vec![key], Duration::ZERO);
    refused(
        &fixture,
        &format!("Action=Publish&TopicArn={ONCALL}&Message=x"),
        &expect!["403 MissingAuthenticationToken: Missing Authentication Token"],
    )
    .await;
}

/// Lets real time pass: what is waited for happens on other threads.
async fn pause(span: Duration) {
    base::time::SystemClock::start().sleep(span).await;
}
