//! Compiles LiveKit's signalling messages (proto/README.md) with Rust alone: no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let messages = protox::compile(["livekit_rtc.proto"], ["proto"])?;
    prost_build::Config::new()
        // Comments with indented examples would become failing documentation tests.
        .disable_comments(["."])
        .compile_fds(messages)?;
    Ok(())
}
