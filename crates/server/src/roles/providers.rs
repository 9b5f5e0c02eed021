//! The providers' side: each organisation's sharing service, and the hub that delivers to them.

use super::{
    Figure, Gauged, Mounted, Setting, client_file, held, needed, organisation, organisations,
    path_of, services, trail,
};
use crate::config;
use crate::metrics;
use anyhow::Context;
use fhir::check::profile::Demands;
use fhir::resource::InformationService;
use wire::contract::sharing::CopyAge;

/// Opens the sharing services of this process.
pub async fn sharing(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let mut mounted = Vec::new();
    for s in setting.config.own_services() {
        mounted.push(
            open_service(setting, s)
                .await
                .with_context(|| format!("sharing service `{}`", s.id))?,
        );
    }
    Ok(mounted)
}

async fn open_service(setting: &Setting<'_>, s: &config::Service) -> anyhow::Result<Mounted> {
    let bound = setting.config.locator.as_ref().filter(|l| {
        l.collaboration
            .as_ref()
            .is_some_and(|c| c.members.contains(&s.orgnr))
    });
    let config = ::sharing::Config {
        id: s.id.clone(),
        store_of: s.store_of.clone(),
        base: s.fhir.clone(),
        owner: organisation(&s.orgnr)?,
        name: s.name.clone(),
        members: organisations(&s.members)?,
        issuer: setting.issuer(),
        locator: bound.map(|l| l.base.clone()),
        listing: listing(setting, s)?,
        client_file: s.client_file.clone(),
        enrol: s.unknown_patients == config::UnknownPatients::Enrol,
        synthetic_only: setting.synthetic_only(),
        sign_in: setting.signs_in(),
        register: setting.register.clone(),
        zone: setting.zone.clone(),
        person_numbers: setting.person_numbers(),
        if_match_optional: s.if_match_optional.clone(),
        types: fhir::definitions::Types::named(&s.types)?,
        profiles: demands(&s.profile)?,
        publish: publishing(&s.publish)?,
        copy: ::sharing::Promise {
            max_lag_seconds: s.max_lag_minutes.map(|minutes| i64::from(minutes) * 60),
            feeds: s.feeds.clone(),
            expects: s.expect.iter().map(expected).collect(),
        },
        assessment: assessment(setting, s),
        hand_over: partners(setting, s)?,
        subscribers: subscribers(s)?,
        files_notes: files_notes(setting.config, s),
        pvk: s.pvk.as_ref().map(super::outside::pvk).transpose()?,
    };
    let (time, faults) = (&setting.demo.time, setting.demo.faults.as_ref());
    let clock = faults.map_or_else(|| time.clock(), |f| time.skewed(f.skew_of(&s.id)));
    let house = setting.house(&format!("sharing/{}", s.id), clock)?;
    let state = ::sharing::open(config, house).await?;
    Ok(Mounted {
        gauged: Some(gauged(state.clone())),
        trails: trail(state.store()),
        client_file: s.client_file.clone(),
        path: path_of(&s.fhir),
        store: Some(state.store().clone()),
        workers: ::sharing::workers(state.clone()),
        router: ::sharing::routes(state),
    })
}

/// What the service assesses, and who answers for it. A register that several share is not assessed: each member answers for
/// its own patients' plans.
fn assessment(setting: &Setting<'_>, s: &config::Service) -> Option<::sharing::Assessment> {
    if !s.members.is_empty() {
        return None;
    }
    let declared = setting.config.assessment.as_ref();
    let demonstration = setting.demo.people.is_some();
    let device = match declared {
        Some(one) => ::sharing::Device::Declared {
            manufacturer: one.manufacturer.clone(),
            intended_purpose: one.intended_purpose.clone(),
            udi: one.udi.clone(),
        },
        None if demonstration => ::sharing::Device::Demonstration,
        None => return None,
    };
    Some(::sharing::Assessment {
        device,
        news2_window_minutes: declared.map_or(60, |one| one.news2_window_minutes),
        deadlines: declared.map_or_else(Default::default, |one| ::sharing::Deadlines {
            red_minutes: one.own_red_within_minutes,
            yellow_minutes: one.own_yellow_within_minutes,
            missing_minutes: one.own_missing_within_minutes,
        }),
        escalate_to: declared.map_or_else(Vec::new, |one| one.escalate_to.clone()),
    })
}

/// The hub that files what is said of alerts: where its organisation has a record system that takes documents from it.
pub fn files_notes(config: &config::Config, s: &config::Service) -> Option<url::Url> {
    let mut organisations = config.organisation.iter();
    let own = organisations.find(|one| one.orgnr == s.orgnr)?;
    let takes = own.record_system.as_ref()?.kinds.iter();
    let documents = InformationService::DOCUMENTS.to_string();
    let speaks = s.client_file.is_some() && s.members.is_empty();
    let files = speaks && takes.clone().any(|kind| *kind == documents);
    let hub = config.hub.as_ref().filter(|_| files)?;
    Some(hub.base.clone())
}

