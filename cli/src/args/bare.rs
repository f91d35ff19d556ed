//! The options of `quatrain bare`.

use clap::Args;

#[derive(Args)]
pub(crate) struct BareArgs {
    /// For `measure`: the parent process, to end with it
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) end_with_parent: Option<u32>,

    /// mio, actix, tokio or threads, then as for `quatrain serve`; or `mio fetch ADDR…`, `threads fetch ADDR…`, also
    /// with `--transform NAME --via ADDR --strict-transform` before the addresses
    #[arg(
        value_name = "WORDS",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) words: Vec<String>,
}
