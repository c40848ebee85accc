//! One certificate from the authority: account, order, proof that the names are ours, issue. [RFC8555-7]

use super::answers::{Answers, Pending};
use super::settings::Settings;
use super::shelf::Issued;
use crate::config::AcmeChallenge;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, Problem, RetryPolicy,
};
use std::io;
use std::time::Duration;

/// How the authority is asked whether it has come to something: a minute and a half in all, or as it says.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(90));

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{doing} came to nothing: {source}")]
    Authority { doing: &'static str, source: Error },
    #[error("the authority found no proof that {domain} is ours: {why}")]
    NotProven { domain: String, why: String, challenge: AcmeChallenge },
    #[error("the authority does not offer the challenge {challenge} for {domain}")]
    NotOffered { domain: String, challenge: AcmeChallenge },
    #[error("the authority wants proof for {0}, which is none of acme.domains")]
    Foreign(String),
    #[error("what the authority issued is not what was asked for: {0}")]
    Unfit(String),
    #[error("{0}")]
    Store(#[from] io::Error),
    #[error("it took longer than {0:?}")]
    Late(Duration),
}

impl Failure {
    /// What an operator can do.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Failure::NotProven { challenge: AcmeChallenge::Http01, .. } => {
                "see that the name leads here, and port 80 of it to a listener with protocol = \"http\""
            }
            Failure::NotProven { challenge: AcmeChallenge::TlsAlpn01, .. } => {
                "see that the name leads here, and port 443 of it to a listener that speaks TLS, with nothing between \
                 that ends it"
            }
            Failure::NotOffered { .. } => "set acme.challenge to another one",
            Failure::Authority { source: Error::Api(problem), .. } => remedy_of(problem),
            Failure::Authority { .. } => {
                "see that acme.directory_url is right and can be reached from here; for a private authority name its \
                 roots in acme.ca_file"
            }
            Failure::Store(_) => "see that data_dir can be written, and that there is room",
            Failure::Foreign(_) | Failure::Unfit(_) | Failure::Late(_) => "ask whoever runs the authority",
        }
    }

    fn is_api(&self, word: &str) -> bool {
        matches!(self, Failure::Authority { source: Error::Api(problem), .. } if is(problem, word))
    }
}

/// [RFC8555-6.7]
fn is(problem: &Problem, word: &str) -> bool {
    problem.r#type.as_deref().and_then(|kind| kind.strip_prefix("urn:ietf:params:acme:error:")) == Some(word)
}

fn remedy_of(problem: &Problem) -> &'static str {
    let remedies = [
        ("rateLimited", "wait; while you try things out, set acme.directory_url to the authority's staging directory"),
        (
            "externalAccountRequired",
            "set acme.external_account and acme.external_account_key_file as the authority gives them",
        ),
        ("userActionRequired", "the terms of service have changed: follow the address that the authority names"),
        ("invalidContact", "correct acme.contact"),
        ("unsupportedContact", "correct acme.contact"),
        ("rejectedIdentifier", "remove the name from acme.domains: this authority does not issue for it"),
        ("caa", "let the CAA record in the DNS of the name allow this authority"),
        ("dns", "see that the name has an address in the public DNS"),
    ];
    let known = remedies.into_iter().find(|(word, _)| is(problem, word));
    known.map_or("the authority's own words say more than we know", |(_, remedy)| remedy)
}

/// Says what was being done.
fn while_doing(doing: &'static str) -> impl Fn(Error) -> Failure {
    move |source| Failure::Authority { doing, source }
}

