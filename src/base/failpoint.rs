//! Named steps at which a test can end the process as `kill -9` would. Compiled in by the feature `failpoints` only.

/// Ends the process at once if the environment variable `LIGHTKEEP_FAILPOINT` names this step.
#[cfg(feature = "failpoints")]
pub fn reach(step: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test sets it for the whole process; it is no configuration")]
    let wanted = std::env::var_os("LIGHTKEEP_FAILPOINT");
    if wanted.is_some_and(|wanted| wanted == step) {
        std::process::abort();
    }
}

/// Does nothing: fail points are not compiled in.
#[cfg(not(feature = "failpoints"))]
pub fn reach(_step: &str) {}
