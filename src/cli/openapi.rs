use std::process::ExitCode;

pub fn run() -> anyhow::Result<ExitCode> {
    print!("{}", crate::api::specification());
    Ok(ExitCode::SUCCESS)
}
