//! `results.schema.json` describes results as they are: whole, and nothing else.

use jsonschema::Validator;
use serde_json::Value;

use crate::sample;

const SCHEMA: &str = include_str!("../../results.schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("the schema is JSON")
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).expect("the schema is a schema")
}

fn results() -> Value {
    serde_json::to_value(sample::results()).unwrap()
}

#[test]
fn describes_results_with_every_kind_of_figure_and_a_void_row() {
    let (validator, results) = (validator(), results());
    let errors: Vec<String> = validator
        .iter_errors(&results)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let text = results.to_string();
    for kind in ["bars", "lines", "percentiles"] {
        assert!(
            text.contains(&format!("\"kind\":\"{kind}\"")),
            "no {kind} was checked"
        );
    }
}

/// A field that is added to or removed from the code must be in the schema too: this finds one that is not.
#[test]
fn knows_every_field_and_no_other() {
    let validator = validator();
    let mut objects = Vec::new();
    collect(&results(), &mut String::new(), &mut objects);
    assert!(objects.len() > 20, "{objects:?}");
    for pointer in &objects {
        let whole = results();
        let fields = whole.pointer(pointer).and_then(Value::as_object).unwrap();
        let mut with_another = whole.clone();
        let object = with_another
            .pointer_mut(pointer)
            .and_then(Value::as_object_mut)
            .unwrap();
        object.insert("another".to_owned(), Value::Bool(true));
        assert!(
            !validator.is_valid(&with_another),
            "{pointer} may have other fields"
        );
        for name in fields.keys() {
            let mut without = whole.clone();
            let object = without
                .pointer_mut(pointer)
                .and_then(Value::as_object_mut)
                .unwrap();
            object.remove(name);
            assert!(!validator.is_valid(&without), "{pointer} may lack {name}");
        }
    }
}

/// Collects the paths of objects with fixed fields: the first and last of every list, and not the values of rows.
fn collect(value: &Value, path: &mut String, objects: &mut Vec<String>) {
    let length = path.len();
    match value {
        Value::Object(fields) => {
            objects.push(path.clone());
            for (name, field) in fields.iter().filter(|(name, _)| *name != "values") {
                *path += &format!("/{name}");
                collect(field, path, objects);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            let all = path.ends_with("/scenarios");
            let last = items.len().saturating_sub(1);
            for (index, item) in items.iter().enumerate() {
                if all || index == 0 || (index == last && !path.ends_with("/rows")) {
                    *path += &format!("/{index}");
                    collect(item, path, objects);
                    path.truncate(length);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn refuses_what_is_not_of_this_format() {
    let validator = validator();
    for (pointer, wrong) in [
        ("/format", Value::from(measure::results::FORMAT + 1)),
        ("/subjects/0/kind", Value::from("server")),
        ("/scenarios/0/metrics/0/better", Value::from("Lower")),
        ("/scenarios/0/rows/0/values/cpu_us", Value::from("3.7")),
        ("/scenarios/0/rows/0/round", Value::from(-1)),
        ("/runs/0/environment/seed", Value::Null),
    ] {
        let mut results = results();
        *results.pointer_mut(pointer).expect(pointer) = wrong;
        assert!(!validator.is_valid(&results), "{pointer}");
    }
}

#[test]
fn describes_every_field() {
    fn undescribed(value: &Value, path: &str, found: &mut Vec<String>) {
        let Value::Object(fields) = value else { return };
        if let Some(Value::Object(properties)) = fields.get("properties") {
            for (name, property) in properties {
                let described = property.get("description").or(property.get("$ref"));
                if described.and_then(Value::as_str).is_none_or(str::is_empty) {
                    found.push(format!("{path}/{name}"));
                }
            }
        }
        for (name, field) in fields {
            undescribed(field, &format!("{path}/{name}"), found);
        }
    }
    let mut found = Vec::new();
    undescribed(&schema(), "", &mut found);
    assert!(found.is_empty(), "{found:?}");
}
