//! Alerts and notifications.
