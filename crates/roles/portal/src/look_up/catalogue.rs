//! The organisations that the catalogue offers, for the list from which a clinician chooses by hand. Nothing about a
//! patient is in the question or in the answer.

use wire::client::Request;
use wire::contract::catalogue::{self, Endpoint, EndpointStatus, FHIR, READ_SCOPE};

use crate::State;

/// One organisation that has a sharing service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Organisation number of the responsible organisation.
    pub number: String,
    /// Its name.
    pub name: String,
}

/// Why the list could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The portal has no client of its own at the anchor.
    #[error("no client for the catalogue is configured")]
    NoClient,
    /// The catalogue, or the anchor before it, gave no usable answer.
    #[error(transparent)]
    Peer(#[from] wire::client::PeerError),
    /// The catalogue's resources are not as the contract says.
    #[error(transparent)]
    Shape(#[from] wire::contract::ContractError),
}

/// Asks the catalogue for active endpoints and gives their organisations, by name.
///
/// # Errors
/// [`CatalogueError`]; the page then offers no list and says so.
pub async fn offered(state: &State) -> Result<Vec<Offered>, CatalogueError> {
    let party = state.party.as_ref().ok_or(CatalogueError::NoClient)?;
    let base = format!("{}{FHIR}", state.config.catalogue);
    let answer = party
        .send(&base, READ_SCOPE, Request::get(format!("{base}/Endpoint")))
        .await?;
    let bundle: serde_json::Value = answer.json()?;
    let mut offered: Vec<Offered> = Vec::new();
    for resource in catalogue::matches(&bundle)? {
        let endpoint = Endpoint::from_json(resource)?;
        if endpoint.status != EndpointStatus::Active
            || offered.iter().any(|own| own.number == endpoint.managing)
        {
            continue;
        }
        let name = endpoint
            .managing_name
            .unwrap_or_else(|| state.name_of(&endpoint.managing).to_owned());
        offered.push(Offered {
            number: endpoint.managing,
            name,
        });
    }
    offered.sort_by_key(|own| own.name.to_lowercase());
    Ok(offered)
}
