//! `delt serve`: the roles that a configuration names, until the stop signal.

use crate::config::Config;
use crate::{REFUSED, listen, metrics, roles, surroundings};
use anyhow::Context;
use std::path::Path;
use std::process::ExitCode;
use tokio::net::TcpListener;

/// Checks the configuration, opens every role it names, serves until asked to stop, drains and ends with 0.
pub async fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::read(path)?;
    if !crate::allowed(&config) {
        eprintln!("delt: {} is refused; nothing was started", path.display());
        return Ok(ExitCode::from(REFUSED));
    }
    let listener = TcpListener::bind(config.listen.address)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen.address))?;
    let figures = match &config.metrics {
        Some(metrics) => Some(
            TcpListener::bind(metrics.address)
                .await
                .with_context(|| format!("cannot listen on {}", metrics.address))?,
        ),
        None => None,
    };
    let region = roles::Region::open(&config, roles::Demo::default()).await?;
    eprintln!(
        "delt: {} listening on {}",
        config.roles.join(", "),
        config.listen.address
    );
    let doorstep = listen::doorstep(&config.listen, surroundings::clock());
    let stop = region.stop();
    let figures = figures.map(|listener| {
        let (router, stop) = (metrics::router(region.figures()), stop.clone());
        tokio::spawn(listen::serve(listener, router, None, None, async move {
            stop.stopped().await
        }))
    });
    let signal = tokio::spawn({
        let stop = stop.clone();
        async move {
            surroundings::asked_to_stop().await;
            stop.stop();
        }
    });
    listen::serve(
        listener,
        region.router(),
        Some(doorstep),
        None,
        async move { stop.stopped().await },
    )
    .await;
    region.finish().await;
    if let Some(figures) = figures {
        let _ = figures.await;
    }
    signal.abort();
    eprintln!("delt: stopped");
    Ok(ExitCode::SUCCESS)
}
