//! Delivery streams are made, described, listed, changed and deleted.

use base::{Name, limits};
use journal::StreamSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::book::{Book, Encryption, Entry};
use super::{Delivery, arn_of, delivery_of, destination, fault_of, name_of, not_found, tags};
use crate::aws::Call;
use crate::aws::fault::{ACCOUNT, Fault};
use crate::aws::validate::Constraints;
use crate::aws::wire::Moment;
use crate::inlet::{Inlet, Intake};
use crate::kept::KeptFault;
use crate::refusal::Refusal;

impl From<KeptFault> for Fault {
    fn from(fault: KeptFault) -> Fault {
        Fault::of(&Refusal::from(fault), "")
    }
}

/// Changes what is kept, on a thread that may wait for the disk.
pub(super) async fn change<R: Send + 'static>(
    inlet: &Inlet,
    change: impl FnOnce(&mut Book) -> Result<R, Fault> + Send + 'static,
) -> Result<R, Fault> {
    let inlet = inlet.clone();
    let changed = tokio::task::spawn_blocking(move || inlet.deliveries().change(change)).await;
    changed.map_err(|_panicked: tokio::task::JoinError| Fault::internal())?
}

/// Changes what is kept of one delivery stream; returns it as it is then.
pub(super) async fn change_one(
    inlet: &Inlet,
    name: &str,
    with: impl FnOnce(&mut Entry) -> Result<(), Fault> + Send + 'static,
) -> Result<(), Fault> {
    let Delivery { entry, .. } = delivery_of(inlet, name)?;
    let key = Name::new(name).map_err(|_no_name| not_found(name))?;
    change(inlet, move |book| with(book.entries.entry(key).or_insert(entry))).await
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateAnswer {
    #[serde(rename = "DeliveryStreamARN")]
    arn: String,
    /// Beside what Firehose answers: what of the settings is followed, and how.
    notes: Vec<String>,
}

pub(super) async fn create(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: Map<String, Value> = call.read()?;
    let text = |member: &str| request.get(member).and_then(Value::as_str);
    let mut constraints = Constraints::default();
    let name = name_of(text("DeliveryStreamName"), &mut constraints);
    let kind = text("DeliveryStreamType").unwrap_or(DIRECT);
    constraints.one_of(kind, "deliveryStreamType", &[DIRECT, FROM_KINESIS, "MSKAsSource"]);
    constraints.check()?;
    if call.inlet.deliveries().now().entries.contains_key(name.as_str()) {
        return Err(exists(&name));
    }
    let source = source_of(call.inlet, kind, &request)?;
    let Some(given) = destination::given(&request, "Configuration")? else {
        let message = "Exactly one destination configuration is supported for a Firehose";
        return Err(Fault::invalid_argument(message));
    };
    destination::check(&given, "extendedS3DestinationConfiguration")?;
    let encryption = encryption_of(request.get("DeliveryStreamEncryptionConfigurationInput"))?;
    let entry = Entry {
        created_ms: call.inlet.clock().now_ms(),
        source: source.clone(),
        destination: destination::with_defaults(given),
        encryption,
        tags: tags::read(request.get("Tags"))?,
        ..Entry::default()
    };
    let key = Name::new(&name).map_err(|error| Fault::invalid_argument(error.to_string()))?;
    if !call.inlet.caller().sees(&name) {
        let refusal = call.inlet.stream(&name).map(|_| ()).err();
        return Err(refusal.map_or_else(Fault::internal, |it| fault_of(&it, &name)));
    }
    if source.is_none() {
        make_stream(call.inlet, &key).await?;
    }
    let notes = destination::notes(&entry.destination);
    let (of, taken) = (key.clone(), exists(&name));
    change(call.inlet, move |book| {
        if book.entries.contains_key(&of) {
            return Err(taken);
        }
        if limits::STREAMS_MAX <= book.entries.len() {
            let message = format!("{} delivery streams exist already", limits::STREAMS_MAX);
            return Err(Fault::new("LimitExceededException", message));
        }
        book.entries.insert(of, entry);
        Ok(())
    })
    .await?;
    call.write(&CreateAnswer { arn: arn_of(&name), notes })
}

const DIRECT: &str = "DirectPut";
const FROM_KINESIS: &str = "KinesisStreamAsSource";

fn exists(name: &str) -> Fault {
    let message = format!("Firehose {name} under accountId {ACCOUNT} already exists");
    Fault::new("ResourceInUseException", message)
}

/// Returns the stream that a delivery stream follows, if it is not one of its own.
fn source_of(
    inlet: &Inlet,
    kind: &str,
    request: &Map<String, Value>,
) -> Result<Option<String>, Fault> {
    let arn =
        request.get("KinesisStreamSourceConfiguration").and_then(|it| it.get("KinesisStreamARN"));
    match (kind, arn.and_then(Value::as_str)) {
        (DIRECT, None) => Ok(None),
        (FROM_KINESIS, Some(arn)) => {
            let name = arn.rsplit_once(":stream/").map_or("", |(_, name)| name);
            let stream = inlet.stream(name).map_err(|refusal| Fault::of(&refusal, name))?;
            Ok(Some(stream.name.to_string()))
        }
        (FROM_KINESIS, None) => Err(Fault::invalid_argument(
            "KinesisStreamSourceConfiguration must be provided for KinesisStreamAsSource",
        )),
        (DIRECT, Some(_)) => Err(Fault::invalid_argument(
            "KinesisStreamSourceConfiguration is only for the type KinesisStreamAsSource",
        )),
        _ => Err(Fault::invalid_argument(format!("the type {kind} is not supported"))),
    }
}

/// Makes the stream of a delivery stream, unless a client made one of that name.
async fn make_stream(inlet: &Inlet, name: &Name) -> Result<(), Fault> {
    if let Ok(stream) = inlet.stream(name) {
        if stream.is_open(super::NAME) {
            return Err(exists(name));
        }
        let info = inlet.journal().stream_info(stream.id).map_err(Refusal::from);
        let info = info.map_err(|refusal| fault_of(&refusal, name))?;
        if info.settings.declared {
            return Err(Fault::invalid_argument(format!(
                "the project declares {name}; add \"firehose\" to `from` of [stream.{name}]"
            )));
        }
        return Ok(());
    }
    let (inlet, made) = (inlet.clone(), name.clone());
    let settings = StreamSettings { declared: false, ..StreamSettings::default() };
    let made =
        tokio::task::spawn_blocking(move || inlet.declare(Intake::of_client(made, settings))).await;
    let made = made.map_err(|_panicked: tokio::task::JoinError| Fault::internal())?;
    made.map_err(|refusal| fault_of(&refusal, name))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    delivery_stream_name: Option<String>,
}

impl Named {
    fn name(&self) -> Result<String, Fault> {
        let mut constraints = Constraints::default();
        let name = name_of(self.delivery_stream_name.as_deref(), &mut constraints);
        constraints.check().map(|()| name)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeAnswer {
    delivery_stream_description: Description,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    delivery_stream_name: String,
    #[serde(rename = "DeliveryStreamARN")]
    arn: String,
    delivery_stream_status: &'static str,
    delivery_stream_type: &'static str,
    delivery_stream_encryption_configuration: Value,
    version_id: String,
    create_timestamp: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_timestamp: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceDescription>,
    destinations: Vec<Value>,
    has_more_destinations: bool,
    notes: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SourceDescription {
    kinesis_stream_source_description: KinesisSource,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct KinesisSource {
    #[serde(rename = "KinesisStreamARN")]
    arn: String,
    delivery_start_timestamp: Moment,
}

pub(super) fn describe(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let name = call.read::<Named>()?.name()?;
    let Delivery { entry, .. } = delivery_of(call.inlet, &name)?;
    let source = entry.source.as_ref().map(|it| SourceDescription {
        kinesis_stream_source_description: KinesisSource {
            arn: format!("arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{it}"),
            delivery_start_timestamp: Moment(entry.created_ms),
        },
    });
    let extended = Value::Object(entry.destination.clone());
    let plain = ["RoleARN", "BucketARN", "Prefix", "BufferingHints", "CompressionFormat"]
        .iter()
        .chain(&["EncryptionConfiguration", "CloudWatchLoggingOptions", "ErrorOutputPrefix"])
        .filter_map(|it| Some(((*it).to_owned(), entry.destination.get(*it)?.clone())));
    let plain = Value::Object(plain.collect());
    let description = Description {
        arn: arn_of(&name),
        delivery_stream_status: "ACTIVE",
        delivery_stream_type: if source.is_some() { FROM_KINESIS } else { DIRECT },
        delivery_stream_encryption_configuration: described(entry.encryption.as_ref()),
        version_id: entry.version.to_string(),
        create_timestamp: Moment(entry.created_ms),
        last_update_timestamp: entry.updated_ms.map(Moment),
        source,
        destinations: vec![json!({
            "DestinationId": destination::ID,
            "S3DestinationDescription": plain,
            "ExtendedS3DestinationDescription": extended,
        })],
        has_more_destinations: false,
        notes: destination::notes(&entry.destination),
        delivery_stream_name: name,
    };
    call.write(&DescribeAnswer { delivery_stream_description: description })
}

/// Records are not encrypted at rest, and nobody shall believe they are.
fn described(encryption: Option<&Encryption>) -> Value {
    let Some(wished) = encryption else { return json!({ "Status": "DISABLED" }) };
    let details = "records lie on the disk as they came; encrypt the disk of the data folder";
    let mut described = json!({
        "Status": "ENABLING_FAILED",
        "KeyType": wished.key_type,
        "FailureDescription": { "Type": "UNKNOWN_ERROR", "Details": details },
    });
    if let Some(arn) = &wished.key_arn {
        described["KeyARN"] = arn.as_str().into();
    }
    described
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    limit: Option<i64>,
    delivery_stream_type: Option<String>,
    exclusive_start_delivery_stream_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListAnswer {
    delivery_stream_names: Vec<String>,
    has_more_delivery_streams: bool,
}

/// As many names in one answer as Firehose gives without a limit.
const NAMES_PAGE: i64 = 10;

pub(super) fn list(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: List = call.read()?;
    let mut constraints = Constraints::default();
    if let Some(limit) = request.limit {
        constraints.range(limit, "limit", 1..=10_000);
    }
    let kind = request.delivery_stream_type.as_deref();
    if let Some(kind) = kind {
        constraints.one_of(kind, "deliveryStreamType", &[DIRECT, FROM_KINESIS, "MSKAsSource"]);
    }
    constraints.check()?;
    let book = call.inlet.deliveries().now();
    let follows = |name: &str| book.entries.get(name).is_some_and(|it| it.source.is_some());
    let declared = call.inlet.streams();
    let declared = declared.iter().filter(|it| it.is_open(super::NAME)).map(|it| it.name.clone());
    let made = book.entries.keys().filter(|it| delivery_of(call.inlet, it).is_ok()).cloned();
    let names: std::collections::BTreeSet<Name> = declared.chain(made).collect();
    let after = request.exclusive_start_delivery_stream_name.unwrap_or_default();
    let mut rest = names.into_iter().filter(|it| {
        let is_of_kind = match kind {
            None => true,
            Some(DIRECT) => !follows(it),
            Some(FROM_KINESIS) => follows(it),
            Some(_) => false,
        };
        after.as_str() < it.as_str() && is_of_kind
    });
    let limit = usize::try_from(request.limit.unwrap_or(NAMES_PAGE)).unwrap_or(0);
    let names = rest.by_ref().take(limit).map(|it| it.to_string()).collect();
    let has_more = rest.next().is_some();
    call.write(&ListAnswer { delivery_stream_names: names, has_more_delivery_streams: has_more })
}

pub(super) async fn update(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: Map<String, Value> = call.read()?;
    let text = |member: &str| request.get(member).and_then(Value::as_str).map(str::to_owned);
    let mut constraints = Constraints::default();
    let name = name_of(text("DeliveryStreamName").as_deref(), &mut constraints);
    let version = text("CurrentDeliveryStreamVersionId");
    constraints.required(version.as_ref(), "currentDeliveryStreamVersionId");
    let id = text("DestinationId");
    constraints.required(id.as_ref(), "destinationId");
    constraints.check()?;
    if id.as_deref() != Some(destination::ID) {
        let message = format!("Destination Id {} not found", id.unwrap_or_default());
        return Err(Fault::invalid_argument(message));
    }
    let Some(given) = destination::given(&request, "Update")? else {
        let message = "Exactly one destination update is supported for a Firehose";
        return Err(Fault::invalid_argument(message));
    };
    destination::check(&given, "extendedS3DestinationUpdate")?;
    let (now_ms, of) = (call.inlet.clock().now_ms(), name.clone());
    let version = version.unwrap_or_default();
    change_one(call.inlet, &name, move |entry| {
        if entry.version.to_string() != version {
            let message = format!(
                "Cannot update firehose: {of} since the current version id: {} and specified \
                 version id: {version:.50} do not match",
                entry.version
            );
            return Err(Fault::new("ConcurrentModificationException", message));
        }
        destination::update(&mut entry.destination, given);
        entry.version += 1;
        entry.updated_ms = Some(now_ms);
        Ok(())
    })
    .await?;
    call.write(&json!({}))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let name = call.read::<Named>()?.name()?;
    let found = delivery_of(call.inlet, &name)?;
    if found.is_declared {
        let message = format!(
            "the project declares {name}; take \"firehose\" out of `from` of [stream.{name}]"
        );
        return Err(Fault::new("ResourceInUseException", message));
    }
    let of = name.clone();
    change(call.inlet, move |book| {
        book.entries.remove(of.as_str());
        Ok(())
    })
    .await?;
    call.write(&json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartEncryption {
    delivery_stream_name: Option<String>,
    delivery_stream_encryption_configuration_input: Option<Value>,
}

pub(super) async fn start_encryption(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let request: StartEncryption = call.read()?;
    let name = Named { delivery_stream_name: request.delivery_stream_name }.name()?;
    let wished = encryption_of(request.delivery_stream_encryption_configuration_input.as_ref())?;
    let owned = || Encryption { key_type: "AWS_OWNED_CMK".to_owned(), key_arn: None };
    let wished = wished.unwrap_or_else(owned);
    change_one(call.inlet, &name, move |entry| {
        entry.encryption = Some(wished);
        Ok(())
    })
    .await?;
    call.write(&json!({}))
}

pub(super) async fn stop_encryption(call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let name = call.read::<Named>()?.name()?;
    change_one(call.inlet, &name, |entry| {
        entry.encryption = None;
        Ok(())
    })
    .await?;
    call.write(&json!({}))
}

fn encryption_of(input: Option<&Value>) -> Result<Option<Encryption>, Fault> {
    let Some(input) = input else { return Ok(None) };
    let text = |member: &str| input.get(member).and_then(Value::as_str).map(str::to_owned);
    let (key_type, key_arn) = (text("KeyType").unwrap_or_default(), text("KeyARN"));
    let mut constraints = Constraints::default();
    let member = "deliveryStreamEncryptionConfigurationInput.keyType";
    constraints.one_of(&key_type, member, &["AWS_OWNED_CMK", "CUSTOMER_MANAGED_CMK"]);
    constraints.check()?;
    Ok(Some(Encryption { key_type, key_arn }))
}