/// The organisations that alerts change hands with.
fn partners(setting: &Setting<'_>, s: &config::Service) -> anyhow::Result<Vec<::sharing::Partner>> {
    let all = setting.config.service.iter();
    let named = all.filter(|other| s.hand_over.contains(&other.orgnr));
    let partner = |other: &config::Service| {
        Ok(::sharing::Partner {
            organisation: organisation(&other.orgnr)?,
            name: other.name.clone(),
            base: other.fhir.clone(),
        })
    };
    named.map(partner).collect()
}

fn expected(one: &config::Expect) -> ::sharing::Expected {
    ::sharing::Expected {
        client: one.client.clone(),
        name: one.name.clone().unwrap_or_else(|| one.client.clone()),
        quiet_seconds: i64::from(one.quiet_minutes) * 60,
    }
}

/// Who may subscribe at the service.
fn subscribers(s: &config::Service) -> anyhow::Result<Vec<::sharing::Subscriber>> {
    let subscriber = |one: &config::Subscriber| {
        Ok(::sharing::Subscriber {
            organisation: organisation(&one.orgnr)?,
            endpoints: one.endpoints.clone(),
            most: one.most as usize,
        })
    };
    s.subscriber.iter().map(subscriber).collect()
}

/// What the service tells the catalogue of itself, where it has a client to speak with.
fn listing(
    setting: &Setting<'_>,
    s: &config::Service,
) -> anyhow::Result<Option<::sharing::Listing>> {
    let Some(catalogue) = setting
        .config
        .catalogue
        .as_ref()
        .filter(|_| s.client_file.is_some())
    else {
        return Ok(None);
    };
    let organisations = &setting.config.organisation;
    let owner = organisations
        .iter()
        .find(|one| one.orgnr == s.orgnr)
        .with_context(|| format!("organisation {} is not configured", s.orgnr))?;
    Ok(Some(::sharing::Listing {
        catalogue: catalogue.base.clone(),
        concept: s
            .concept
            .lawful()
            .with_context(|| format!("concept `{}` cannot be run", s.concept.word()))?,
        supplier: s.supplier.as_deref().map(organisation).transpose()?,
        telephone: s.telephone.clone(),
        terms: s.terms.clone(),
        organisation: super::common::listed(owner)?,
        kinds: held(),
    }))
}

/// How old the service's copy is, each feed's part of it, how old its citizens' settings are, and how far
/// the locator had drifted from it.
fn gauged(state: std::sync::Arc<::sharing::State>) -> Gauged {
    std::sync::Arc::new(move || {
        let (copy, now) = (state.copy(), state.now());
        let figures = |feed: Option<&str>, as_of: Option<fhir::time::Instant>, age: CopyAge| {
            let mut labels = vec![("service", state.id().to_owned())];
            labels.extend(feed.map(|feed| ("feed", feed.to_owned())));
            let figure = |name, value: f64| Figure {
                name,
                labels: labels.clone(),
                value,
            };
            let late = f64::from(u8::from(age == CopyAge::Late));
            [
                as_of.map(|at| figure(metrics::COPY_AGE, ::sharing::lag(at, now) as f64)),
                (age != CopyAge::Unjudged).then(|| figure(metrics::COPY_LATE, late)),
            ]
        };
        let whole = figures(None, copy.as_of, copy.state);
        let feeds = copy.feeds.iter();
        let feeds = feeds.flat_map(|(feed, age)| figures(Some(&feed.client), feed.as_of(), *age));
        let service = vec![("service", state.id().to_owned())];
        let figure = |name, value: f64| Figure {
            name,
            labels: service.clone(),
            value,
        };
        let settings = state.settings_age();
        let age = settings.as_ref().and_then(|age| age.seconds);
        let age = age.map(|seconds| figure(metrics::SETTINGS_AGE, seconds as f64));
        let late = settings.map(|age| {
            let late = f64::from(u8::from(age.late));
            figure(metrics::SETTINGS_LATE, late)
        });
        let drift = state.drift();
        let drift = drift.map(|count| figure(metrics::DRIFT, count as f64));
        let silences = state.silences().into_iter().map(|one| Figure {
            name: metrics::FEED_QUIET,
            labels: vec![("service", state.id().to_owned()), ("feed", one.client)],
            value: f64::from(u8::from(one.quiet)),
        });
        let in_error = state.subscriptions_in_error();
        let in_error = in_error.map(|count| figure(metrics::SUBSCRIPTIONS_IN_ERROR, count as f64));
        let copies = whole.into_iter().chain(feeds).flatten();
        copies
            .chain(silences)
            .chain(in_error)
            .chain(age)
            .chain(late)
            .chain(drift)
            .collect()
    })
}

