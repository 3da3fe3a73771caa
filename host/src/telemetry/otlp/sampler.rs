//! Decides which requests the host traces, as `OTEL_TRACES_SAMPLER` says.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample as _};

use super::variables::Variables;

const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Returns the sampler that the environment variables name. The default is `parentbased_always_on`.
pub(super) fn sampler(variables: &mut Variables<'_>) -> Sampler {
    let names = "one of \"always_on\", \"always_off\", \"traceidratio\", \"parentbased_always_on\", \
                 \"parentbased_always_off\", \"parentbased_traceidratio\"";
    let chosen = variables.read("OTEL_TRACES_SAMPLER", names, |name| {
        let (parent, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        ["always_on", "always_off", "traceidratio"].contains(&root).then(|| (parent, root.to_owned()))
    });
    let (parent, root) = chosen.unwrap_or((true, "always_on".to_owned()));
    let root = match root.as_str() {
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => {
            let ratio = |text: &str| text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
            Sampler::TraceIdRatioBased(variables.read(ARGUMENT, "a number between 0 and 1", ratio).unwrap_or(1.0))
        }
        _ => Sampler::AlwaysOn,
    };
    if parent { Sampler::ParentBased(Box::new(root)) } else { root }
}

/// Reports whether the host traces a request. `parent` is the trace context from the client, if the client has sent a
/// trace context.
pub(super) fn samples(sampler: &Sampler, trace: TraceId, parent: Option<&SpanContext>) -> bool {
    let parent = parent.map(|parent| Context::new().with_remote_span_context(parent.clone()));
    let result = sampler.should_sample(parent.as_ref(), trace, "", &SpanKind::Server, &[], &[]);
    result.decision == SamplingDecision::RecordAndSample
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceState};

    use super::*;

    const LOW: u128 = 1;
    const HIGH: u128 = u128::MAX;

    fn sampled(name: &str, argument: &str, trace: u128, parent: Option<bool>) -> (bool, usize) {
        let get = |variable: &str| match variable {
            "OTEL_TRACES_SAMPLER" => Some(name.to_owned()),
            ARGUMENT => Some(argument.to_owned()),
            _ => None,
        };
        let mut variables = Variables::new(&get);
        let sampler = sampler(&mut variables);
        let trace = TraceId::from(trace);
        let parent = parent.map(|sampled| {
            let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
            SpanContext::new(trace, SpanId::from(1), flags, true, TraceState::NONE)
        });
        (samples(&sampler, trace, parent.as_ref()), variables.into_warnings().len())
    }

    #[test]
    fn the_sampler_is_the_one_that_the_variables_name() {
        for (name, argument, expected) in [
            ("", "", true),
            ("always_on", "", true),
            ("always_off", "", false),
            ("traceidratio", "0", false),
            ("parentbased_traceidratio", "1", true),
            ("parentbased_always_off", "", false),
        ] {
            assert_eq!(sampled(name, argument, HIGH, None), (expected, 0), "{name}");
        }
        assert_eq!(sampled("traceidratio", "0.5", LOW, None), (true, 0));
        assert_eq!(sampled("traceidratio", "0.5", HIGH, None), (false, 0));
    }

    #[test]
    fn a_parent_decides_if_the_sampler_says_so() {
        assert!(sampled("parentbased_always_off", "", LOW, Some(true)).0);
        assert!(!sampled("parentbased_always_on", "", LOW, Some(false)).0);
        assert!(!sampled("", "", LOW, Some(false)).0);
        assert!(sampled("always_on", "", LOW, Some(false)).0);
    }

    #[test]
    fn a_bad_sampler_is_ignored_with_a_warning() {
        assert_eq!(sampled("xray", "", HIGH, None), (true, 1));
        assert_eq!(sampled("parentbased_xray", "", HIGH, None), (true, 1));
        assert_eq!(sampled("traceidratio", "2", HIGH, None), (true, 1));
    }
}
