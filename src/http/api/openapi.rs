//! `/v1/openapi.json`: the description of the interface.

use hyper::StatusCode;

use crate::http::call::Call;
use crate::http::reply::{Refusal, Reply, of};
use crate::http::route::Route;

pub(super) const ROUTES: &[Route] =
    &[Route::get("/v1/openapi.json", |call| Box::pin(async move { describe(&call) }))];

const DESCRIPTION: &str = include_str!("openapi.json");

fn describe(call: &Call) -> Result<Reply, Refusal> {
    call.parameters.only(&[])?;
    Ok(of(StatusCode::OK, "application/json", DESCRIPTION))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::http::api::routes;

    /// All references within the description.
    fn references<'d>(value: &'d Value, found: &mut Vec<&'d str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let description: Value = serde_json::from_str(DESCRIPTION).expect("JSON");
        let paths = description["paths"].as_object().expect("paths");
        let described = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.keys().map(move |method| (path.clone(), method.to_ascii_uppercase()))
        });
        let routed = routes().map(|route| (route.path.to_owned(), route.method.to_string()));
        assert_eq!(described.collect::<BTreeSet<_>>(), routed.collect::<BTreeSet<_>>());
        for route in routes() {
            let own = &description["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
            assert_eq!(own["security"].is_array(), route.is_open, "{}", route.path);
            // Each name in braces is a parameter.
            let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            for name in names {
                let reference = format!("#/components/parameters/{name}");
                let parameters = own["parameters"].as_array().expect("parameters");
                assert!(parameters.iter().any(|parameter| parameter["$ref"] == *reference), "{}", route.path);
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_nothing_is_left_over() {
        let description: Value = serde_json::from_str(DESCRIPTION).expect("JSON");
        let mut found = Vec::new();
        references(&description, &mut found);
        for reference in &found {
            let pointer = reference.strip_prefix('#').expect("within the description");
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
        for kind in ["parameters", "schemas", "responses"] {
            for name in description["components"][kind].as_object().expect("components").keys() {
                let reference = format!("#/components/{kind}/{name}");
                assert!(found.contains(&reference.as_str()), "nothing is a {name}");
            }
        }
    }
}
