//! `delt client-key`: a new private key in a client file (mode 0600), and its public part for registration.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use trust::ClientUse;
use wire::contract::demo::{ClientFile, PrivateJwk};

/// Arguments of `delt client-key`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The client's id, as it is registered at the anchor.
    #[arg(long)]
    client_id: String,
    /// The organisation it belongs to.
    #[arg(long)]
    orgnr: String,
    /// What it is: home-system, record-system, gateway, hub, service, portal, operator.
    #[arg(long = "use", value_parser = use_of)]
    use_: ClientUse,
    /// The anchor's base URL.
    #[arg(long)]
    issuer: String,
    /// Scopes it will ask for; may be repeated.
    #[arg(long)]
    scope: Vec<String>,
    /// Audiences it will ask for; may be repeated.
    #[arg(long)]
    audience: Vec<String>,
    /// The file to write; refused if it exists.
    #[arg(long)]
    file: PathBuf,
}

/// Writes the file and prints the public JWK.
pub fn run(a: &Arguments) -> anyhow::Result<ExitCode> {
    let key = trust::keys::SigningKey::generate()?;
    let file = ClientFile {
        client_id: a.client_id.clone(),
        orgnr: a.orgnr.clone(),
        use_: a.use_,
        issuer: a.issuer.clone(),
        token_endpoint: format!("{}/token", a.issuer),
        jwk: private(&key)?,
        scopes: a.scope.clone(),
        audiences: a.audience.clone(),
    };
    write_private(&a.file, &file)?;
    println!("{}", key.public_jwk());
    Ok(ExitCode::SUCCESS)
}

/// Writes a client file that only its owner can read; an existing file is never overwritten.
pub fn write_private(path: &Path, file: &ClientFile) -> anyhow::Result<()> {
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| anyhow::anyhow!("cannot make the client file {}: {e}", path.display()))?;
    out.write_all(&serde_json::to_vec_pretty(file)?)?;
    out.sync_all()?;
    Ok(())
}

/// A key as it stands in a client file.
pub fn private(key: &trust::keys::SigningKey) -> anyhow::Result<PrivateJwk> {
    Ok(PrivateJwk(serde_json::from_str(&key.to_private_jwk())?))
}

fn use_of(text: &str) -> Result<ClientUse, String> {
    serde_json::from_value(text.into()).map_err(|_| {
        "one of home-system, record-system, gateway, hub, service, portal, operator".to_owned()
    })
}
