use std::process::ExitCode;

use super::screen::print;

pub fn run() -> anyhow::Result<ExitCode> {
    print(crate::api::specification())?;
    Ok(ExitCode::SUCCESS)
}
