//! `duologue licence`: what the one who runs an instance does with a licence, and what the one who issues
//! licences does.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Subcommand;
use duologue_actors::clock::Clock;

use super::output;
use crate::{
    config::{Config, DeploymentMode},
    licence::{self, Licence, PublicKey, Refusal, SOON_DAYS, SigningKey, Status},
    private_file,
};

mod issue;

#[derive(Debug, Subcommand)]
pub enum LicenceCommand {
    /// Verify a licence and put it in force; a running server takes it within two seconds
    ///
    /// It goes to licence.path, in the place of the one that is there.
    Upload {
        /// The licence as it was issued; - for standard input
        file: PathBuf,
    },
    /// Show the licence in force
    Show,
    /// Say whether a licence is genuine, and what it contains
    Verify {
        /// The licence; - for standard input
        file: PathBuf,
        /// The public key of whoever issued it [default: licence.public_key]
        #[arg(long, value_name = "PEM")]
        public_key: Option<PathBuf>,
    },
    /// Issue a licence
    Issue(issue::Order),
    /// Make the pair of keys that licences are issued and verified with
    Keygen {
        /// PREFIX.pem is the private key, PREFIX.pub.pem the public one; neither may be there yet
        #[arg(long, value_name = "PREFIX")]
        out: PathBuf,
    },
}

/// Runs one of them.
///
/// # Errors
/// Whatever is wrong with the licence, a key or a file, and what to do about it.
pub fn run(command: &LicenceCommand, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        LicenceCommand::Upload { file } => upload(file, config),
        LicenceCommand::Show => show(config),
        LicenceCommand::Verify { file, public_key } => verify(file, public_key.as_deref(), config),
        LicenceCommand::Issue(order) => issue::run(order, config),
        LicenceCommand::Keygen { out } => keygen(out),
    }
}

fn upload(file: &Path, config: &Config) -> anyhow::Result<ExitCode> {
    let text = text_of(file)?;
    let licence = verified(file, &text, None, config)?;
    private_file::put(&config.licence.path, &format!("{}\n", text.trim()))
        .with_context(|| format!("cannot write {} (licence.path)", config.licence.path.display()))?;
    output::line(&licence)?;
    output::line(format_args!("\nin force    {}", config.licence.path.display()))?;
    if config.deployment.mode == DeploymentMode::Saas {
        output::remark(
            "deployment.mode is saas: the plan of each top-level group counts, and this licence does not",
        );
    }
    remark_if_soon(&licence);
    Ok(ExitCode::SUCCESS)
}

fn show(config: &Config) -> anyhow::Result<ExitCode> {
    match licence::status(config, Clock::system().now()) {
        Status::ByGroup => {
            output::line(
                "deployment.mode is saas: each top-level group has its own plan, and no licence is looked at",
            )?;
        }
        Status::InForce { licence, days_left, .. } => {
            output::line(&licence)?;
            output::line(format_args!("days left   {days_left}"))?;
            remark_if_soon(&licence);
        }
        Status::Nothing(absence) => bail!(absence),
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(file: &Path, public_key: Option<&Path>, config: &Config) -> anyhow::Result<ExitCode> {
    let licence = verified(file, &text_of(file)?, public_key, config)?;
    output::line(&licence)?;
    remark_if_soon(&licence);
    Ok(ExitCode::SUCCESS)
}

fn keygen(prefix: &Path) -> anyhow::Result<ExitCode> {
    use secrecy::ExposeSecret;
    let with = |ending: &str| {
        let mut path = prefix.as_os_str().to_owned();
        path.push(ending);
        PathBuf::from(path)
    };
    let (private, public) = (with(".pem"), with(".pub.pem"));
    for path in [&private, &public] {
        if path.exists() {
            bail!(
                "{} is there already, and a key is never overwritten; choose another PREFIX",
                path.display()
            );
        }
    }
    let key = SigningKey::generate().map_err(|error| anyhow::anyhow!("the key {error}"))?;
    let cannot_write = |path: &Path| format!("cannot write {}", path.display());
    private_file::put_new(&private, key.to_pem().expose_secret()).with_context(|| cannot_write(&private))?;
    // Half a pair is of no use, and in the way of the next attempt.
    write_for_everybody(&public, &key.public().to_pem())
        .inspect_err(|_| drop(fs::remove_file(&private)))
        .with_context(|| cannot_write(&public))?;
    output::line(format_args!(
        "private key  {}  keep it where licences are issued, and nowhere else\n\
         public key   {}  instances need it: licence.public_key\n\
         fingerprint  {}",
        private.display(),
        public.display(),
        key.public().fingerprint()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// An instance that runs as somebody else is to read it.
fn write_for_everybody(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.write_all(text.as_bytes()).inspect_err(|_| drop(fs::remove_file(path)))
}

/// The licence in `text`, if it is genuine and good now.
fn verified(file: &Path, text: &str, public_key: Option<&Path>, config: &Config) -> anyhow::Result<Licence> {
    let Some(path) = public_key.or(config.licence.public_key.as_deref()) else {
        bail!(
            "licence.public_key is not set: set it to the public key (a PEM file) of whoever issues licences, \
             or name the file with DUOLOGUE__LICENCE__PUBLIC_KEY"
        );
    };
    let key = PublicKey::read(path).map_err(|error| anyhow::anyhow!("{} {error}", path.display()))?;
    let good = licence::verify(text, &key).and_then(|licence| {
        licence.check(Clock::system().now())?;
        Ok(licence)
    });
    good.map_err(|refusal| {
        let mend =
            if matches!(refusal, Refusal::NotYet(_)) { "; upload it on that day or later" } else { "" };
        anyhow::anyhow!("{}: {refusal}{mend}", file.display())
    })
}

fn text_of(file: &Path) -> anyhow::Result<String> {
    let text = if file == Path::new("-") { io::read_to_string(io::stdin()) } else { licence::read(file) };
    text.map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("{}: there is no such file", file.display()),
        _ => anyhow::Error::from(error).context(format!("{} cannot be read", file.display())),
    })
}

fn remark_if_soon(licence: &Licence) {
    let days_left = licence.days_left(Clock::system().now());
    if days_left < SOON_DAYS {
        output::remark(format_args!("it ends in {days_left} days: ask for the next one in time"));
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn without_a_public_key_there_is_no_private_one() {
        let folder = tempfile::tempdir().unwrap();
        // Nothing seems to be there, and yet nothing can be created.
        let public = folder.path().join("acme.pub.pem");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &public).unwrap();
        let error = keygen(&folder.path().join("acme")).unwrap_err();
        assert!(error.to_string().contains("acme.pub.pem"), "{error}");
        assert!(!folder.path().join("acme.pem").exists());
        fs::remove_file(&public).unwrap();
        keygen(&folder.path().join("acme")).unwrap();
        assert!(folder.path().join("acme.pem").exists() && public.exists());
    }
}
