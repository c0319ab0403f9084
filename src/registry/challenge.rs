//! What a registry asks for with a 401, and whether it may have it.

use http_auth::{ChallengeRef, parser::ChallengeParser};
use reqwest::{
    Url,
    header::{HeaderMap, WWW_AUTHENTICATE},
};

use super::options::Checked;

/// What a registry offers, as far as we can do it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) basic: bool,
    pub(super) bearer: Option<Bearer>,
}

/// A bearer challenge as it came. Its scope is not kept: GHCR's is a dummy, so ours is computed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    realm: String,
    service: Option<String>,
}

/// A token server that credentials may be sent to. It can only be made from a realm that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenServer {
    realm: Url,
    service: Option<String>,
}

impl Offer {
    /// Every challenge of every header, up to the first that cannot be read.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut offer = Self::default();
        for value in headers.get_all(WWW_AUTHENTICATE) {
            let Ok(text) = value.to_str() else { continue };
            for challenge in ChallengeParser::new(text).map_while(Result::ok) {
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    offer.basic = true;
                } else if challenge.scheme.eq_ignore_ascii_case("bearer") && offer.bearer.is_none() {
                    offer.bearer = parameter(&challenge, "realm")
                        .map(|realm| Bearer { realm, service: parameter(&challenge, "service") });
                }
            }
        }
        offer
    }
}

fn parameter(challenge: &ChallengeRef<'_>, name: &str) -> Option<String> {
    let (_, value) = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value.to_unescaped())
}

impl Bearer {
    /// The token server, if it is one that the registry may send us to.
    pub(super) fn server(self, registry: &Checked) -> Result<TokenServer, String> {
        let realm = Url::parse(&self.realm).map_err(|_| "its token server's address is no URL".to_owned())?;
        let safe = realm.scheme() == "https" || (realm.scheme() == "http" && registry.plain_http());
        if !safe {
            return Err("its token server is not asked over TLS, so nothing was sent there".to_owned());
        }
        if !realm.username().is_empty() || realm.password().is_some() {
            return Err("its token server's address carries a user name, so nothing was sent there".to_owned());
        }
        if !registry.trusts(&realm) {
            let host = realm.host_str().unwrap_or_default();
            let port = realm.port().map(|port| format!(":{port}")).unwrap_or_default();
            return Err(format!(
                "its token server is another host, `{}`, and nothing was sent there; if that is right, list it in \
                 `realms` of this registry",
                crate::domain::excerpt(&format!("{host}{port}"))
            ));
        }
        Ok(TokenServer { realm, service: self.service })
    }
}

impl TokenServer {
    /// The request's URL for a GET.
    pub(super) fn question(&self, scope: &str) -> Url {
        let mut url = self.address();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &self.service {
                query.append_pair("service", service);
            }
            query.append_pair("scope", scope);
        }
        url
    }

    /// The request's form for a POST with a refresh token.
    pub(super) fn form(&self, scope: &str, refresh_token: &str) -> String {
        let mut url = self.address();
        url.set_query(None);
        {
            let mut form = url.query_pairs_mut();
            form.append_pair("grant_type", "refresh_token").append_pair("client_id", "lastgreen");
            if let Some(service) = &self.service {
                form.append_pair("service", service);
            }
            form.append_pair("scope", scope).append_pair("refresh_token", refresh_token);
        }
        url.query().unwrap_or_default().to_owned()
    }

    /// Where the form is posted to.
    pub(super) fn address(&self) -> Url {
        let mut url = self.realm.clone();
        url.set_fragment(None);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Options;

    fn offer(values: &[&str]) -> Offer {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Offer::read(&headers)
    }

    fn server(registry: &Options, realm: &str) -> Result<TokenServer, String> {
        let bearer = Bearer { realm: realm.to_owned(), service: Some("the service".to_owned()) };
        bearer.server(&Checked::new(registry).unwrap())
    }

    #[test]
    fn challenges_come_in_many_shapes() {
        let bearer = || Some(Bearer { realm: "https://a/t?x=1,2".to_owned(), service: Some("s".to_owned()) });
        let text = r#"Bearer realm="https://a/t?x=1,2",service="s",scope="repository:a/b:pull,push",error="x""#;
        assert_eq!(offer(&[text]), Offer { basic: false, bearer: bearer() });
        assert_eq!(offer(&[&text.replace("Bearer", "bEARER")]).bearer, bearer());
        assert_eq!(offer(&[&format!("Basic realm=\"r\", {text}")]), Offer { basic: true, bearer: bearer() });
        assert_eq!(offer(&[&format!("{text}, Basic realm=\"r\"")]), Offer { basic: true, bearer: bearer() });
        assert_eq!(offer(&["Basic realm=\"r\"", text]), Offer { basic: true, bearer: bearer() });
        assert_eq!(offer(&["Negotiate", "BASIC realm=\"r\""]), Offer { basic: true, bearer: None });
        assert_eq!(offer(&["Bearer service=\"s\""]), Offer::default());
        assert_eq!(offer(&["\t", "", "=,="]), Offer::default());
        assert_eq!(offer(&[]), Offer::default());
    }

    #[test]
    fn a_realm_is_asked_only_where_it_may_be() {
        let registry = Options::anonymous("reg.example");
        assert!(server(&registry, "https://reg.example/token").is_ok());
        for bad in
            ["/token", "http://reg.example/token", "https://u:p@reg.example/token", "https://u@reg.example/token", ""]
        {
            assert!(server(&registry, bad).is_err(), "{bad}");
        }
        let error = server(&registry, "https://evil.example:8443/token?steal").unwrap_err();
        assert!(error.contains("`evil.example:8443`") && error.contains("`realms`"), "{error}");
        let plain = Options { plain_http: true, ..Options::anonymous("reg.example") };
        assert!(server(&plain, "http://reg.example/token").is_ok());
    }

    #[test]
    fn the_realms_own_query_is_kept() {
        let server = server(&Options::anonymous("reg.example"), "https://reg.example/t?a=b#c").unwrap();
        assert_eq!(
            server.question("repository:a/b:pull").as_str(),
            "https://reg.example/t?a=b&service=the+service&scope=repository%3Aa%2Fb%3Apull"
        );
        assert_eq!(
            server.form("s", "t&u"),
            "grant_type=refresh_token&client_id=lastgreen&service=the+service&scope=s&refresh_token=t%26u"
        );
    }
}
