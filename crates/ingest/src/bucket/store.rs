//! Stores in clouds: how their addresses are written, and which settings they have.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::nearest;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use object_store::path::Path as Key;
use object_store::{ClientConfigKey, ObjectStore, ObjectStoreScheme};
use url::Url;

use crate::door::OptionFault;

/// A kind of store. The library passes over settings that it does not know, so they are looked at
/// before.
struct Kind {
    /// The settings that most need.
    usual: &'static [&'static str],
    knows: fn(&str) -> bool,
}

static S3: Kind = Kind {
    usual: &[
        "aws_region",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_endpoint",
        "aws_allow_http",
        "aws_skip_signature",
    ],
    knows: |it| it.parse::<AmazonS3ConfigKey>().is_ok(),
};

static GOOGLE: Kind = Kind {
    usual: &[
        "google_service_account",
        "google_service_account_key",
        "google_application_credentials",
        "google_base_url",
        "google_skip_signature",
    ],
    knows: |it| it.parse::<GoogleConfigKey>().is_ok(),
};

static AZURE: Kind = Kind {
    usual: &[
        "azure_storage_account_name",
        "azure_storage_account_key",
        "azure_storage_sas_key",
        "azure_storage_client_id",
        "azure_storage_client_secret",
        "azure_storage_tenant_id",
        "azure_storage_endpoint",
        "azure_allow_http",
    ],
    knows: |it| it.parse::<AzureConfigKey>().is_ok(),
};

static HTTP: Kind =
    Kind { usual: &["allow_http", "timeout"], knows: |it| it.parse::<ClientConfigKey>().is_ok() };

impl Kind {
    fn of(url: &Url) -> Option<&'static Kind> {
        match ObjectStoreScheme::parse(url).ok()?.0 {
            ObjectStoreScheme::AmazonS3 => Some(&S3),
            ObjectStoreScheme::GoogleCloudStorage => Some(&GOOGLE),
            ObjectStoreScheme::MicrosoftAzure => Some(&AZURE),
            ObjectStoreScheme::Http => Some(&HTTP),
            _ => None,
        }
    }

    fn has(&self, setting: &str) -> bool {
        (self.knows)(&setting.to_ascii_lowercase())
    }

    fn settings_help(&self) -> String {
        format!("settings of such a store are {}", self.usual.join(", "))
    }
}

/// Settings by their names.
type Settings = BTreeMap<String, String>;

/// Opens the store at an address with these settings; returns it with what keys begin with there.
pub(crate) fn open_store(
    from: &str,
    settings: &Settings,
) -> Result<(Arc<dyn ObjectStore>, Key), OptionFault> {
    let (url, kind) = address_of(from)?;
    check_settings(kind, settings)?;
    let settings = settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    match object_store::parse_url_opts(&url, settings) {
        Ok((store, prefix)) => Ok((Arc::from(store), prefix)),
        Err(error) => {
            let fault = OptionFault::at("from", format!("`{from}` cannot be used: {error}"));
            Err(fault.with_help(kind.settings_help()))
        }
    }
}

/// Looks for faults without a network, and without the secrets: of one that is not set, the name
/// stands in its place as `${NAME}`, which is no key of any store.
pub(crate) fn check_store(from: &str, settings: &Settings) -> Result<(), OptionFault> {
    let (_, kind) = address_of(from)?;
    check_settings(kind, settings)?;
    // Names are taken as they are; without that of the account nothing can be opened.
    let is_said =
        |(key, value): &(&String, &String)| !value.contains("${") || key.ends_with("name");
    let said = settings.iter().filter(is_said);
    let said = said.map(|(key, value)| (key.clone(), value.clone())).collect();
    open_store(from, &said).map(|_store| ())
}

/// Returns whether a store at this address has a setting of that name, in small letters or capitals.
pub fn is_store_setting(from: &str, setting: &str) -> bool {
    address_of(from).is_ok_and(|(_, kind)| kind.has(setting))
}

fn address_of(from: &str) -> Result<(Url, &'static Kind), OptionFault> {
    let url =
        Url::parse(from).map_err(|it| OptionFault::at("from", format!("no address: {it}")))?;
    if url.scheme() == "file" || url.scheme() == "memory" {
        let fault = OptionFault::at("from", "a folder is written as its path");
        return Err(fault.with_help("write it without `file://`"));
    }
    match Kind::of(&url) {
        Some(kind) => Ok((url, kind)),
        None => {
            let fault = OptionFault::at("from", format!("`{from}` is the address of no store"));
            Err(fault.with_help(
                "write `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`",
            ))
        }
    }
}

fn check_settings(kind: &Kind, settings: &Settings) -> Result<(), OptionFault> {
    let Some(key) = settings.keys().find(|it| !kind.has(it)) else { return Ok(()) };
    let fault =
        OptionFault::at(format!("store.{key}"), format!("`{key}` is no setting of such a store"));
    Err(fault.with_help(match nearest(key, kind.usual.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => kind.settings_help(),
    }))
}
