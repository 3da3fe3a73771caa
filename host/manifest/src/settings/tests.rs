//! Tests the defaults, the values that each setting accepts, and the precedence of overlays.

use super::*;

#[test]
fn defaults_are_those_of_the_contract() {
    let settings = Settings::default();
    assert_eq!(settings.reuse.get(), 128);
    assert_eq!(settings.on_failure, OnFailure::Stop);
    assert_eq!(settings.task_timeout, Duration::from_secs(30));
    assert_eq!(settings.response_timeout, Duration::from_secs(60));
    assert_eq!(settings.drain_timeout, Duration::from_secs(300));
    assert_eq!(settings.max_tasks, 1_000);
    assert_eq!(settings.max_task_args.bytes(), 1 << 20);
    assert_eq!(settings.max_request_args.bytes(), 16 << 20);
    assert_eq!(settings.memory.bytes(), 128 << 20);
    assert_eq!(settings.max_transient_write.bytes(), 256 << 20);
    assert_eq!(settings.max_body_size, None);
    assert_eq!(settings.body_timeout, Duration::from_secs(60));
    assert_eq!(settings.durable_attempts.get(), 10);
    assert_eq!(
        (settings.durable_backoff, settings.durable_max_backoff),
        (Duration::from_secs(15), Duration::from_secs(3_600))
    );
    assert_eq!((settings.max_generations, settings.max_backlog), (100, 100_000));
    let host = HostOptions::default();
    assert_eq!(host.listen.to_string(), "127.0.0.1:3000");
    assert_eq!((host.max_connections.get(), host.max_streams.get()), (10_000, 200));
    assert_eq!(host.max_connections_per_address, None);
    assert_eq!(host.max_instances.get(), 10_000);
    assert_eq!((host.max_requests.get(), host.max_draining.get()), (1_000, 9_000));
    assert_eq!((host.max_requests_per_address, host.stalled_per_address()), (None, 250));
    // Each request at work and each draining request may hold an instance.
    assert!(host.max_requests.get() + host.max_draining.get() <= host.max_instances.get() as usize);
    assert_eq!(host.max_lag, Maximum::Of(Duration::from_secs(5)));
    assert_eq!((host.idle_timeout, host.send_timeout), (Duration::from_secs(30), Duration::from_secs(60)));
    assert_eq!(host.max_header_size.bytes(), 64 << 10);
}

#[test]
fn a_limit_that_nothing_could_keep_is_refused() {
    let mut host = HostOverlay::default();
    assert_eq!(host.set("max-header-size", "8KiB"), Ok(true));
    let error = host.set("max-header-size", "8000").unwrap_err();
    assert_eq!(error, "\"8000\" is too small: the least is 8KiB");
    for name in ["idle-timeout", "send-timeout", "visibility-timeout", "max-lag"] {
        assert_eq!(host.set(name, "0s").unwrap_err(), "\"0s\" is too small: the least is 1ms", "{name}");
        assert_eq!(host.set(name, "1ms"), Ok(true), "{name}");
    }
    assert_eq!(host.set("max-lag", "none"), Ok(true));
    // An operator may want no grace period, so `grace` accepts zero.
    assert_eq!(host.set("grace", "0s"), Ok(true));
    let mut settings = SettingsOverlay::default();
    for name in SettingsOverlay::names().iter().filter(|name| name.ends_with("-timeout")) {
        assert_eq!(settings.set(name, "0ms").unwrap_err(), "\"0ms\" is too small: the least is 1ms", "{name}");
    }
    for (name, value, least) in [
        ("memory", "1KiB", "64KiB"),
        ("max-task-args", "1", "2B"),
        ("max-request-args", "0", "2B"),
        ("reuse", "0", "1"),
    ] {
        let error = settings.set(name, value).unwrap_err();
        assert!(error.starts_with(&format!("\"{value}\" is ")) && error.ends_with(least), "{name}: {error}");
        assert_eq!(settings.set(name, least), Ok(true), "{name}");
    }
}

#[test]
fn the_upper_overlay_wins_and_the_rest_shows_through() {
    let mut component = SettingsOverlay::default();
    let mut application = SettingsOverlay::default();
    assert_eq!(component.set("task-timeout", "1s"), Ok(true));
    assert_eq!(application.set("task-timeout", "2s"), Ok(true));
    assert_eq!(application.set("memory", "64MiB"), Ok(true));
    let settings = component.over(application).resolve();
    assert_eq!(settings.task_timeout, Duration::from_secs(1));
    assert_eq!(settings.memory.bytes(), 64 << 20);
    assert_eq!(settings.max_tasks, 1_000);
}

#[test]
fn a_setting_has_one_name() {
    let mut overlay = SettingsOverlay::default();
    assert_eq!(overlay.set("task_timeout", "1s"), Ok(false));
    assert_eq!(overlay.set("nonsense", "1s"), Ok(false));
    assert!(SettingsOverlay::names().contains(&"max-request-args".to_owned()));
}

#[test]
fn a_component_setting_and_a_host_option_never_share_a_name() {
    let host = HostOverlay::names();
    assert!(SettingsOverlay::names().iter().all(|name| !host.contains(name)));
}

#[test]
fn https_needs_both_files() {
    let mut overlay = HostOverlay::default();
    assert!(overlay.clone().resolve().tls_files().is_ok_and(|files| files.is_none()));
    assert_eq!(overlay.set("tls-cert", "cert.pem"), Ok(true));
    let error = overlay.clone().resolve().tls_files().unwrap_err();
    assert_eq!(error.to_string(), "tls-cert is set but tls-key is not: https needs both");
    assert_eq!(overlay.set("tls-key", "key.pem"), Ok(true));
    assert!(overlay.resolve().tls_files().is_ok_and(|files| files.is_some()));
}
