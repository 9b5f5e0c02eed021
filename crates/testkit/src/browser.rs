//! A browser for stories: cookies by the rules of `SameSite`, redirects and refreshes followed one by one, forms sent as pages have them.
//! It runs no script and draws nothing.

use http::{HeaderName, HeaderValue, StatusCode, header};
use wire::client::{Http, PeerError, Policy, Request};

/// Most steps that one click may take.
const STEPS: usize = 10;

/// A cookie as it was set.
#[derive(Clone, Debug)]
struct Cookie {
    name: String,
    value: String,
    strict: bool,
}

/// A browser with its cookies. All sites of a demo region stand on one host, so one jar serves.
#[derive(Debug)]
pub struct Browser {
    http: Http,
    cookies: Vec<Cookie>,
    /// Every address it has been at, queries included.
    pub history: Vec<String>,
}

/// A page as it came.
#[derive(Clone, Debug)]
pub struct Page {
    /// HTTP status.
    pub status: StatusCode,
    /// Where it stands.
    pub url: String,
    /// Where it leads on to: a redirect, or a page that refreshes.
    pub on: Option<String>,
    /// The page.
    pub html: String,
}

impl Browser {
    /// One without cookies that may reach the loopback.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub fn new() -> Result<Browser, PeerError> {
        Ok(Browser {
            http: Http::new(Policy::loopback())?,
            cookies: Vec::new(),
            history: Vec::new(),
        })
    }

    /// Follows a link from another site to the page at its end.
    ///
    /// # Errors
    /// [`PeerError`] when no whole answer came, or the way has no end.
    pub async fn open(&mut self, url: &str) -> Result<Page, PeerError> {
        let page = self.step(Request::get(url), true).await?;
        self.follow(page, true).await
    }

    /// Goes to an address from a page of its own site.
    ///
    /// # Errors
    /// As [`Browser::open`].
    pub async fn go(&mut self, url: &str) -> Result<Page, PeerError> {
        let page = self.step(Request::get(url), false).await?;
        self.follow(page, false).await
    }

    /// Sends a page's form; what answers may send the browser to another site.
    ///
    /// # Errors
    /// As [`Browser::open`].
    pub async fn send(
        &mut self,
        page: &Page,
        action: &str,
        form: &[(&str, &str)],
    ) -> Result<Page, PeerError> {
        let url = absolute(&page.url, action);
        let request = Request::post_form(url, form.iter().copied()).header(
            HeaderName::from_static("sec-fetch-site"),
            HeaderValue::from_static("same-origin"),
        );
        let page = self.step(request, false).await?;
        self.follow(page, true).await
    }

    /// One request and its answer, nothing followed.
    ///
    /// # Errors
    /// As [`Browser::open`].
    pub async fn step(&mut self, request: Request, cross_site: bool) -> Result<Page, PeerError> {
        let url = request.url.clone();
        self.history.push(url.clone());
        let sent: Vec<String> = self
            .cookies
            .iter()
            .filter(|one| !(one.strict && cross_site))
            .map(|one| format!("{}={}", one.name, one.value))
            .collect();
        let request = match sent.is_empty() {
            true => request,
            false => {
                let value = HeaderValue::try_from(sent.join("; "))
                    .map_err(|_| PeerError::Unusable("a cookie is no header value"))?;
                request.header(header::COOKIE, value)
            }
        };
        let answer = self.http.send(&request).await?;
        for set in answer.headers.get_all(header::SET_COOKIE) {
            self.keep(set.to_str().unwrap_or_default());
        }
        let html = String::from_utf8_lossy(&answer.body).into_owned();
        let location = answer.headers.get(header::LOCATION);
        let on = match location.and_then(|value| value.to_str().ok()) {
            Some(location) => Some(absolute(&url, location)),
            None => between(&html, "http-equiv=\"refresh\" content=\"0;url=", "\"")
                .map(|to| absolute(&url, &to.replace("&#38;", "&"))),
        };
        Ok(Page {
            status: answer.status,
            url,
            on,
            html,
        })
    }

    /// To the page at the end. A redirect goes on as the first step began; a page that refreshes is its own site's.
    async fn follow(&mut self, mut page: Page, mut cross_site: bool) -> Result<Page, PeerError> {
        for _ in 0..STEPS {
            let Some(on) = page.on.clone() else {
                return Ok(page);
            };
            cross_site &= page.status.is_redirection();
            page = self.step(Request::get(on), cross_site).await?;
        }
        Err(PeerError::Unusable("the way has no end"))
    }

    fn keep(&mut self, set: &str) {
        let (pair, rules) = set.split_once(';').unwrap_or((set, ""));
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        self.cookies.retain(|one| one.name != name);
        if !rules.contains("Max-Age=0") {
            self.cookies.push(Cookie {
                name: name.to_owned(),
                value: value.to_owned(),
                strict: rules.contains("SameSite=Strict"),
            });
        }
    }
}

impl Page {
    /// The value of the first field with this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        between(&self.html, &format!("name=\"{name}\" value=\""), "\"")
    }

    /// The value of the button `person` of the one with this name, on the anchor's sign-in page.
    pub fn person(&self, name: &str) -> Option<&str> {
        let before = self.html.split_once(&format!("<b>{name}</b>"))?.0;
        before
            .rsplit_once("name=\"person\" value=\"")?
            .1
            .split('"')
            .next()
    }
}

/// The text between two others, the first time they stand so.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?
        .1
        .split_once(end)
        .map(|(found, _)| found)
}

/// An address on a page at `base`.
fn absolute(base: &str, to: &str) -> String {
    if to.contains("://") {
        return to.to_owned();
    }
    let host = base.find("://").map_or(0, |at| at + 3);
    let end = base[host..].find('/').map_or(base.len(), |at| host + at);
    format!("{}{to}", &base[..end])
}
