//! Who asks: personal tokens, installation tokens and App JWTs, each where it is due, and what each may see.

use http::header;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;

use crate::wire::Ask;
use crate::world::{App, Installation, Repository, TokenKind, World};

/// Somebody with a token.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// Whose budget it is.
    pub(super) principal: String,
    /// The user's login, or the App's with `[bot]`.
    pub(super) login: String,
    /// An App's installation, not a person.
    pub(super) installation: bool,
    /// The private repositories it sees.
    sees: Sees,
    /// Reads checks of private repositories.
    private_checks: bool,
}

#[derive(Debug, Clone)]
enum Sees {
    All,
    Account(String),
    These(Vec<String>),
}

impl Access {
    /// Whether a repository is visible at all.
    pub(super) fn sees(&self, repository: &Repository) -> bool {
        !repository.private
            || match &self.sees {
                Sees::All => true,
                Sees::Account(account) => repository.owner.eq_ignore_ascii_case(account),
                Sees::These(names) => names.iter().any(|name| name.eq_ignore_ascii_case(&repository.full_name())),
            }
    }

    /// GitHub's words for why the checks of a repository may not be read, if so.
    pub(super) fn refused_checks(&self, repository: &Repository) -> Option<&'static str> {
        let refused = repository.private && !self.private_checks;
        refused.then(|| self.refusal())
    }

    /// GitHub's words for what a token may not do.
    pub(super) fn refusal(&self) -> &'static str {
        if self.installation {
            "Resource not accessible by integration"
        } else {
            "Resource not accessible by personal access token"
        }
    }
}

/// The credential of a request, without its scheme.
pub(super) fn given(ask: &Ask) -> Option<&str> {
    let (scheme, token) = ask.header(header::AUTHORIZATION)?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")).then_some(token.trim())
}

/// The holder of the token that came with a request. A JWT is none.
pub(super) fn access(world: &World, ask: &Ask) -> Option<Access> {
    let token = given(ask)?;
    let personal = world.github.tokens.iter().find(|one| one.token == token);
    if let Some(one) = personal {
        return Some(Access {
            principal: format!("user:{}", one.login),
            login: one.login.clone(),
            installation: false,
            sees: one.repositories.clone().map_or(Sees::All, Sees::These),
            private_checks: one.kind == TokenKind::Classic || one.checks,
        });
    }
    let minted =
        world.github.installation_tokens.iter().find(|one| one.token == token && one.expires_at > world.now)?;
    let (app, installation) = installations(world).find(|(_, one)| one.id == minted.installation)?;
    Some(Access {
        principal: format!("installation:{}", installation.id),
        login: format!("{}[bot]", app.slug),
        installation: true,
        sees: installation
            .repositories
            .clone()
            .map_or_else(|| Sees::Account(installation.account.clone()), Sees::These),
        private_checks: installation.checks,
    })
}

/// All installations with their apps.
pub(super) fn installations(world: &World) -> impl Iterator<Item = (&App, &Installation)> {
    world.github.apps.iter().flat_map(|app| app.installations.iter().map(move |one| (app, one)))
}

#[derive(Debug, Deserialize)]
struct Claims {
    /// A number or a string.
    iss: Value,
    iat: u64,
    exp: u64,
}

/// The App whose JWT came with a request. Verified against the wall clock, as the caller signs with it.
pub(super) fn app<'a>(world: &'a World, ask: &Ask) -> Result<&'a App, &'static str> {
    const UNREADABLE: &str = "A JSON web token could not be decoded";
    let token = given(ask).ok_or(UNREADABLE)?;
    let issuer = jsonwebtoken::dangerous::insecure_decode::<Claims>(token).map_err(|_| UNREADABLE)?.claims.iss;
    let named = |app: &&App| match &issuer {
        Value::Number(number) => number.as_u64() == Some(app.id),
        Value::String(text) => *text == app.id.to_string(),
        _ => false,
    };
    let app = world.github.apps.iter().find(named).ok_or("Integration not found")?;
    let key = app.public_key.as_deref().ok_or(UNREADABLE)?;
    let key = DecodingKey::from_rsa_pem(key.as_bytes()).map_err(|_| UNREADABLE)?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.leeway = 0;
    validation.set_required_spec_claims(&["exp"]);
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::ExpiredSignature => {
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
        }
        _ => UNREADABLE,
    })?;
    let Claims { iat, exp, .. } = claims.claims;
    let now = jsonwebtoken::get_current_timestamp();
    if exp > iat + 600 || exp > now + 600 {
        return Err("'Expiration time' claim ('exp') is too far in the future");
    }
    // One second of grace: the two clocks are one, but read at different moments.
    if iat > now + 1 {
        return Err("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued");
    }
    Ok(app)
}