/// What the service demands of profiles; `delt check` has refused what cannot be read.
pub(crate) fn demands(lines: &[config::Profile]) -> anyhow::Result<Demands> {
    let mut demands = Demands::default();
    for one in lines {
        demands.add(&one.canonical, one.r#type.as_deref(), one.mode)?;
    }
    Ok(demands)
}

/// The publishing policy as the store takes it; `delt check` has refused what cannot be read.
fn publishing(shares: &[config::Publish]) -> anyhow::Result<store::Publishing> {
    const DAY: i64 = 86_400_000_000;
    let kind = |text: &String| {
        store::Published::parse(text)
            .with_context(|| format!("`{text}` is not a kind that can be published"))
    };
    let share = |one: &config::Publish| {
        anyhow::Ok(store::Share {
            kinds: one
                .kinds
                .iter()
                .flatten()
                .map(kind)
                .collect::<Result<_, _>>()?,
            back: one.days.map(|days| i64::from(days) * DAY),
            status: one.status.clone().unwrap_or_default(),
        })
    };
    Ok(store::Publishing {
        shares: shares.iter().map(share).collect::<Result<_, _>>()?,
    })
}

/// How much a record system gets, and in what form.
fn rules(to: &config::RecordSystem) -> Vec<::hub::Rule> {
    let rule = |rule: &config::DeliveryRule| ::hub::Rule {
        of: rule.of.clone(),
        send: match rule.send {
            config::Amount::All => ::hub::Amount::All,
            config::Amount::Marked => ::hub::Amount::Marked,
            config::Amount::NewestOfDay => ::hub::Amount::NewestOfDay,
            config::Amount::None => ::hub::Amount::Nothing,
        },
        form: match rule.form {
            config::Form::Reading => ::hub::Form::Reading,
            config::Form::Note => ::hub::Form::Note,
        },
    };
    to.rule.iter().map(rule).collect()
}

/// Whom the service expects to hear.
fn expected_there(s: &config::Service) -> Vec<String> {
    s.expect.iter().map(|one| one.client.clone()).collect()
}

fn expected_sender(one: &config::ExpectSender) -> anyhow::Result<::hub::Expected> {
    Ok(::hub::Expected {
        sender: one.sender.clone(),
        name: one.name.clone().unwrap_or_else(|| one.sender.clone()),
        organisation: organisation(&one.orgnr)?,
        quiet_seconds: i64::from(one.quiet_minutes) * 60,
    })
}

/// Opens the hub.
pub async fn hub(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let part = needed(&setting.config.hub, "hub")?;
    let receivers = setting.config.organisation.iter().map(|o| {
        let service = setting
            .config
            .service
            .iter()
            .find(|s| s.orgnr == o.orgnr || s.members.contains(&o.orgnr));
        Ok(::hub::Receiver {
            orgnr: organisation(&o.orgnr)?,
            record_system: o.record_system.as_ref().map(|r| r.base.clone()),
            record_system_kinds: o
                .record_system
                .as_ref()
                .map(|r| services(&r.kinds))
                .transpose()?
                .unwrap_or_default(),
            record_system_rules: o.record_system.as_ref().map(rules).unwrap_or_default(),
            sharing: service.map(|s| s.fhir.clone()),
            expected_there: service.map(expected_there).unwrap_or_default(),
        })
    });
    let expects = part.expect.iter().map(expected_sender);
    let config = ::hub::Config {
        base: part.base.clone(),
        operator: organisation(&part.operator)?,
        issuer: setting.issuer(),
        client_file: client_file(&part.client_file, "hub")?,
        register: setting.register.clone(),
        zone: setting.zone.clone(),
        person_numbers: setting.person_numbers(),
        synthetic_only: setting.synthetic_only(),
        require_assignment: part.require_assignment,
        models: part.models.clone(),
        replay_days: part.replay_days,
        bounds: ::hub::Bounds {
            idempotency_hours: part.idempotency_hours,
            quarantine_days: part.quarantine_days,
            // A backlog of an hour of a device's, of a minute of a sender's, goes at once.
            device: ::hub::Rate {
                per_minute: part.device_per_minute,
                at_once: part.device_per_minute.saturating_mul(60),
            },
            sender: ::hub::Rate {
                per_minute: part.sender_per_minute,
                at_once: part.sender_per_minute,
            },
            ..::hub::Bounds::default()
        },
        expects: expects.collect::<anyhow::Result<_>>()?,
        receivers: receivers.collect::<anyhow::Result<_>>()?,
    };
    let house = setting.house_that_may_fall("hub", &part.base)?;
    let state = ::hub::open(config, house).await?;
    let told = state.clone();
    let figures = move || {
        let each = told.held_for_others().into_iter();
        let figure = |(of, count): (fhir::ids::OrganisationNumber, u64)| Figure {
            name: metrics::CLAIMS,
            labels: vec![("claimed_by", of.as_str().to_owned())],
            value: count as f64,
        };
        let silences = told.silences().into_iter().map(|one| Figure {
            name: metrics::SENDER_QUIET,
            labels: vec![("sender", one.expected.sender)],
            value: f64::from(u8::from(one.quiet)),
        });
        each.map(figure).chain(silences).collect()
    };
    Ok(vec![Mounted {
        gauged: Some(std::sync::Arc::new(figures)),
        trails: trail(state.store()),
        client_file: part.client_file.clone(),
        path: path_of(&part.base),
        store: Some(state.store().clone()),
        workers: ::hub::workers(state.clone()),
        router: ::hub::routes(state),
    }])
}
