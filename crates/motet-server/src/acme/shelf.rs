//! What is kept: the account and the certificate, in `acme/` of the data directory, one folder for each directory of an
//! authority. So whoever turns from staging to production gets a new certificate, and back the old one.

use crate::config::{Acme, Config};
use instant_acme::AccountCredentials;
use motet_auth::x509;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes of an authority's address that name its folder; what is behind them is told apart by a checksum.
const FOLDER_NAME_MAX: usize = 80;
const ACCOUNT_FILE: &str = "account.json";
/// Key and chain in one file, so that they are replaced together.
const CERTIFICATE_FILE: &str = "certificate.pem";

/// What listeners look for: the file, which may not be there yet, and the names it is to be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) file: PathBuf,
    pub(crate) names: Vec<String>,
}

impl Kept {
    /// None where nothing is fetched.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let acme = &config.acme;
        let file = || Shelf::of(acme, &config.data_dir).folder.join(CERTIFICATE_FILE);
        acme.is_on().then(|| Kept { file: file(), names: acme.domains.clone() })
    }
}

/// A certificate that was issued to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Issued {
    /// Key and chain.
    pub(super) pem: String,
    pub(super) names: Vec<String>,
    /// Seconds since 1970.
    pub(super) begins: u64,
    /// Seconds since 1970.
    pub(super) expires: u64,
}

impl Issued {
    /// Reads key and chain, and sees that they fit.
    pub(super) fn read(pem: String) -> Result<Self, String> {
        let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(|error| format!("the chain is not readable: {error}"))?;
        let says = chain.first().and_then(|first| x509::Served::read(first));
        let says = says.ok_or("there is no certificate in it")?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("the key is not readable: {error}"))?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(|error| format!("certificate and key do not fit: {error}"))?;
        Ok(Issued { pem, names: says.dns_names, begins: says.begins, expires: says.expires })
    }

    /// Whether it is for these names and no others.
    pub(super) fn is_for(&self, domains: &[String]) -> bool {
        domains.len() == self.names.len() && domains.iter().all(|domain| self.names.contains(domain))
    }
}

/// The folder of one authority.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    pub(super) fn of(acme: &Acme, data_dir: &Path) -> Self {
        let url = acme.directory_url.strip_prefix("https://").unwrap_or(&acme.directory_url);
        let readable = |byte: u8| if byte.is_ascii_alphanumeric() || byte == b'.' { char::from(byte) } else { '-' };
        let mut name: String = url.bytes().take(FOLDER_NAME_MAX).map(readable).collect();
        let told = url
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        name.push_str(&format!("-{:08x}", told as u32));
        Shelf { folder: data_dir.join("acme").join(name) }
    }

    /// The account there; none before there is one.
    pub(super) fn account(&self) -> io::Result<Option<AccountCredentials>> {
        let Some(text) = read(&self.folder.join(ACCOUNT_FILE))? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            let file = self.folder.join(ACCOUNT_FILE);
            io::Error::other(format!("{} is not readable: {error}; remove it to get a new account", file.display()))
        })
    }

    pub(super) fn keep_account(&self, account: &AccountCredentials) -> io::Result<()> {
        let text = serde_json::to_string(account).map_err(io::Error::other)?;
        self.keep(ACCOUNT_FILE, &text)
    }

    /// The authority knows it no more.
    pub(super) fn forget_account(&self) -> io::Result<()> {
        std::fs::remove_file(self.folder.join(ACCOUNT_FILE))
    }

    /// The certificate there; none before there is one, or when it is no good.
    pub(super) fn certificate(&self) -> io::Result<Option<Issued>> {
        let file = self.folder.join(CERTIFICATE_FILE);
        let Some(text) = read(&file)? else { return Ok(None) };
        match Issued::read(text) {
            Ok(issued) => Ok(Some(issued)),
            Err(what) => {
                tracing::warn!(file = %file.display(), what, "the stored certificate is no good; another one is fetched");
                Ok(None)
            }
        }
    }

    pub(super) fn keep_certificate(&self, issued: &Issued) -> io::Result<()> {
        self.keep(CERTIFICATE_FILE, &issued.pem)
    }

    /// In place of what was there, at once or not at all.
    fn keep(&self, name: &str, text: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let (file, unfinished) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        // A leftover may have other rights.
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        written.write_all(text.as_bytes())?;
        written.sync_all()?;
        std::fs::rename(&unfinished, &file)?;
        File::open(&self.folder)?.sync_all()
    }
}

fn read(file: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", file.display()))),
    }
}