/// Gets a certificate; keeps nothing but the account.
pub(super) async fn fetch(settings: &Settings, answers: &Answers) -> Result<Issued, Failure> {
    let domains = &settings.acme.domains;
    let identifiers: Vec<_> = domains.iter().cloned().map(Identifier::Dns).collect();
    let (account, known) = account(settings).await?;
    let mut order = match account.new_order(&NewOrder::new(&identifiers)).await.map_err(while_doing("the order")) {
        // A private authority may have begun anew.
        Err(failure) if known && failure.is_api("accountDoesNotExist") => {
            settings.shelf.forget_account()?;
            let (account, _) = self::account(settings).await?;
            account.new_order(&NewOrder::new(&identifiers)).await.map_err(while_doing("the order"))?
        }
        order => order?,
    };
    prove(&mut order, settings, answers).await?;
    let (csr, key) = request(domains).map_err(|error| Failure::Unfit(error.to_string()))?;
    order.finalize_csr(&csr).await.map_err(while_doing("the request for the certificate"))?;
    let chain = order.poll_certificate(&PATIENCE).await.map_err(while_doing("fetching the certificate"))?;
    let issued = Issued::read(format!("{key}{chain}")).map_err(Failure::Unfit)?;
    if !issued.is_for(domains) {
        return Err(Failure::Unfit(format!("it is for {}", issued.names.join(", "))));
    }
    Ok(issued)
}

/// The account, and whether it was there before.
async fn account(settings: &Settings) -> Result<(Account, bool), Failure> {
    let builder = || Account::builder_with_http(Box::new(settings.courier.clone()));
    if let Some(known) = settings.shelf.account()? {
        let account = builder().from_credentials(known).await.map_err(while_doing("asking for the directory"))?;
        return Ok((account, true));
    }
    let contact: Vec<_> = settings.acme.contact.iter().map(String::as_str).collect();
    let wanted = NewAccount {
        contact: &contact,
        terms_of_service_agreed: settings.acme.accept_terms,
        only_return_existing: false,
    };
    let external = settings.external.as_deref().map(|(account, key)| ExternalAccountKey::new(account.clone(), key));
    let made = builder().create(&wanted, settings.acme.directory_url.clone(), external.as_ref()).await;
    let (account, credentials) = made.map_err(while_doing("opening an account"))?;
    settings.shelf.keep_account(&credentials)?;
    Ok((account, false))
}

/// Shows the answers, says so, and waits until the authority has seen them. [RFC8555-7.5]
async fn prove(order: &mut Order, settings: &Settings, answers: &Answers) -> Result<(), Failure> {
    let challenge = settings.acme.challenge;
    let kind = match challenge {
        AcmeChallenge::Http01 => ChallengeType::Http01,
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    };
    let failed = while_doing("proving the names");
    let mut pending = Pending::default();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(&failed)?;
        let domain = authorization.identifier().to_string();
        if !settings.acme.domains.contains(&domain) {
            return Err(Failure::Foreign(domain));
        }
        // What was proven lately may still count.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let Some(asked) = authorization.challenge(kind.clone()) else {
            return Err(Failure::NotOffered { domain, challenge });
        };
        let authorization = asked.key_authorization();
        match challenge {
            AcmeChallenge::Http01 => pending.page(&asked.token, authorization.as_str()),
            AcmeChallenge::TlsAlpn01 => pending
                .handshake(&domain, authorization.digest().as_ref())
                .map_err(|error| Failure::Unfit(error.to_string()))?,
        }
    }
    let _shown = answers.show(pending);
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(&failed)?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        if let Some(mut asked) = authorization.challenge(kind.clone()) {
            asked.set_ready().await.map_err(&failed)?;
        }
    }
    match order.poll_ready(&PATIENCE).await {
        Ok(OrderStatus::Ready) => Ok(()),
        Ok(_) | Err(Error::Api(_)) => Err(why_not(order, challenge).await),
        Err(error) => Err(failed(error)),
    }
}

/// The order is invalid: an authorization knows why. [RFC8555-7.1.6]
async fn why_not(order: &mut Order, challenge: AcmeChallenge) -> Failure {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let domain = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { break };
        if let Some(problem) = state.challenges.iter().find_map(|one| one.error.as_ref()) {
            return Failure::NotProven { domain, why: problem.to_string(), challenge };
        }
    }
    while_doing("proving the names")(Error::Str("the authority does not say why"))
}

/// A request for a certificate in DER, and its new key in PEM. The names are in it, and nothing about us. [RFC8555-7.4]
fn request(domains: &[String]) -> Result<(Vec<u8>, String), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(domains)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok((params.serialize_request(&key)?.der().to_vec(), key.serialize_pem()))
}
