//! Compiles the protos: messages, services and the descriptor set that reflection and the REST shim read.

use std::path::PathBuf;
use std::process::Command;

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script where to write by the environment")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rustc-env=BUILD_COMMIT={}", commit()?);
    println!("cargo:rustc-env=BUILD_DATE={}", date()?);
    let files = [
        "lightkeep/v1/alert.proto",
        "lightkeep/v1/backup.proto",
        "lightkeep/v1/monitoring.proto",
        "lightkeep/v1/operation.proto",
        "lightkeep/v1/options.proto",
        "lightkeep/v1/recovery.proto",
        "lightkeep/v1/replica.proto",
        "lightkeep/v1/replication.proto",
        "lightkeep/v1/repository.proto",
        "lightkeep/v1/retention.proto",
        "lightkeep/v1/schedule.proto",
    ];
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    // File contents are passed on without being copied.
    let builder = tonic_prost_build::configure().build_client(true).build_server(true).bytes(".lightkeep.v1.PutFileRequest");
    builder.bytes(".lightkeep.v1.GetFileResponse").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// The commit that a release is built of, or what `BUILD_COMMIT` says: where an image is built there is no `.git`. (`cargo run` gives the
/// variable to the program too, which takes none that begins like its own.) Other builds do not tell, or each commit would build everything
/// anew.
#[expect(clippy::disallowed_methods, reason = "cargo tells a build script its profile by the environment")]
fn commit() -> Result<String, Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-env-changed=BUILD_COMMIT");
    if let Ok(told) = std::env::var("BUILD_COMMIT") {
        return Ok(told);
    }
    if std::env::var("PROFILE")? != "release" {
        return Ok("unknown".to_owned());
    }
    println!("cargo:rerun-if-changed=.git/logs/HEAD");
    let told = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok().filter(|output| output.status.success());
    Ok(told.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

/// The day that a release is built on, UTC, or the one of `SOURCE_DATE_EPOCH`, so that the same source can give the same program. Other builds
/// do not tell, as with the commit.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no clock of ours before the program is built; builds are told the time by a variable"
)]
fn date() -> Result<String, Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    if std::env::var("PROFILE")? != "release" {
        return Ok("unknown".to_owned());
    }
    let told = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => Command::new("date").args(["-u", "+%Y-%m-%d", "-d", &format!("@{seconds}")]).output(),
        Err(_) => Command::new("date").args(["-u", "+%Y-%m-%d"]).output(),
    };
    let told = told.ok().filter(|output| output.status.success());
    Ok(told.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}
