//! The description of a role's routes at `GET {base}/openapi.json` (OpenAPI 3.1.0), made from the same table that builds
//! the router, so that what is served is what is declared.

use serde_json::{Map, Value, json};

use crate::route::{Access, RouteRow};

/// A document for a role. `base` is its configured URL; `summaries` gives a line per route, keyed `POST /register`.
pub fn document(title: &str, base: &str, rows: &[RouteRow], summaries: &[(&str, &str)]) -> Value {
    let mut paths = Map::new();
    for row in rows {
        let key = format!("{} {}", row.method, row.path);
        let summary = summaries
            .iter()
            .find(|(named, _)| *named == key)
            .map_or(key.as_str(), |(_, summary)| *summary);
        let mut operation = json!({
            "summary": summary,
            "responses": {"default": {"description": "FHIR OperationOutcome or OAuth error JSON when it did not succeed"}},
        });
        let parameters: Vec<Value> = parameters_of(row.path)
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        if let Some(members) = operation.as_object_mut() {
            if !parameters.is_empty() {
                members.insert("parameters".to_owned(), Value::from(parameters));
            }
            if let Access::Token { scope } = row.access {
                members.insert("security".to_owned(), json!([{"dpop": [scope]}]));
            }
        }
        let path = paths
            .entry(row.path.to_owned())
            .or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(row.method.to_ascii_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": title, "version": env!("CARGO_PKG_VERSION")},
        "servers": [{"url": base}],
        "paths": paths,
        "components": {"securitySchemes": {"dpop": {
            "type": "http",
            "scheme": "DPoP",
            "description": "Access token bound to the client's key (RFC 9449), one audience, from the trust anchor",
        }}},
    })
}

fn parameters_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_described_once_with_its_parameters_and_access() {
        let rows = [
            RouteRow {
                method: "POST",
                path: "/register",
                access: Access::Token {
                    scope: "system/Pointer.c",
                },
            },
            RouteRow {
                method: "GET",
                path: "/deliveries/{key}",
                access: Access::Public,
            },
            RouteRow {
                method: "DELETE",
                path: "/deliveries/{key}",
                access: Access::Demo,
            },
        ];
        let document = document(
            "Locator",
            "https://l.example",
            &rows,
            &[("POST /register", "Tell state")],
        );
        assert_eq!(
            document["paths"]["/register"]["post"]["summary"],
            "Tell state"
        );
        assert_eq!(
            document["paths"]["/register"]["post"]["security"][0]["dpop"][0],
            "system/Pointer.c"
        );
        let by_key = &document["paths"]["/deliveries/{key}"];
        assert_eq!(by_key["get"]["parameters"][0]["name"], "key");
        assert!(by_key["get"].get("security").is_none() && by_key.get("delete").is_some());
    }
}
